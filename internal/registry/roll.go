package registry

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/spillway-sync/spillway/internal/shape"
)

// roll holds all shapes by their IDs. Besides the map there is a list in their
// order, so that who walks over a million of them holds the lock for a page at a
// time, and sorts nothing.
type roll struct {
	byID map[shape.ID]*Shape
	list []enrolled
	gone int // entries of list without a shape

	zoned map[shape.ID]*Shape // those that look at a time zone
}

type enrolled struct {
	id shape.ID
	s  *Shape // nil: it has gone
}

// pageShapes is how many shapes are looked at under one lock.
const pageShapes = 1024

func (l *roll) search(id shape.ID) (int, bool) {
	return slices.BinarySearchFunc(l.list, id, func(e enrolled, id shape.ID) int { return cmp.Compare(e.id, id) })
}

// add takes a shape in. Its ID is one of the highest: those that were stored
// meanwhile are all that may be above it.
func (l *roll) add(s *Shape) {
	l.byID[s.id] = s
	if w := s.def.Where; w != nil && len(w.Zones()) > 0 {
		l.zoned[s.id] = s
	}
	i, _ := l.search(s.id)
	l.list = slices.Insert(l.list, i, enrolled{s.id, s})
}

func (l *roll) remove(s *Shape) {
	if s == nil || l.byID[s.id] != s {
		return
	}
	i, _ := l.search(s.id)
	delete(l.byID, s.id)
	delete(l.zoned, s.id)
	l.list[i].s = nil
	l.gone++
	if l.gone > pageShapes && l.gone > len(l.list)/2 {
		l.list = slices.Clone(slices.DeleteFunc(l.list, func(e enrolled) bool { return e.s == nil }))
		l.gone = 0
	}
}

// after appends to page the shapes of a part of the list behind an ID. last is
// where to go on, more that there is something.
func (l *roll) after(id shape.ID, page []*Shape) (_ []*Shape, last shape.ID, more bool) {
	i, found := l.search(id)
	if found {
		i++
	}
	part := l.list[i:min(i+pageShapes, len(l.list))]
	for _, e := range part {
		if e.s != nil {
			page = append(page, e.s)
		}
	}
	if len(part) > 0 {
		id = part[len(part)-1].id
	}
	return page, id, i+len(part) < len(l.list)
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
		for more := true; more; {
			r.mu.Lock()
			page, id, more = r.shapes.after(id, page[:0])
			r.mu.Unlock()
			for _, s := range page {
				if !yield(s) {
					return
				}
			}
		}
	}
}
