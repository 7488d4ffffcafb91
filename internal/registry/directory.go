package registry

import "hash/maphash"

// directory finds shapes by their definitions' keys. It keeps a hash of each key and
// makes the key anew to compare it, whole, with the one that is sought: as keys of a map
// they would be a tenth of what an idle shape costs.
type directory struct {
	hash  func(key string) uint64
	first map[uint64]*Shape
	more  []*Shape // those whose hash another one has: as good as never
}

func newDirectory() directory {
	seed := maphash.MakeSeed()
	return directory{
		hash:  func(key string) uint64 { return maphash.String(seed, key) },
		first: map[uint64]*Shape{},
	}
}

// find returns the shape with a key, or nil.
func (d *directory) find(key string) *Shape {
	s := d.first[d.hash(key)]
	if s == nil || s.def.Is(key) {
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
	if d.first[h] == nil {
		d.first[h] = s
		return
	}
	d.more = append(d.more, s)
}

// drop lets a shape be found no more. It may be another one that has its key.
func (d *directory) drop(s *Shape) {
	for i, other := range d.more {
		if other == s {
			d.more = append(d.more[:i], d.more[i+1:]...)
			return
		}
	}
	h := d.hash(s.Key())
	if d.first[h] != s {
		return
	}
	delete(d.first, h)
	for i, other := range d.more {
		if d.hash(other.Key()) == h {
			d.first[h] = other
			d.more = append(d.more[:i], d.more[i+1:]...)
			return
		}
	}
}
