package route

import (
	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// blind reports whether a change does not show the rows that it is about, so
// that nothing can be said about who is touched.
func blind(ch *wal.Change) bool {
	switch ch.Op {
	case wal.Insert:
		return ch.Incomplete
	case wal.Update:
		return ch.Incomplete || ch.OldIsKey || ch.Old == nil
	case wal.Delete:
		return ch.OldIsKey || ch.Old == nil
	}
	return true // a truncation is about all rows
}

func (x *Index) route(t *table, ch *wal.Change, dst []shape.ID) []shape.ID {
	if t == nil {
		return dst
	}
	if blind(ch) {
		return t.appendAll(dst)
	}
	t.align(ch.Rel)
	for _, e := range t.plain {
		dst = append(dst, e.id)
	}
	for _, e := range t.linear {
		dst = x.try(t, e, ch, dst)
	}
	for _, c := range t.columns {
		dst = x.find(t, c, ch.Old, ch, dst)
		dst = x.find(t, c, ch.New, ch, dst)
	}
	return dst
}

// find looks up the shapes that want the value which row has in a column.
func (x *Index) find(t *table, c *column, row wal.Tuple, ch *wal.Change, dst []shape.ID) []shape.ID {
	if row == nil {
		return dst
	}
	if c.at < 0 || c.at >= len(row) {
		return x.everyOf(c, dst) // the column has gone: they will be rotated
	}
	if row[c.at] == nil {
		return dst // NULL equals nothing
	}
	if c.typ.Array {
		return x.findElements(t, c, row[c.at], ch, dst)
	}
	key, ok := expr.AppendKey(x.key[:0], c.typ, row[c.at])
	if !ok {
		return x.everyOf(c, dst)
	}
	x.key = key
	return x.tryBucket(t, c.keys[string(key)], ch, dst)
}

// findElements looks up the shapes that want one of an array's elements.
func (x *Index) findElements(t *table, c *column, text []byte, ch *wal.Change, dst []shape.ID) []shape.ID {
	keys, ok := expr.AppendKeys(x.keys[:0], c.typ, text)
	if !ok {
		return x.everyOf(c, dst)
	}
	x.keys = keys
	for _, key := range keys {
		dst = x.tryBucket(t, c.keys[key], ch, dst)
	}
	return dst
}

// tryBucket tries the shapes of one key; the bucket may be of none.
func (x *Index) tryBucket(t *table, b bucket, ch *wal.Change, dst []shape.ID) []shape.ID {
	if b.first.e == nil {
		return dst
	}
	dst = x.try(t, b.first.e, ch, dst)
	for _, p := range b.rest {
		dst = x.try(t, p.e, ch, dst)
	}
	return dst
}

// everyOf appends all shapes of a column's index.
func (x *Index) everyOf(c *column, dst []shape.ID) []shape.ID {
	one := func(e *entry) {
		if e.seen != x.stamp {
			e.seen = x.stamp
			dst = append(dst, e.id)
		}
	}
	for _, b := range c.keys {
		one(b.first.e)
		for _, p := range b.rest {
			one(p.e)
		}
	}
	return dst
}

// try appends a shape if its clause is true of the row before or after.
func (x *Index) try(t *table, e *entry, ch *wal.Change, dst []shape.ID) []shape.ID {
	if e.seen == x.stamp {
		return dst
	}
	e.seen = x.stamp
	before, after, ok := t.rows(e.def.Table, ch, x.stamp)
	if !ok || matches(e, before) || matches(e, after) {
		return append(dst, e.id)
	}
	return dst
}

func matches(e *entry, row wal.Tuple) bool {
	if row == nil {
		return false
	}
	in, err := e.def.Where.Match(row)
	return in || err != nil
}

// align notes where the indexed columns stand in a relation.
func (t *table) align(rel *wal.Relation) {
	if t.rel == rel {
		return
	}
	t.rel, t.maps = rel, nil
	for _, c := range t.columns {
		c.at = -1
		for i := range rel.Columns {
			if rel.Columns[i].Name == c.name && rel.Columns[i].Type == c.typ.OID {
				c.at = i
			}
		}
	}
}

// rows gives the change's rows in the order of a version of the table. They are
// not ok if a column of that version has gone: its shapes will be rotated.
func (t *table) rows(version *shape.Table, ch *wal.Change, stamp uint64) (before, after wal.Tuple, ok bool) {
	m := t.mapping(version, ch.Rel)
	if m.err != nil {
		return nil, nil, false
	}
	if m.stamp != stamp {
		m.stamp = stamp
		before, after := m.m.Row(ch.Old, m.before), m.m.Row(ch.New, m.after)
		m.rows = [2]wal.Tuple{before, after}
		if !m.m.Identity() {
			m.keep(before, after)
		}
	}
	return m.rows[0], m.rows[1], true
}

// keep hands scratch that was grown back.
func (m *mapping) keep(before, after wal.Tuple) {
	if before != nil {
		m.before = before
	}
	if after != nil {
		m.after = after
	}
}

func (t *table) mapping(version *shape.Table, rel *wal.Relation) *mapping {
	for i := range t.maps {
		if t.maps[i].version == version {
			return &t.maps[i]
		}
	}
	m, err := shape.Map(version, rel)
	t.maps = append(t.maps, mapping{version: version, m: m, err: err})
	return &t.maps[len(t.maps)-1]
}
