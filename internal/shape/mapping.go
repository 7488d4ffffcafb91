package shape

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spillway-sync/spillway/internal/wal"
)

// ErrSchema says that a relation of the stream is no longer the table that a
// definition was checked against.
var ErrSchema = errors.New("table changed")

// Mapping finds the columns of a Table in the rows of a Relation. Columns are
// matched by name: the stream may leave generated columns out, and a partition
// may have its columns in another order than its root.
type Mapping struct {
	table *Table
	rel   *wal.Relation
	// pos holds, for each column of the table, its position in the relation,
	// or -1 if it is missing or has another type. nil: column i is at i.
	pos []int

	// Extra names the columns of the relation that the table does not have:
	// they were added after the table was looked up.
	Extra []string
}

// Map is Align for a caller who needs every column of the table: it fails with
// ErrSchema if one is missing from the relation or has another type. Generated
// columns may be missing (Postgres before 18 does not publish them).
func Map(t *Table, r *wal.Relation) (Mapping, error) {
	m := Align(t, r)
	if m.pos == nil {
		return m, nil
	}
	for i, p := range m.pos {
		if p < 0 && (t.Columns[i].Generated == 0 || findIn(r, t.Columns[i].Name, 0) >= 0) {
			return m, m.fault(i)
		}
	}
	return m, nil
}

// Align maps what can be mapped. Columns that are missing, retyped or moved read as
// NULL; Check tells whether one that matters is among them.
func Align(t *Table, r *wal.Relation) Mapping {
	m := Mapping{table: t, rel: r, pos: make([]int, len(t.Columns))}
	identity := true
	found := make([]bool, len(r.Columns))
	next := 0 // after the last match: a dropped column shifts those behind it
	for i := range t.Columns {
		c := &t.Columns[i]
		p := findIn(r, c.Name, next)
		if p >= 0 {
			found[p] = true
			next = p + 1
			if !sameType(c, &r.Columns[p]) {
				p = -1
			}
		}
		m.pos[i] = p
		identity = identity && p == i
	}
	for p, ok := range found {
		if !ok {
			m.Extra = append(m.Extra, r.Columns[p].Name)
		}
	}
	if identity {
		m.pos = nil
	} else if r.OID == t.OID {
		m.dropMoved()
	}
	return m
}

// dropMoved lets go of columns that are not where they were with regard to others: in
// one table, that takes another column of the same name, renamed or made anew. Of those
// that have changed places it cannot be said which ones they are.
func (m *Mapping) dropMoved() {
	moved := make([]bool, len(m.pos))
	most := -1
	for i, p := range m.pos {
		moved[i] = p >= 0 && p < most
		most = max(most, p)
	}
	least := len(m.rel.Columns)
	for i, p := range slices.Backward(m.pos) {
		if p < 0 {
			continue
		}
		if moved[i] || p > least {
			m.pos[i] = -1
		}
		least = min(least, p)
	}
}

// Check fails with ErrSchema if one of the columns (positions in the table) is
// missing from the relation or has another type there.
func (m Mapping) Check(cols []int) error {
	if m.pos == nil {
		return nil
	}
	for _, i := range cols {
		if m.pos[i] < 0 {
			return m.fault(i)
		}
	}
	return nil
}

// Identity reports whether the columns agree, so that Row gives its argument.
func (m Mapping) Identity() bool { return m.pos == nil }

// Row gives a row of the relation as a row of the table. It is src itself when
// the columns agree, otherwise it is built in scratch, which is grown if needed
// and should be handed in again next time. len(src) must be that of the
// relation's columns.
func (m Mapping) Row(src, scratch wal.Tuple) wal.Tuple {
	if src == nil {
		return nil
	}
	if m.pos == nil {
		return src[:len(m.table.Columns):len(m.table.Columns)]
	}
	scratch = scratch[:0]
	for _, p := range m.pos {
		if p < 0 {
			scratch = append(scratch, nil)
			continue
		}
		scratch = append(scratch, src[p])
	}
	return scratch
}

func (m Mapping) fault(i int) error {
	c := &m.table.Columns[i]
	p := findIn(m.rel, c.Name, 0)
	if p < 0 {
		return fmt.Errorf("%w: column %q is no longer in %q.%q",
			ErrSchema, c.Name, m.rel.Schema, m.rel.Name)
	}
	now := &m.rel.Columns[p]
	if sameType(c, now) {
		return fmt.Errorf("%w: column %q of %q.%q is another one of that name, or the one whose place it took is",
			ErrSchema, c.Name, m.rel.Schema, m.rel.Name)
	}
	return fmt.Errorf("%w: column %q of %q.%q has type %d (modifier %d) instead of %d (%d)",
		ErrSchema, c.Name, m.rel.Schema, m.rel.Name, now.Type, now.TypMod, c.Type.OID, c.TypMod)
}

func sameType(c *Column, r *wal.RelationColumn) bool {
	return c.Type.OID == r.Type && c.TypMod == r.TypMod
}

// findIn looks for a column from position start on, then before it.
func findIn(r *wal.Relation, name string, start int) int {
	for i := start; i < len(r.Columns); i++ {
		if r.Columns[i].Name == name {
			return i
		}
	}
	for i := range min(start, len(r.Columns)) {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}
