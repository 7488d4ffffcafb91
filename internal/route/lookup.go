package route

import (
	"bytes"
	"slices"

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
		return x.everyOf(t, dst)
	}
	t.align(ch.Rel)
	if !x.find(t, ch) {
		return x.everyOf(t, dst)
	}
	for _, n := range t.plain {
		dst = append(dst, x.entries.at(n).id)
	}
	for _, n := range x.sure {
		dst = append(dst, x.entries.at(n).id)
	}
	x.looked += uint64(len(t.plain) + len(x.sure) + len(x.found))
	if x.spread != nil && len(x.found) >= 2*spreadPart {
		return x.trySpread(t, ch, dst)
	}
	for _, n := range x.found {
		if e := x.entries.at(n); x.try(t, e, ch) {
			dst = append(dst, e.id)
		}
	}
	return dst
}

// find collects the shapes that the change touches, or must be tried on. It is not ok if reading a
// value panics: then any shape may be touched.
func (x *Index) find(t *table, ch *wal.Change) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	x.found, x.sure = x.found[:0], x.sure[:0]
	if ch.Old != nil {
		x.row(t, ch.Old)
	}
	if ch.New != nil && !t.alike(ch) {
		x.row(t, ch.New)
	}
	return true
}

// trySpread tries many at once.
func (x *Index) trySpread(t *table, ch *wal.Change, dst []shape.ID) []shape.ID {
	for _, n := range x.found {
		t.rows(x.entries.at(n).def.Table, ch, x.stamp) // they are only read from here on
	}
	x.hits = slices.Grow(x.hits[:0], len(x.found))[:len(x.found)]
	x.spread((len(x.found)+spreadPart-1)/spreadPart, func(part int) {
		for i := part * spreadPart; i < min((part+1)*spreadPart, len(x.found)); i++ {
			x.hits[i] = x.try(t, x.entries.at(x.found[i]), ch)
		}
	})
	for i, n := range x.found {
		if x.hits[i] {
			dst = append(dst, x.entries.at(n).id)
		}
	}
	return dst
}

// row collects the shapes that want what a row has.
func (x *Index) row(t *table, row wal.Tuple) {
	for _, c := range t.columns {
		c.read(row)
	}
	x.walk(&t.root, true)
}

// alike reports whether both rows have the same in all columns of the index.
func (t *table) alike(ch *wal.Change) bool {
	if ch.Old == nil {
		return false
	}
	for _, c := range t.columns {
		if c.at < 0 || c.at >= min(len(ch.Old), len(ch.New)) {
			return false
		}
		was, is := ch.Old[c.at], ch.New[c.at]
		if (was == nil) != (is == nil) || !bytes.Equal(was, is) {
			return false
		}
	}
	return true
}

// value is what the row at hand has in a column.
type value struct {
	state    valueState
	key      []byte
	elements []string // of an array: their keys; or the parts of a text
}

type valueState uint8

const (
	isNull  valueState = iota // it satisfies no anchor
	isKnown                   // by its key
	isAny                     // it has gone or cannot be read: it may satisfy any
)

func (c *column) read(row wal.Tuple) {
	v := &c.value
	switch {
	case c.at < 0 || c.at >= len(row):
		v.state = isAny // shapes on it will be rotated
	case row[c.at] == nil:
		v.state = isNull
	case c.parts:
		parts, ok := expr.AppendParts(v.elements[:0], row[c.at])
		v.elements, v.state = parts, isKnown
		if !ok {
			v.state = isAny
		}
	case c.typ.Array:
		keys, ok := expr.AppendKeys(v.elements[:0], c.typ, row[c.at])
		slices.Sort(keys)
		v.elements, v.state = slices.Compact(keys), isKnown
		if !ok {
			v.state = isAny
		}
	default:
		key, ok := expr.AppendKey(v.key[:0], c.typ, row[c.at])
		v.key, v.state = key, isKnown
		if !ok {
			v.state = isAny
		}
	}
}

// walk collects what the values at hand lead to from a node on. sure: they are what the
// anchors on the way ask for, and not ones that may be anything.
func (x *Index) walk(n *node, sure bool) {
	x.collect(n.list, sure)
	for _, h := range n.hashes {
		switch h.state() {
		case isKnown:
			if c := h.columns[0]; c.typ.Array || c.parts {
				for _, key := range c.value.elements {
					x.follow(h.keys.findString(key), sure)
				}
				continue
			}
			x.follow(h.keys.find(x.keyOf(h)), sure)
		case isAny:
			for t := range h.keys.all {
				x.follow(t, false)
			}
		}
	}
	for _, r := range n.ranges {
		switch v := &r.column.value; v.state {
		case isKnown:
			x.holding(r.root, v.key)
		case isAny:
			x.every(r.root)
		}
	}
}

func (x *Index) follow(t target, sure bool) {
	if n, ok := t.node(); ok {
		x.walk(x.nodes.at(n), sure)
		return
	}
	x.collect(t.list(), sure)
}

// state is what is known of the columns' values together: one NULL is enough.
func (h *hash) state() valueState {
	all := isKnown
	for _, c := range h.columns {
		switch c.value.state {
		case isNull:
			return isNull
		case isAny:
			all = isAny
		}
	}
	return all
}

// keyOf is the key of the values at hand, as step.key makes it.
func (x *Index) keyOf(h *hash) []byte {
	if len(h.columns) == 1 {
		return h.columns[0].value.key
	}
	x.key = x.key[:0]
	for _, c := range h.columns {
		x.key = appendPart(x.key, c.value.key)
	}
	return x.key
}

// collect notes the shapes of a list, each once a change. A clause that has been found
// true without being asked need not be evaluated.
func (x *Index) collect(list link, sure bool) {
	for l := list; l != 0; {
		p := x.place(l)
		if e := x.entries.at(p.entry); e.seen != x.stamp {
			e.seen = x.stamp
			if sure && e.whole {
				x.sure = append(x.sure, p.entry)
			} else {
				x.found = append(x.found, p.entry)
			}
		}
		l = p.next
	}
}

// try reports whether a shape's clause is true of the row before or after.
func (x *Index) try(t *table, e *entry, ch *wal.Change) bool {
	before, after, ok := t.rows(e.def.Table, ch, x.stamp)
	return !ok || matches(e, before) || matches(e, after)
}

// matches counts a clause that panics as true: its consumer panics as well, where that
// costs one shape, and not the stream of all.
func matches(e *entry, row wal.Tuple) (may bool) {
	if row == nil {
		return false
	}
	defer func() {
		if recover() != nil {
			may = true
		}
	}()
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
