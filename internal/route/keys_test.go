package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The table of keys against Go's map, while it grows, is split, shrinks and is emptied.
func TestKeysAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	k, twin := newKeys(), map[string]target{}
	var list []string
	key := func() string {
		n := rng.IntN(1 << 20)
		return strings.Repeat("long ", rng.IntN(8)) + fmt.Sprint(n) // around the length that is kept in place
	}
	check := func() {
		t.Helper()
		var got, want []target
		for to := range k.all {
			got = append(got, to)
		}
		for name, to := range twin {
			want = append(want, to)
			if a, b := k.find([]byte(name)), k.findString(name); a != to || b != to {
				t.Fatalf("%q leads to %d and %d, want %d", name, a, b, to)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || k.n != len(twin) {
			t.Fatalf("%d keys of %d, %d in all", len(got), len(want), k.n)
		}
	}
	for _, phase := range []struct{ steps, adds int }{{40_000, 9}, {20_000, 5}, {40_000, 1}} { // of ten
		for range phase.steps {
			switch {
			case rng.IntN(10) < phase.adds:
				name, to := key(), target(1+rng.Int32N(1<<30))
				if rng.IntN(2) == 0 {
					to = -to
				}
				if _, ok := twin[name]; !ok {
					list = append(list, name)
				}
				k.set(name, to)
				twin[name] = to
			case len(list) > 0:
				i, last := rng.IntN(len(list)), len(list)-1
				name := list[i]
				list[i] = list[last]
				list = list[:last]
				k.remove(name)
				delete(twin, name)
				if k.findString(name) != 0 {
					t.Fatalf("%q was removed", name)
				}
			}
			if name := key(); k.findString(name) != twin[name] {
				t.Fatalf("%q leads to %d, want %d", name, k.findString(name), twin[name])
			}
		}
		check()
	}
	if len(k.dir) < 8 {
		t.Errorf("the table was never split: %d pages", len(k.dir))
	}
	for _, name := range list {
		k.remove(name)
	}
	twin, slots := map[string]target{}, 0
	check()
	for _, p := range k.dir {
		slots += len(p.slots)
	}
	if slots > 2*firstPage*len(k.dir) || k.long.inUse() != 0 {
		t.Errorf("an emptied table has %d slots in %d pages, %d long keys", slots, len(k.dir), k.long.inUse())
	}
}

// Numbers of a slab are each somebody's, and what was put in stays where it is.
func TestSlabNumbers(t *testing.T) {
	var s slab[int]
	seen := map[int32]*int{}
	for v := range 3 * pageSize {
		n := s.add(v)
		if seen[n] != nil {
			t.Fatalf("%d was given twice", n)
		}
		seen[n] = s.at(n)
	}
	values := map[int]bool{}
	for n, at := range seen {
		if s.at(n) != at {
			t.Fatalf("%d has moved", n)
		}
		values[*at] = true
	}
	if len(values) != 3*pageSize || s.inUse() != 3*pageSize {
		t.Fatalf("%d values of %d are there, %d are in use", len(values), 3*pageSize, s.inUse())
	}
	for n := range seen {
		s.remove(n)
	}
	if s.inUse() != 0 {
		t.Errorf("%d are in use when all went", s.inUse())
	}
	if n := s.add(1); seen[n] == nil {
		t.Errorf("%d is a new number, when all others are free", n)
	}
}
