package engine

import (
	"slices"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// kin is what is known of partitions and inheritance children: the parents of
// each table, none for a table that has none. It is not changed any more: learn
// makes another.
type kin map[uint32][]parent

// parent is the upper end of an edge, and which transaction made it: a table that
// was detached and attached again between two looks has had changes that nobody told.
type parent struct {
	OID  uint32 `json:"oid"`
	Made uint32 `json:"made"`
}

type edge struct{ child, parent uint32 }

// news is how a look at the catalogue differs from what was known.
type news struct {
	added   []pgquery.Edge // and those that were made anew
	removed []edge
	left    []uint32 // children that have left a parent, if only for a while
	kin     kin      // what is known after it
}

// none reports whether it is no news to who knew k.
func (n news) none(k kin) bool { return len(n.added)+len(n.removed) == 0 && len(n.kin) == len(k) }

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
		is.add(e)
		walked.add(e)
	}
	n := news{kin: is}
	// All edges up from these, and all down to those, would have been found.
	above, below := walked.above(oids...), walked.below(oids)
	for c, ps := range k {
		for _, p := range ps {
			if e := (edge{c, p.OID}); (above[c] || below[p.OID]) && !have[e] {
				n.removed, n.left = append(n.removed, e), append(n.left, c)
			}
		}
	}
	for _, e := range found {
		if slices.Contains(k[e.Child], parent{e.Parent, e.Made}) {
			continue
		}
		n.added = append(n.added, e)
		if slices.ContainsFunc(k[e.Child], to(e.Parent)) {
			n.left = append(n.left, e.Child)
		}
	}
	for _, e := range n.removed {
		is[e.child] = slices.DeleteFunc(is[e.child], to(e.parent))
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

func (k kin) add(e pgquery.Edge) {
	k[e.Child] = append(slices.DeleteFunc(k[e.Child], to(e.Parent)), parent{e.Parent, e.Made})
}

// to finds the parent of an OID.
func to(oid uint32) func(parent) bool { return func(p parent) bool { return p.OID == oid } }

// above are the tables themselves and all their ancestors.
func (k kin) above(oids ...uint32) map[uint32]bool {
	return reach(oids, func(oid uint32, next func(uint32)) {
		for _, p := range k[oid] {
			next(p.OID)
		}
	})
}

// below are the tables themselves and all their descendants.
func (k kin) below(oids []uint32) map[uint32]bool {
	children := make(map[uint32][]uint32)
	for c, ps := range k {
		for _, p := range ps {
			children[p.OID] = append(children[p.OID], c)
		}
	}
	return reach(oids, func(oid uint32, next func(uint32)) {
		for _, c := range children[oid] {
			next(c)
		}
	})
}

// reach are some tables and all that step leads to from them.
func reach(oids []uint32, step func(oid uint32, next func(uint32))) map[uint32]bool {
	all := make(map[uint32]bool)
	var visit func(oid uint32)
	visit = func(oid uint32) {
		if !all[oid] {
			all[oid] = true
			step(oid, visit)
		}
	}
	for _, oid := range oids {
		visit(oid)
	}
	return all
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
