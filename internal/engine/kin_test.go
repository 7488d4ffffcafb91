package engine

import (
	"maps"
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// What is learned of one family does not touch another, and what is not found any
// more is gone.
func TestKinLearns(t *testing.T) {
	edges := func(pairs ...uint32) (all []pgquery.Edge) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, pgquery.Edge{Child: pairs[i], Parent: pairs[i+1]})
		}
		return all
	}
	// 1 > 2 > 3 and 1 > 4; 10 > 11
	known := kin{}.learn([]uint32{1}, edges(2, 1, 3, 2, 4, 1)).kin
	known = known.learn([]uint32{10, 20}, edges(11, 10)).kin
	if got := known.ancestors(); !maps.EqualFunc(got, map[uint32][]uint32{
		1: nil, 2: {1}, 3: {1, 2}, 4: {1}, 10: nil, 11: {10}, 20: nil,
	}, slices.Equal) {
		t.Errorf("got %v", got)
	}
	for name, c := range map[string]struct {
		oids    []uint32
		found   []pgquery.Edge
		added   int
		removed []edge
		ancestors,
		of uint32 // the number of ancestors of a table, afterwards
		left []uint32
	}{
		"the same":                  {[]uint32{1}, edges(2, 1, 3, 2, 4, 1), 0, nil, 2, 3, nil},
		"seen from below":           {[]uint32{3}, edges(3, 2, 2, 1), 0, nil, 2, 3, nil},
		"a new one":                 {[]uint32{1}, edges(2, 1, 3, 2, 4, 1, 5, 2), 1, nil, 2, 5, nil},
		"a new one, from below":     {[]uint32{5}, edges(5, 2, 2, 1), 1, nil, 2, 5, nil},
		"one detached":              {[]uint32{1}, edges(2, 1, 4, 1), 0, []edge{{3, 2}}, 0, 3, []uint32{3}},
		"one detached, from below":  {[]uint32{3}, nil, 0, []edge{{3, 2}}, 0, 3, []uint32{3}},
		"a whole branch detached":   {[]uint32{1}, edges(4, 1), 0, []edge{{2, 1}}, 1, 3, []uint32{2}},
		"a branch, seen from there": {[]uint32{2}, edges(3, 2), 0, []edge{{2, 1}}, 1, 3, []uint32{2}},
		"a stranger":                {[]uint32{30}, nil, 0, nil, 0, 30, nil},
		"one detached and attached": {[]uint32{1}, append(edges(2, 1, 4, 1), pgquery.Edge{Child: 3, Parent: 2, Made: 9}), 1, nil, 2, 3, []uint32{3}},
	} {
		n := known.learn(c.oids, c.found)
		slices.SortFunc(n.removed, func(a, b edge) int { return int(a.child) - int(b.child) })
		if len(n.added) != c.added || !slices.Equal(n.removed, c.removed) || !slices.Equal(n.left, c.left) {
			t.Errorf("%s: added %v, removed %v, left %v", name, n.added, n.removed, n.left)
		}
		got, ok := n.kin.ancestors()[c.of]
		if !ok || len(got) != int(c.ancestors) {
			t.Errorf("%s: ancestors of %d: %v, known: %v", name, c.of, got, ok)
		}
		if _, ok := n.kin[11]; !ok {
			t.Errorf("%s: another family is forgotten", name)
		}
	}
}

// First rows of a root wait for a lock on a partition, whose name is another.
func TestWaitOn(t *testing.T) {
	t.Parallel()
	f := newFamilies(nil)
	f.known.Store(&kin{2: {{OID: 1}}, 3: {{OID: 2}}})
	waits := []pgquery.LockWait{{Relation: 9, Blocker: 90}, {Relation: 3, Blocker: 30}}
	for oid, blocker := range map[uint32]int32{1: 30, 2: 30, 3: 30, 9: 90} {
		if l := f.waitOn(oid, waits); l == nil || l.Blocker != blocker {
			t.Errorf("table %d waits for %+v", oid, l)
		}
	}
	if l := f.waitOn(4, waits); l != nil {
		t.Errorf("a table that nobody waits for waits for %+v", l)
	}
}
