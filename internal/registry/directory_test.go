package registry

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A map with whole keys knows what a directory has to find, also if its hash is a bad
// one.
func TestDirectory(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	var shapes []*Shape
	for i := range 40 {
		// Two of each key, as a shape and its successor are.
		def := nth(t, i/2)
		shapes = append(shapes, &Shape{reg: h.Registry, def: def})
	}
	for name, hash := range map[string]func(string) uint64{
		"seeded":   newDirectory().hash,
		"two bits": func(key string) uint64 { return uint64(crc32.ChecksumIEEE([]byte(key))) % 4 },
		"constant": func(string) uint64 { return 7 },
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		d, twin := newDirectory(), map[string]*Shape{}
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
