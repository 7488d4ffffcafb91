package registry

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// The list beside the map has what the map has, in the order of the IDs, whatever
// comes and goes.
func TestRoll(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	rng := rand.New(rand.NewPCG(1, 1))
	l := &h.shapes
	for id := shape.ID(1); id < 20_000; id += 2 {
		l.add(&Shape{id: id + 1, def: &shape.Def{}}) // stored before the one below
		l.add(&Shape{id: id, def: &shape.Def{}})
		if rng.IntN(3) > 0 {
			for range 2 {
				l.remove(&Shape{id: id}) // not the one that is there
				l.remove(l.byID[shape.ID(1+rng.IntN(int(id)))])
			}
		}
	}
	want := slices.Sorted(maps.Keys(l.byID))
	ids := func(after shape.ID) (ids []shape.ID) {
		for s := range h.After(after) {
			ids = append(ids, s.id)
		}
		return ids
	}
	for _, after := range []shape.ID{0, want[0], want[len(want)/2], want[len(want)/2] + 1, 19_998, 1 << 40} {
		i, found := slices.BinarySearch(want, after)
		if found {
			i++
		}
		if got := ids(after); !slices.Equal(got, want[i:]) {
			t.Errorf("%d shapes after %d, want %d", len(got), after, len(want[i:]))
		}
	}
	if len(l.list) > 2*len(want)+pageShapes {
		t.Errorf("%d places for %d shapes", len(l.list), len(want))
	}
	for s := range h.All() { // stops when told to
		if s.id != want[0] {
			t.Fatal(s.id)
		}
		break
	}
	clear(l.byID) // they are in no log
	l.list = nil
}
