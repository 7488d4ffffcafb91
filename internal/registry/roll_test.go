package registry

import (
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// A walk has what a map would have, in the order of the IDs, whatever comes and goes.
func TestRoll(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	rng := rand.New(rand.NewPCG(1, 1))
	l, twin := &h.shapes, map[shape.ID]*Shape{}
	add := func(s *Shape) {
		l.add(s)
		twin[s.id] = s
	}
	for id := shape.ID(1); id < 20_000; id += 2 {
		add(&Shape{id: id + 1}) // stored before the one below
		add(&Shape{id: id})
		if rng.IntN(3) > 0 {
			for range 2 {
				l.remove(&Shape{id: id}) // not the one that is there
				goes := shape.ID(1 + rng.IntN(int(id)))
				l.remove(l.get(goes))
				delete(twin, goes)
			}
		}
	}
	want := slices.Sorted(maps.Keys(twin))
	ids := func(after shape.ID) (ids []shape.ID) {
		for s := range h.After(after) {
			if twin[s.id] != s {
				t.Errorf("not the shape %d that was added", s.id)
			}
			ids = append(ids, s.id)
		}
		return ids
	}
	for _, after := range []shape.ID{0, want[0], want[len(want)/2], want[len(want)/2] + 1, 19_998, 1 << 40, math.MaxUint64} {
		i, found := slices.BinarySearch(want, after)
		if found {
			i++
		}
		if got := ids(after); !slices.Equal(got, want[i:]) {
			t.Errorf("%d shapes after %d, want %d", len(got), after, len(want[i:]))
		}
	}
	if h.Len() != len(want) {
		t.Errorf("%d shapes, want %d", h.Len(), len(want))
	}
	for s := range h.All() { // stops when told to
		if s.id != want[0] {
			t.Fatal(s.id)
		}
		break
	}
	h.shapes = newRoll() // they are in no log
}

// A page is what one hold of the lock finds: a walk lets others in between, and meets
// what comes and goes behind the page that it has.
func TestRollPages(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	const n = 3 * pageShapes
	for id := shape.ID(1); id <= n; id++ {
		h.shapes.add(&Shape{id: id})
	}
	var got []shape.ID
	for s := range h.All() {
		if s.id == 1 {
			h.mu.Lock()
			h.shapes.remove(h.shapes.get(2))     // in the page
			h.shapes.remove(h.shapes.get(n))     // behind it
			h.shapes.remove(h.shapes.get(n - 1)) // and this comes again
			h.shapes.add(&Shape{id: n - 1})
			h.shapes.add(&Shape{id: n + 1})
			h.mu.Unlock()
		}
		got = append(got, s.id)
	}
	var want []shape.ID
	for id := shape.ID(1); id <= n+1; id++ {
		if id != n {
			want = append(want, id)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d shapes, want %d", len(got), len(want))
	}
	page, next, more := h.shapes.from(5, nil)
	if len(page) != pageShapes || page[0].id != 5 || next != pageShapes+5 || !more {
		t.Errorf("a page of %d, then from %d on, more: %v", len(page), next, more)
	}
	if page, _, more := h.shapes.from(n-1, nil); len(page) != 2 || more {
		t.Errorf("the last page has %d, more: %v", len(page), more)
	}
	h.shapes = newRoll() // they are in no log
}

// The places of shapes that went are given back.
func TestRollGivesBack(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const n = 100_000
	l := newRoll()
	before := heap()
	for id := shape.ID(1); id <= n; id++ {
		l.add(&Shape{id: id})
	}
	for id := shape.ID(1); id <= n; id++ {
		if id%1000 != 0 {
			l.remove(l.get(id))
		}
	}
	// Each that is left may be alone in its page.
	if kept := heap() - before; kept > n/1000*2048 {
		t.Errorf("%d bytes for %d shapes", kept, l.len())
	}
	runtime.KeepAlive(&l)
}
