package consume

import (
	"bytes"
	"fmt"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// step turns one change of rows into entries (shape-semantics §3.3, §3.4).
func (c *Consumer) step(tx *wal.Txn, ch *wal.Change, out *Out) error {
	before, after, err := c.rows(ch)
	if err != nil {
		return err
	}
	at := wal.Offset{Tx: tx.Commit, Op: ch.Seq}
	switch ch.Op {
	case wal.Insert:
		in, err := c.in(after)
		if err == nil && in {
			err = c.put(inserted, tx, at, nil, after, out)
		}
		return err
	case wal.Delete:
		in, err := c.in(before)
		if err == nil && in {
			err = c.put(deleted, tx, at, before, nil, out)
		}
		return err
	}
	was, err := c.in(before)
	if err != nil {
		return err
	}
	is := was
	if c.where != nil && differ(c.where.Columns(), before, after) {
		if is, err = c.in(after); err != nil {
			return err
		}
	}
	return c.update(tx, at, before, after, was, is, out)
}

// update gives the entries of an update whose row was in the shape before it,
// and is in it after.
func (c *Consumer) update(tx *wal.Txn, at wal.Offset, before, after wal.Tuple, was, is bool, out *Out) error {
	e := c.enc
	switch {
	case was && !is:
		return c.put(deleted, tx, at, before, nil, out)
	case is && !was:
		return c.put(inserted, tx, at, nil, after, out)
	case !is:
	case differ(e.key, before, after):
		if err := c.put(movedOut, tx, at, before, after, out); err != nil {
			return err
		}
		at.Op++
		return c.put(movedIn, tx, at, before, after, out)
	case differ(c.def.Columns, before, after):
		return c.put(updated, tx, at, before, after, out)
	}
	return nil
}

func (c *Consumer) put(f form, tx *wal.Txn, at wal.Offset, before, after wal.Tuple, out *Out) error {
	if len(c.def.Table.PK) == 0 {
		return c.wait(f, tx, at, before, after, out)
	}
	if c.def.Table.Deferrable {
		if err := c.trackKeys(f, before, after); err != nil {
			return err
		}
	}
	c.emit(at, c.enc.message(f, tx, at, before, after), out)
	return nil
}

// trackKeys finds a key that two rows may have at once: one got it, and one that
// has it leaves. The stream does not tell which of the two that is, and a client
// knows only one, so the shape has to begin again. That a row came and went within
// one transaction looks the same.
func (c *Consumer) trackKeys(f form, before, after wal.Tuple) error {
	t := c.def.Table
	switch f {
	case inserted, movedIn:
		if c.open.arrived == nil {
			c.open.arrived = map[string]bool{}
		}
		c.open.arrived[string(shape.AppendKeyValues(nil, t, after))] = true
	case deleted, movedOut:
		if key := shape.AppendKeyValues(nil, t, before); c.open.arrived[string(key)] {
			return &Rotate{shape.ReasonKey, fmt.Sprintf("%s of %q.%q, whose key two rows may have at once", key, t.Schema, t.Name)}
		}
	}
	return nil
}

// in reports whether the shape has the row.
func (c *Consumer) in(row wal.Tuple) (bool, error) {
	if c.where == nil {
		return true, nil
	}
	in, err := c.where.Match(row)
	if err != nil {
		return false, &Rotate{shape.ReasonEvaluation, err.Error()}
	}
	return in, nil
}

// rows gives the change's rows with the columns of the shape's table.
func (c *Consumer) rows(ch *wal.Change) (before, after wal.Tuple, err error) {
	if ch.Op != wal.Insert {
		if ch.Old == nil || ch.OldIsKey {
			return nil, nil, &Rotate{shape.ReasonIdentity, fmt.Sprintf(
				"%s of %q.%q came without the old row", ch.Op, ch.Rel.Schema, ch.Rel.Name)}
		}
	}
	if ch.Incomplete {
		return nil, nil, &Rotate{shape.ReasonIdentity, fmt.Sprintf(
			"%s of %q.%q came without an unchanged large value", ch.Op, ch.Rel.Schema, ch.Rel.Name)}
	}
	for _, row := range [2]wal.Tuple{ch.Old, ch.New} {
		if row != nil && len(row) != len(ch.Rel.Columns) {
			return nil, nil, &Rotate{shape.ReasonSchema, fmt.Sprintf(
				"a row of %q.%q has %d columns instead of %d", ch.Rel.Schema, ch.Rel.Name, len(row), len(ch.Rel.Columns))}
		}
	}
	before, after = c.encoder().rows(ch)
	return before, after, nil
}

// checkRelation finds out whether rows of rel can still be entries of the shape
// (shape-semantics §3.7).
func (c *Consumer) checkRelation(rel *wal.Relation) error {
	t := c.def.Table
	if rel.OID == t.OID && (rel.Schema != t.Schema || rel.Name != t.Name) {
		return &Rotate{shape.ReasonSchema, fmt.Sprintf(
			"%q.%q is now called %q.%q", t.Schema, t.Name, rel.Schema, rel.Name)}
	}
	a := c.encoder().align(rel)
	if a.fault != nil {
		return &Rotate{shape.ReasonSchema, a.fault.Error()}
	}
	if err := a.mapping.Check(c.reads()); err != nil {
		return &Rotate{shape.ReasonSchema, err.Error()}
	}
	// An heir of an ordinary table may well have columns of its own; a partition
	// cannot, and the root's Relation message never comes.
	own := rel.OID == t.OID || t.Kind == 'p'
	// Without a primary key a new column changes all keys.
	if extra := a.mapping.Extra; own && len(extra) > 0 && (c.def.AllColumns || len(t.PK) == 0) {
		return &Rotate{shape.ReasonSchema, fmt.Sprintf("column %q was added to %q.%q", extra[0], rel.Schema, rel.Name)}
	}
	c.rel = rel
	return nil
}

// differ reports whether one of the columns has another text. 1.0 and 1.00 are
// different texts: it is the text that clients see.
func differ(cols []int, a, b wal.Tuple) bool {
	for _, i := range cols {
		if !same(a[i], b[i]) {
			return true
		}
	}
	return false
}

func same(a, b []byte) bool {
	return (a == nil) == (b == nil) && bytes.Equal(a, b)
}
