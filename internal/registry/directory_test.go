package registry

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// A map with whole keys knows what a directory has to find, also if its hash is a bad
// one.
func TestDirectory(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	var shapes []*Shape
	all := newRoll()
	for i := range 40 {
		// Two of each key, as a shape and its successor are.
		def := nth(t, i/2)
		s := &Shape{reg: h.Registry, id: shape.ID(i + 1), def: *def}
		shapes = append(shapes, s)
		all.add(s)
	}
	for name, hash := range map[string]func(string) uint64{
		"seeded":   newDirectory(&all).hash,
		"two bits": func(key string) uint64 { return uint64(crc32.ChecksumIEEE([]byte(key))) % 4 },
		"constant": func(string) uint64 { return 7 },
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		d, twin := newDirectory(&all), map[string]*Shape{}
		d.hash = hash
		for range 3000 {
			s := shapes[rnd.IntN(len(shapes))]
			if rnd.IntN(2) == 0 {
				d.put(s)
				twin[s.Key()] = s
			} else {
				d.drop(s)
				if twin[s.Key()] == s {
					delete(twin, s.Key())
				}
			}
			for _, s := range shapes {
				if got := d.find(s.Key()); got != twin[s.Key()] {
					t.Fatalf("%s: %s is %p, want %p", name, s.Key(), got, twin[s.Key()])
				}
			}
		}
		if len(d.first)+len(d.more) != len(twin) {
			t.Errorf("%s: %d and %d kept, of %d", name, len(d.first), len(d.more), len(twin))
		}
	}
}

// Shapes come and go, all of them with one hash: who has gone is not found, and hides
// nobody.
func TestDirectoryOfThoseWhoGo(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	h.byKey.hash = func(string) uint64 { return 7 }
	var all []*Shape
	for i := range 6 {
		s := create(t, h, nth(t, i), 1)
		live(t, h, s, 0)
		all = append(all, s)
	}
	found := func(what string, lives ...*Shape) {
		t.Helper()
		for i, s := range all {
			var want *Shape
			for _, l := range lives {
				if l.Key() == s.Key() {
					want = l
				}
			}
			if got := h.Find(s.Key()); got != want {
				t.Errorf("%s: definition %d leads to %p, want %p", what, i, got, want)
			}
		}
	}
	check(t, h.Remove(all[0], shape.ReasonDeleted)) // which the map had
	check(t, h.Remove(all[3], shape.ReasonDeleted))
	found("two removed", all[1], all[2], all[4], all[5])
	check(t, h.Quarantine(all[1], shape.ReasonStalled, "", false, later))
	heir, err := h.Successor(all[1], 9)
	check(t, err)
	found("one is ill", all[1], all[2], all[4], all[5])
	live(t, h, heir, 0)
	check(t, h.Promote(heir))
	found("one is succeeded", heir, all[2], all[4], all[5])
	again := create(t, h, nth(t, 0), 1)
	found("one made again", again, heir, all[2], all[4], all[5])
	again.Fail(errBoom)
	check(t, h.Remove(again, shape.ReasonSnapshot))
	found("which failed", heir, all[2], all[4], all[5])
	if n := len(h.byKey.first) + len(h.byKey.more); n != 4 || h.Len() != 4 {
		t.Errorf("%d in the directory, %d in the roll", n, h.Len())
	}
}
