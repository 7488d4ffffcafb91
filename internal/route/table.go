package route

import (
	"slices"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// table is one table's part of the index.
type table struct {
	all     []*entry
	plain   []*entry // without a WHERE clause
	linear  []*entry // with one that has no anchors
	columns []*column

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

// column finds shapes by the value of one column. It is known by name: the
// definitions may stem from several versions of the table.
type column struct {
	name string
	typ  expr.Type
	at   int // in table.rel, -1: not there
	keys map[string]bucket
	size int // of keys at its greatest: a map keeps the size it once had
}

// bucket holds the shapes of one key. The first is kept apart, since most keys
// have one shape.
type bucket struct {
	first place
	rest  []place
}

// place is an anchor of a shape.
type place struct {
	e *entry
	n int32 // which of its anchors
}

func (t *table) add(e *entry) {
	e.all = int32(len(t.all))
	t.all = append(t.all, e)
	if e.def.Where == nil {
		e.one[0] = int32(len(t.plain))
		t.plain = append(t.plain, e)
		return
	}
	anchors := e.def.Where.Anchors()
	if len(anchors) == 0 {
		e.one[0] = int32(len(t.linear))
		t.linear = append(t.linear, e)
		return
	}
	if len(anchors) > 1 {
		e.slots = make([]int32, len(anchors))
	}
	for n, a := range anchors {
		t.column(e.def.Table.Columns[a.Col].Column).add(a.Key, place{e, int32(n)})
	}
}

func (t *table) remove(e *entry) {
	last := t.all[len(t.all)-1]
	t.all[e.all], last.all = last, e.all
	t.all = cut(t.all)
	if e.def.Where == nil {
		t.plain = removeAt(t.plain, e.one[0])
		return
	}
	anchors := e.def.Where.Anchors()
	if len(anchors) == 0 {
		t.linear = removeAt(t.linear, e.one[0])
		return
	}
	for n, a := range anchors {
		c := t.column(e.def.Table.Columns[a.Col].Column)
		c.remove(a.Key, e.slots[n])
		if len(c.keys) == 0 {
			t.columns = slices.DeleteFunc(t.columns, func(x *column) bool { return x == c })
		}
	}
}

// removeAt takes an entry out of plain or linear; the last one takes its place.
func removeAt(list []*entry, at int32) []*entry {
	last := list[len(list)-1]
	list[at], last.one[0] = last, at
	return cut(list)
}

// cut drops the last one and the memory of many that went before it.
func cut[T any](list []T) []T {
	clear(list[len(list)-1:])
	list = list[:len(list)-1]
	if cap(list) > 64 && len(list) < cap(list)/4 {
		return slices.Clip(slices.Clone(list))
	}
	return list
}

// column returns the index of one column, made if it is not there.
func (t *table) column(c expr.Column) *column {
	for _, x := range t.columns {
		if x.name == c.Name && x.typ.OID == c.Type.OID {
			return x
		}
	}
	x := &column{name: c.Name, typ: c.Type, keys: make(map[string]bucket)}
	t.columns = append(t.columns, x)
	t.rel = nil // where it stands in the relation is not known yet
	return x
}

func (c *column) add(key string, p place) {
	b, ok := c.keys[key]
	if !ok {
		p.e.slots[p.n] = 0
		c.keys[key] = bucket{first: p}
		c.size = max(c.size, len(c.keys))
		return
	}
	p.e.slots[p.n] = int32(1 + len(b.rest))
	b.rest = append(b.rest, p)
	c.keys[key] = b
}

func (c *column) remove(key string, at int32) {
	b := c.keys[key]
	if len(b.rest) == 0 {
		delete(c.keys, key)
		c.shrink()
		return
	}
	last := b.rest[len(b.rest)-1]
	if at == 0 {
		b.first = last
	} else {
		b.rest[at-1] = last
	}
	last.e.slots[last.n] = at
	b.rest = cut(b.rest)
	c.keys[key] = b
}

// shrink replaces a map that had been much larger.
func (c *column) shrink() {
	if c.size < 1024 || len(c.keys) > c.size/8 {
		return
	}
	keys := make(map[string]bucket, len(c.keys))
	for k, b := range c.keys {
		keys[k] = b
	}
	c.keys, c.size = keys, len(keys)
}

func (t *table) appendAll(dst []shape.ID) []shape.ID {
	if t == nil {
		return dst
	}
	for _, e := range t.all {
		dst = append(dst, e.id)
	}
	return dst
}
