package engine

import (
	"slices"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// kin is what is known of partitions and inheritance children: the parents of
// each table, none for a table that has none. It is not changed any more: learn
// makes another.
type kin map[uint32][]uint32

type edge struct{ child, parent uint32 }

// news is how a look at the catalogue differs from what was known.
type news struct {
	added   []pgquery.Edge
	removed []edge
	kin     kin // what is known after it
}

// learn takes in what the catalogue said of everything above and below some
// tables.
func (k kin) learn(oids []uint32, found []pgquery.Edge) news {
	is := make(kin, len(k)+len(found))
	for c, ps := range k {
		is[c] = slices.Clone(ps)
	}
	have, walked := make(map[edge]bool, len(found)), make(kin, len(found))
	for _, e := range found {
		have[edge{e.Child, e.Parent}] = true
		is.add(e.Child, e.Parent)
		walked.add(e.Child, e.Parent)
	}
	n := news{kin: is}
	// All edges up from these, and all down to those, would have been found.
	above, below := walked.above(oids...), walked.below(oids)
	for c, ps := range k {
		for _, p := range ps {
			if e := (edge{c, p}); (above[c] || below[p]) && !have[e] {
				n.removed = append(n.removed, e)
			}
		}
	}
	for _, e := range found {
		if !slices.Contains(k[e.Child], e.Parent) {
			n.added = append(n.added, e)
		}
	}
	for _, e := range n.removed {
		is[e.child] = slices.DeleteFunc(is[e.child], func(p uint32) bool { return p == e.parent })
	}
	for oid := range above {
		is.know(oid)
	}
	return n
}

func (k kin) know(oid uint32) {
	if _, ok := k[oid]; !ok {
		k[oid] = nil
	}
}

func (k kin) add(child, parent uint32) {
	if !slices.Contains(k[child], parent) {
		k[child] = append(k[child], parent)
	}
}

// above are the tables themselves and all their ancestors.
func (k kin) above(oids ...uint32) map[uint32]bool {
	all := make(map[uint32]bool)
	for len(oids) > 0 {
		oid := oids[len(oids)-1]
		oids = oids[:len(oids)-1]
		if !all[oid] {
			all[oid] = true
			oids = append(slices.Clip(oids), k[oid]...)
		}
	}
	return all
}

// below are the tables themselves and all their descendants.
func (k kin) below(oids []uint32) map[uint32]bool {
	children := make(map[uint32][]uint32)
	for c, ps := range k {
		for _, p := range ps {
			children[p] = append(children[p], c)
		}
	}
	return kin(children).above(oids...)
}

// ancestors is the form that the stream needs.
func (k kin) ancestors() map[uint32][]uint32 {
	all := make(map[uint32][]uint32, len(k))
	for oid := range k {
		all[oid] = nil
		for a := range k.above(oid) {
			if a != oid {
				all[oid] = append(all[oid], a)
			}
		}
		slices.Sort(all[oid])
	}
	return all
}
