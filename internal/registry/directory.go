package registry

import (
	"hash/maphash"
	"slices"

	"github.com/spillway-sync/spillway/internal/shape"
)

// directory finds shapes by their definitions' keys. It keeps a hash of each key and
// makes the key anew to compare it, whole, with the one that is sought: as keys of a map
// they would be a tenth of what an idle shape costs. The map leads to IDs: of a map
// without pointers the garbage collector does not read a million entries.
//
// Who is in the directory is in the roll: a shape comes into the roll before, and leaves
// it after. One in between would be found no more, and would hide the next of its hash.
type directory struct {
	hash  func(key string) uint64
	roll  *roll
	first map[uint64]shape.ID
	more  []*Shape // those whose hash another one has: as good as never
}

func newDirectory(l *roll) directory {
	seed := maphash.MakeSeed()
	return directory{
		hash:  func(key string) uint64 { return maphash.String(seed, key) },
		roll:  l,
		first: map[uint64]shape.ID{},
	}
}

// find returns the shape with a key, or nil.
func (d *directory) find(key string) *Shape {
	id, known := d.first[d.hash(key)]
	if !known {
		return nil
	}
	if s := d.roll.get(id); s.def.Is(key) {
		return s
	}
	for _, s := range d.more {
		if s.def.Is(key) {
			return s
		}
	}
	return nil
}

// put lets a shape be found, instead of another one of the same key.
func (d *directory) put(s *Shape) {
	key := s.Key()
	if old := d.find(key); old != nil {
		d.drop(old)
	}
	h := d.hash(key)
	if _, taken := d.first[h]; taken {
		d.more = append(d.more, s)
		return
	}
	d.first[h] = s.id
}

// drop lets a shape be found no more. It may be another one that has its key.
func (d *directory) drop(s *Shape) {
	if i := slices.Index(d.more, s); i >= 0 {
		d.more = slices.Delete(d.more, i, i+1)
		return
	}
	h := d.hash(s.Key())
	if id, known := d.first[h]; !known || id != s.id {
		return
	}
	delete(d.first, h)
	for i, other := range d.more {
		if d.hash(other.Key()) == h {
			d.first[h] = other.id
			d.more = slices.Delete(d.more, i, i+1)
			return
		}
	}
}
