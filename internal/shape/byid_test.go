package shape

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// ByID against a map: IDs that come and go as they do in a data directory, in order and
// with gaps, some of them far apart.
func TestByIDAgainstMap(t *testing.T) {
	for _, stride := range []int{1, 2, 7} {
		rng := rand.New(rand.NewPCG(uint64(stride), 1))
		b, twin := NewByID[ID](stride), map[ID]*ID{}
		next := ID(rng.IntN(stride))
		for round := range 40_000 {
			switch {
			case rng.IntN(3) > 0:
				next += ID(stride)
				if rng.IntN(500) == 0 {
					next += ID(stride * blockIDs * rng.IntN(5))
				}
				id := next
				b.Put(id, &id)
				twin[id] = &id
			case rng.IntN(200) == 0: // most of the old ones go
				for id := range twin {
					if id < next-ID(stride*500) && rng.IntN(20) > 0 {
						b.Delete(id)
						delete(twin, id)
					}
				}
			default:
				id := next - min(next, ID(stride*rng.IntN(1000)))
				if again := id; rng.IntN(4) == 0 {
					b.Put(id, &again)
					twin[id] = &again
				} else {
					b.Delete(id)
					delete(twin, id)
				}
			}
			probe := next - min(next, ID(stride*rng.IntN(2000)))
			if b.Get(probe) != twin[probe] || b.Len() != len(twin) {
				t.Fatalf("stride %d, round %d: Get(%d) and Len are %v and %d, they should be %v and %d", stride, round, probe, b.Get(probe), b.Len(), twin[probe], len(twin))
			}
			if round%500 == 0 {
				compareByID(t, b, twin, probe)
				compareByID(t, b.Clone(), twin, probe)
			}
		}
		for id := range twin {
			b.Delete(id)
		}
		if len(b.blocks) > 0 || b.Len() != 0 {
			t.Errorf("stride %d: %d blocks and %d values are left when all went", stride, len(b.blocks), b.Len())
		}
	}
}

func compareByID(t *testing.T, b *ByID[ID], twin map[ID]*ID, from ID) {
	t.Helper()
	want := slices.Sorted(maps.Keys(twin))
	for _, from := range []ID{0, from} {
		var got []ID
		for v := range b.From(from) {
			got = append(got, *v)
		}
		i, _ := slices.BinarySearch(want, from)
		if !slices.Equal(got, want[i:]) {
			t.Fatalf("%d from %d on, in order: they should be %d", len(got), from, len(want[i:]))
		}
	}
}

// A copy does not change with what it was made of.
func TestByIDClone(t *testing.T) {
	b := NewByID[int](1)
	for id := range ID(3 * blockIDs) {
		b.Put(id, new(int))
	}
	c := b.Clone()
	b.Delete(5)
	c.Delete(6)
	if c.Get(5) == nil || b.Get(6) == nil || b.Get(5) != nil || c.Get(6) != nil || b.Len() != c.Len() {
		t.Error("what is taken out of one is not in the other")
	}
}

// Taking out what is at hand, and all behind it, while iterating.
func TestByIDDeleteOnTheWay(t *testing.T) {
	b := NewByID[ID](1)
	for id := range ID(2 * blockIDs) {
		b.Put(id, &id)
	}
	met := 0
	for v := range b.All() {
		met++
		b.Delete(*v)
		b.Delete(ID(2*blockIDs) - 1 - *v)
	}
	if b.Len() != 0 || met < blockIDs {
		t.Errorf("%d are left, %d were met", b.Len(), met)
	}
}
