package registry

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/spillway-sync/spillway/internal/shape"
)

// roll holds all shapes by their IDs, and in the order of them, so that who walks over a
// million of them holds the lock for a page at a time, and sorts nothing.
type roll struct {
	byID  *shape.ByID[Shape]
	zoned map[shape.ID]*Shape // those that look at a time zone
}

// pageShapes is how many shapes are looked at under one lock.
const pageShapes = 1024

func newRoll() roll { return roll{byID: shape.NewByID[Shape](1), zoned: map[shape.ID]*Shape{}} }

// get returns the shape of that number, or nil.
func (l *roll) get(id shape.ID) *Shape { return l.byID.Get(id) }

func (l *roll) len() int { return l.byID.Len() }

func (l *roll) add(s *Shape) {
	l.byID.Put(s.id, s)
	if w := s.def.Where; w != nil && len(w.Zones()) > 0 {
		l.zoned[s.id] = s
	}
}

func (l *roll) remove(s *Shape) {
	if s == nil || l.get(s.id) != s {
		return
	}
	l.byID.Delete(s.id)
	delete(l.zoned, s.id)
}

// from appends to page the shapes from an ID on, a page of them. next is where to go on,
// more that there may be something.
func (l *roll) from(id shape.ID, page []*Shape) (_ []*Shape, next shape.ID, more bool) {
	for s := range l.byID.From(id) {
		if page = append(page, s); len(page) == pageShapes {
			return page, s.id + 1, true
		}
	}
	return page, id, false
}

// Zoned are the shapes whose clause looks at a time zone, in the order of their IDs.
func (r *Registry) Zoned() []*Shape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.shapes.zoned), func(a, b *Shape) int { return cmp.Compare(a.id, b.id) })
}

// All iterates over the shapes in the order of their IDs. One that comes or goes
// meanwhile may be among them.
func (r *Registry) All() iter.Seq[*Shape] { return r.After(0) }

// After is All without those up to an ID.
func (r *Registry) After(id shape.ID) iter.Seq[*Shape] {
	return func(yield func(*Shape) bool) {
		var page []*Shape
		next, more := id+1, id < math.MaxUint64
		for more {
			r.mu.Lock()
			page, next, more = r.shapes.from(next, page[:0])
			r.mu.Unlock()
			for _, s := range page {
				if !yield(s) {
					return
				}
			}
		}
	}
}
