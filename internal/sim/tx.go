package sim

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ErrLocked says that another open transaction is in the way. The model does
// not wait: its user does something else.
var ErrLocked = errors.New("sim: locked by another transaction")

// op is one change of a row, or the truncation of a table.
type op struct {
	table    *Table
	kind     wal.Op
	old, new wal.Tuple
	// published: the table was in the publication at the time.
	published bool
}

// Tx is a transaction of the model. One goroutine uses it.
type Tx struct {
	pg      *Postgres
	xid     uint64
	ops     []op
	mine    map[*Table]rows // what it has written; nil rows are deleted
	emptied map[*Table]bool // what was visible before is gone for it

	// Once committed:
	Commit, End wal.LSN
	logged      bool // the commit record is in the log
}

// Begin opens a transaction.
func (p *Postgres) Begin() *Tx {
	p.mu.Lock()
	defer p.mu.Unlock()
	if uint32(p.xid) < 3 {
		p.xid += 3 // the first three are special
	}
	tx := &Tx{pg: p, xid: p.xid, mine: make(map[*Table]rows), emptied: make(map[*Table]bool)}
	p.xid++
	p.lsn += 40
	p.open[tx.xid] = tx
	return tx
}

// Get returns the row of a key as the transaction sees it, nil if there is none.
func (tx *Tx) Get(t *Table, key string) wal.Tuple {
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	return tx.get(t, key)
}

func (tx *Tx) get(t *Table, key string) wal.Tuple {
	if row, ok := tx.mine[t][key]; ok {
		return row
	}
	if tx.emptied[t] {
		return nil
	}
	return t.visible[key]
}

// Put inserts a row, or changes the one with its key.
func (tx *Tx) Put(t *Table, row wal.Tuple) error {
	key := keyOf(t.Def, row)
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	if err := tx.lock(t, key); err != nil {
		return err
	}
	old := tx.get(t, key)
	kind := wal.Insert
	if old != nil {
		kind = wal.Update
	}
	tx.write(t, key, row)
	tx.did(op{table: t, kind: kind, old: old, new: row})
	return nil
}

// Move gives the row with a key another content, with another key.
func (tx *Tx) Move(t *Table, key string, row wal.Tuple) error {
	to := keyOf(t.Def, row)
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	if err := errors.Join(tx.lock(t, key), tx.lock(t, to)); err != nil {
		return err
	}
	old := tx.get(t, key)
	if old == nil || key != to && tx.get(t, to) != nil {
		return errors.New("sim: nothing to move, or its place is taken")
	}
	tx.write(t, key, nil)
	tx.write(t, to, row)
	tx.did(op{table: t, kind: wal.Update, old: old, new: row})
	return nil
}

// Delete deletes the row with a key, if there is one.
func (tx *Tx) Delete(t *Table, key string) error {
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	if err := tx.lock(t, key); err != nil {
		return err
	}
	old := tx.get(t, key)
	if old == nil {
		return nil
	}
	tx.write(t, key, nil)
	tx.did(op{table: t, kind: wal.Delete, old: old})
	return nil
}

// Truncate empties a table that nobody else is writing to.
func (tx *Tx) Truncate(t *Table) error {
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	for other := range t.touching {
		if other != tx {
			return ErrLocked
		}
	}
	t.exclusive = tx
	t.touching[tx] = struct{}{}
	tx.mine[t] = make(rows)
	tx.emptied[t] = true
	tx.did(op{table: t, kind: wal.Truncate})
	return nil
}

// lock takes a row. pg.mu is held.
func (tx *Tx) lock(t *Table, key string) error {
	if t.exclusive != nil && t.exclusive != tx {
		return ErrLocked
	}
	if holder := t.locks[key]; holder != nil && holder != tx {
		return ErrLocked
	}
	t.locks[key] = tx
	t.touching[tx] = struct{}{}
	return nil
}

func (tx *Tx) write(t *Table, key string, row wal.Tuple) {
	if tx.mine[t] == nil {
		tx.mine[t] = make(rows)
	}
	tx.mine[t][key] = row
}

func (tx *Tx) did(o op) {
	o.published = o.table.published
	tx.ops = append(tx.ops, o)
	tx.pg.lsn += tx.pg.scale
}

// Rollback ends the transaction without effect.
func (tx *Tx) Rollback() {
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	tx.pg.lsn += 40
	tx.over()
}

// Log writes the commit record. The transaction is decoded from now on but not
// visible before Show: it waits for a synchronous standby.
func (tx *Tx) Log() {
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	tx.Commit = tx.pg.lsn + 8
	tx.End = tx.Commit + 48
	tx.pg.lsn = tx.End
	tx.logged = true
	tx.pg.log = append(tx.pg.log, tx)
	tx.pg.notify()
}

// Show makes a transaction visible whose commit record is in the log.
func (tx *Tx) Show() {
	tx.pg.mu.Lock()
	defer tx.pg.mu.Unlock()
	for i := range tx.ops {
		apply(tx.ops[i].table.visible, &tx.ops[i])
	}
	tx.over()
}

// Finish commits without a gap between log and visibility.
func (tx *Tx) Finish() {
	tx.Log()
	tx.Show()
}

// over lets go of locks. pg.mu is held.
func (tx *Tx) over() {
	for _, t := range tx.pg.tables {
		if t.exclusive == tx {
			t.exclusive = nil
		}
		delete(t.touching, tx)
		for key, holder := range t.locks {
			if holder == tx {
				delete(t.locks, key)
			}
		}
	}
	delete(tx.pg.open, tx.xid)
	tx.pg.notify()
}

// apply does to a table's content what an op says.
func apply(r rows, o *op) {
	switch o.kind {
	case wal.Truncate:
		clear(r)
		return
	case wal.Delete, wal.Update:
		delete(r, keyOf(o.table.Def, o.old))
	}
	if o.new != nil {
		r[keyOf(o.table.Def, o.new)] = o.new
	}
}

func keyOf(t *shape.Table, row wal.Tuple) string { return string(shape.AppendKey(nil, t, row)) }

func sameRow(a, b wal.Tuple) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) || !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// At returns a table's content as of a position, by the order of the commits. It
// is good until the next call.
func (p *Postgres) At(t *Table, pos wal.LSN) map[string]wal.Tuple {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pos < p.since {
		panic("sim: what was at " + pos.String() + " is forgotten")
	}
	n := p.gone + p.below(pos)
	if v := &t.seen; v.rows == nil || v.n > n || v.n < p.gone {
		*v = view{rows: maps.Clone(t.old), n: p.gone}
	}
	for ; t.seen.n < n; t.seen.n++ {
		p.log[t.seen.n-p.gone].applyTo(t, t.seen.rows)
	}
	return t.seen.rows
}

// Forget gives the transactions back that commit below a position, which is
// confirmed and which nobody will look behind.
func (p *Postgres) Forget(pos wal.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.below(pos)
	for _, tx := range p.log[:n] {
		for _, t := range p.tables {
			tx.applyTo(t, t.old)
		}
	}
	p.log = slices.Clone(p.log[n:])
	p.gone += n
	p.since = max(p.since, pos)
}

// below is how many transactions of the log commit below a position. mu is held.
func (p *Postgres) below(pos wal.LSN) int {
	n, _ := slices.BinarySearchFunc(p.log, pos, func(tx *Tx, pos wal.LSN) int {
		if tx.Commit < pos {
			return -1
		}
		return 1
	})
	return n
}

func (tx *Tx) applyTo(t *Table, r rows) {
	for i := range tx.ops {
		if tx.ops[i].table == t {
			apply(r, &tx.ops[i])
		}
	}
}
