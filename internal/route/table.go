package route

import (
	"slices"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// table is one table's part of the index.
type table struct {
	all     []int32 // entries
	plain   []int32 // those without a WHERE clause
	root    node    // the places of all others
	columns []*column
	// versions are those of a partitioned table that definitions were made of, with
	// the number of them.
	versions map[*shape.Table]int

	// How the relation that is current maps to the versions of the table that
	// definitions were made of: nearly always one.
	rel  *wal.Relation
	maps []mapping
}

type mapping struct {
	version *shape.Table
	m       shape.Mapping
	err     error     // a column of version is missing
	before  wal.Tuple // scratch
	after   wal.Tuple
	stamp   uint64
	rows    [2]wal.Tuple
}

// column is one that anchors name. It is known by name and type: the definitions
// may stem from several versions of the table.
type column struct {
	name  string
	typ   expr.Type
	parts bool // what counts are the parts of its text
	at    int  // in table.rel, -1: not there
	users int  // anchors
	value value
}

// column returns the column that an anchor names, made if it is not there.
func (t *table) column(c *expr.Column, parts bool) *column {
	for _, x := range t.columns {
		if x.name == c.Name && x.typ.OID == c.Type.OID && x.parts == parts {
			return x
		}
	}
	x := &column{name: c.Name, typ: c.Type, parts: parts}
	t.columns = append(t.columns, x)
	t.rel = nil // where it stands in the relation is not known yet
	return x
}

func (x *Index) add(t *table, n int32) {
	e := x.entries.at(n)
	e.all = int32(len(t.all))
	t.all = append(t.all, n)
	if partitioned(e.def) {
		if t.versions == nil {
			t.versions = make(map[*shape.Table]int)
		}
		t.versions[e.def.Table]++
	}
	if e.def.Where == nil {
		e.plain = int32(len(t.plain))
		t.plain = append(t.plain, n)
		return
	}
	terms, known := e.def.Where.Terms()
	if !known {
		terms = []expr.Term{nil} // it is tried on every change
	}
	e.whole = e.def.Where.Whole()
	e.place = place{entry: n}
	for i, term := range terms {
		p := linkToFirst(n)
		if i > 0 {
			p = linkTo(x.places.add(place{entry: n, sibling: e.sibling}))
			e.sibling = p
		}
		x.insert(&t.root, t.steps(e.def.Table, term, 1), p)
	}
}

func (x *Index) remove(t *table, n int32) {
	e := x.entries.at(n)
	last := t.all[len(t.all)-1]
	t.all[e.all] = last
	x.entries.at(last).all = e.all
	t.all = cut(t.all)
	if partitioned(e.def) {
		if t.versions[e.def.Table]--; t.versions[e.def.Table] == 0 {
			delete(t.versions, e.def.Table)
		}
	}
	if e.def.Where == nil {
		last := t.plain[len(t.plain)-1]
		t.plain[e.plain] = last
		x.entries.at(last).plain = e.plain
		t.plain = cut(t.plain)
		return
	}
	terms, known := e.def.Where.Terms()
	if !known {
		terms = []expr.Term{nil}
	}
	// The places were put before each other: e.sibling is of the last term.
	for i, term := range slices.Backward(terms) {
		p := linkToFirst(n)
		if i > 0 {
			p = e.sibling
			e.sibling = x.place(p).sibling
		}
		x.take(&t.root, t.steps(e.def.Table, term, -1), p)
		if number, first := p.place(); !first {
			x.places.remove(number)
		}
	}
	t.columns = slices.DeleteFunc(t.columns, func(c *column) bool { return c.users == 0 })
}

// steps is the way of a term through the index. users is what is added to the
// users of the columns on it.
func (t *table) steps(version *shape.Table, term expr.Term, users int) []step {
	var is step
	var all []step
	for _, a := range term {
		c := t.column(&version.Columns[a.Col].Column, a.Kind == expr.AnchorPart)
		c.users += users
		switch a.Kind {
		case expr.AnchorIs:
			is.columns = append(is.columns, c)
			is.keys = append(is.keys, a.Low)
			continue
		case expr.AnchorHas, expr.AnchorPart:
			all = append(all, step{columns: []*column{c}, keys: []string{a.Low}})
			continue
		}
		all = append(all, step{columns: []*column{c}, within: true, low: a.Low, high: a.High, open: a.Open})
	}
	if len(is.columns) > 0 {
		is.sort()
		all = append([]step{is}, all...)
	}
	return all
}

// cut drops the last one and the memory of many that went before it.
func cut(list []int32) []int32 {
	list = list[:len(list)-1]
	if cap(list) > 64 && len(list) < cap(list)/4 {
		return slices.Clip(slices.Clone(list))
	}
	return list
}
