package consume

import (
	"fmt"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Entry is one message of a shape's log.
type Entry struct {
	Offset wal.Offset
	// JSON is read-only. It stays as it is until Encoders.Recycle.
	JSON []byte
	// Boundary: this entry is the last of its chunk.
	Boundary bool
	// Pos is 0, or this entry is the last of its transaction and the cursor behind
	// it has this position and ChunkBytes.
	Pos        wal.LSN
	ChunkBytes int64
}

// Out collects entries. The zero value is ready.
type Out struct {
	Entries []Entry
}

// Reset empties o for its next use.
func (o *Out) Reset() {
	clear(o.Entries) // or the memory behind JSON would be held
	o.Entries = o.Entries[:0]
}

// Rotate is the error that says: this shape's log can no longer be continued.
type Rotate struct {
	Reason shape.Reason
	Detail string
}

func (r *Rotate) Error() string {
	if r.Detail == "" {
		return fmt.Sprintf("rotate the shape: %s", r.Reason)
	}
	return fmt.Sprintf("rotate the shape: %s: %s", r.Reason, r.Detail)
}

// predicate is what a consumer needs of *expr.Expr.
type predicate interface {
	Match(row wal.Tuple) (bool, error)
	Columns() []int // the same list at each call
}

// Consumer is the state of one shape between two changes. One goroutine owns it
// at a time. Of a million shapes most are idle, so what only an open transaction needs
// is apart, and each change finds the rest in as few places in memory as can be.
type Consumer struct {
	def   *shape.Def
	where predicate // nil: every row is in
	enc   *encoder  // nil until it is needed
	rel   *wal.Relation
	open  *opened // nil: no transaction is

	cur shape.Cursor
	// snap is nil once nothing the snapshot saw can come any more.
	snap  *wal.Snapshot
	chunk int64 // bytes
}

// opened is an open transaction and what it will become.
type opened struct {
	commit  wal.LSN
	covered bool  // it is in the log or in the snapshot already
	bytes   int64 // what Cursor.ChunkBytes will be
	held    Entry // JSON nil: none
	// arrived are the keys that rows got in it, of a table whose key two rows may have.
	arrived map[string]bool
	pending *pending // of a table without a primary key
}

// New makes the consumer of a shape whose log has come to cur. A chunk of the
// log is closed once it has chunkBytes or more. snap is the shape's snapshot,
// nil if nothing it saw can lie at or after cur.Pos.
func New(def *shape.Def, cur shape.Cursor, chunkBytes int64, snap *wal.Snapshot) *Consumer {
	c := &Consumer{def: def, chunk: chunkBytes, cur: cur, snap: snap}
	if def.Where != nil {
		c.where = def.Where
	}
	c.forgetSnapshot()
	return c
}

// reads are the columns that the clause reads.
func (c *Consumer) reads() []int {
	if c.where == nil {
		return nil
	}
	return c.where.Columns()
}

// Touch reads a little of all that a change will read, and says nothing.
func (c *Consumer) Touch() bool {
	return c.def.Table == nil || c.where != nil && c.where.Columns() == nil
}

// Cursor is what the log stands for at the last commit: it may be stored with
// the entries given out so far, also in the middle of a transaction.
func (c *Consumer) Cursor() shape.Cursor { return c.cur }

// Change takes a change of an open transaction, in order, and appends the
// entries that are due. The error is a *Rotate; after it the consumer is of no
// more use, and what it gave of this transaction must not become visible.
func (c *Consumer) Change(tx *wal.Txn, ch *wal.Change, out *Out) error {
	if c.open == nil || c.open.commit != tx.Commit {
		c.begin(tx)
	}
	if c.open.covered {
		return nil
	}
	if ch.Op == wal.Truncate {
		return &Rotate{shape.ReasonTruncate, ""}
	}
	if ch.Rel != c.rel {
		if err := c.checkRelation(ch.Rel); err != nil {
			return err
		}
	}
	return c.step(tx, ch, out)
}

// Relation takes the news that rel was announced in transaction tx, for a shape
// that may have no row in it. What was announced in a transaction that the
// shape's log or snapshot covers, or in none (tx nil: a journal's preamble), may
// be older than the definition and says nothing; Change looks again.
func (c *Consumer) Relation(tx *wal.Txn, rel *wal.Relation) error {
	if rel == c.rel || tx == nil || c.covers(tx) {
		return nil
	}
	return c.checkRelation(rel)
}

// begin opens a transaction. One that is open already was broken off without
// Abort; it counts as aborted.
func (c *Consumer) begin(tx *wal.Txn) {
	c.Abort()
	c.open = c.encoder().owner.begin()
	c.open.commit, c.open.covered, c.open.bytes = tx.Commit, c.covers(tx), c.cur.ChunkBytes
}

// close ends the open transaction, if there is one.
func (c *Consumer) close() {
	if c.open != nil && c.enc != nil {
		c.enc.owner.end(c.open)
	}
	c.open = nil
}

func (c *Consumer) covers(tx *wal.Txn) bool {
	return tx.Commit < c.cur.Pos || c.snap != nil && c.snap.Sees(*tx)
}

// Commit ends a transaction: the entry held back is its last one, and the
// cursor moves on. It must be called for each transaction that Change was
// called in, and may be for others. tx.End must be known.
func (c *Consumer) Commit(tx *wal.Txn, out *Out) {
	if o := c.open; o != nil && o.commit == tx.Commit {
		c.release(out)
		if o.held.JSON != nil {
			c.cur.Tail = o.held.Offset
			c.give(o.held.Offset, c.encoder().last(o.held.JSON), out)
			last := &out.Entries[len(out.Entries)-1]
			last.Pos, last.ChunkBytes = tx.End, o.bytes
		}
		c.cur.ChunkBytes = o.bytes
		c.close()
	}
	c.Skip(tx.End)
}

// Abort forgets the open transaction, if there is one: it will come again from
// its beginning, or never.
func (c *Consumer) Abort() { c.close() }

// Skip tells that no transaction below pos that has not been given concerns the
// shape. It is called between transactions.
func (c *Consumer) Skip(pos wal.LSN) {
	c.cur.Pos = max(c.cur.Pos, pos)
	c.forgetSnapshot()
}

// forgetSnapshot lets go of the snapshot when the log is past it. Not earlier:
// after an abort all transactions at or after Pos may come again.
func (c *Consumer) forgetSnapshot() {
	if c.snap != nil && c.cur.Pos >= c.snap.Until {
		c.snap = nil
	}
}

// emit holds an entry back and gives the one before it.
func (c *Consumer) emit(off wal.Offset, json []byte, out *Out) {
	o := c.open
	if o.held.JSON != nil {
		c.give(o.held.Offset, o.held.JSON, out)
	}
	o.held = Entry{Offset: off, JSON: json}
}

func (c *Consumer) give(off wal.Offset, json []byte, out *Out) {
	e := Entry{Offset: off, JSON: json}
	c.open.bytes += int64(len(json))
	if c.open.bytes >= c.chunk {
		e.Boundary = true
		c.open.bytes = 0
	}
	out.Entries = append(out.Entries, e)
}
