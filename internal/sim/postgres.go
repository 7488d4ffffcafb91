package sim

import (
	"maps"
	"sync"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Table is a table of the model.
type Table struct {
	Def *shape.Table

	visible   rows             // committed and visible
	old       rows             // as of what was forgotten
	seen      view             // as it was asked for last
	published bool             // in the publication, with full replica identity
	locks     map[string]*Tx   // rows, by key, that an open transaction has touched
	exclusive *Tx              // has truncated it
	touching  map[*Tx]struct{} // has written to it and is not over
}

// rows is a table's content by row key.
type rows map[string]wal.Tuple

// view is a table's content after so many transactions.
type view struct {
	rows rows
	n    int
}

// Postgres is the model. Its methods may be called from any goroutine.
type Postgres struct {
	mu     sync.Mutex // leaf
	tables []*Table
	lsn    wal.LSN        // the end of the log
	xid    uint64         // the next
	open   map[uint64]*Tx // begun and not over; a commit that is not visible is not over
	log    []*Tx          // committed, in the order of their commit records
	gone   int            // so many before them were forgotten,
	since  wal.LSN        // and lie below this position
	slot   slot
	// changed is closed when a transaction is over or the log grows.
	changed chan struct{}
	scale   wal.LSN // how much log a change takes, in bytes
}

// firstXID makes the 32 bits of the stream's xids wrap around soon.
const firstXID = 3<<32 - 40

// Scale says how much log each change takes from now on, in bytes.
func (p *Postgres) Scale(bytes wal.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scale = bytes
}

// NewPostgres makes a server with empty tables.
func NewPostgres(tables ...*shape.Table) *Postgres {
	p := &Postgres{lsn: 0x1000000, scale: 100, xid: firstXID, open: make(map[uint64]*Tx), changed: make(chan struct{})}
	p.slot.confirmed = p.lsn
	for _, t := range tables {
		p.tables = append(p.tables, &Table{
			Def: t, visible: make(rows), old: make(rows), locks: make(map[string]*Tx), touching: make(map[*Tx]struct{}),
		})
	}
	return p
}

// Table returns a table of the model by number.
func (p *Postgres) Table(n int) *Table { return p.tables[n] }

// Tables is the number of tables.
func (p *Postgres) Tables() int { return len(p.tables) }

// Rows returns what is visible in a table now.
func (p *Postgres) Rows(t *Table) map[string]wal.Tuple {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(t.visible)
}

// Committed is how many transactions were committed.
func (p *Postgres) Committed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone + len(p.log)
}

// End is the end of the log.
func (p *Postgres) End() wal.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lsn
}

// notify wakes those who wait for a change. mu is held.
func (p *Postgres) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// tableOf finds the model's table of a definition's.
func (p *Postgres) tableOf(t *shape.Table) *Table {
	for _, m := range p.tables {
		if m.Def.OID == t.OID {
			return m
		}
	}
	panic("sim: no table " + t.Name)
}

// Numbers of some types of Postgres.
const (
	oidInt4 = 23
	oidText = 25
)

// NewTable describes a table: a column's type is int4 if its name begins with
// an i, else text. pk are positions of columns.
func NewTable(oid uint32, name string, pk []int, columns ...string) *shape.Table {
	t := &shape.Table{OID: oid, Schema: "public", Name: name, Kind: 'r', Identity: 'f', PK: pk}
	for i, c := range columns {
		typ := expr.Type{OID: oidText, Name: "text", Base: oidText}
		if c[0] == 'i' {
			typ = expr.Type{OID: oidInt4, Name: "int4", Base: oidInt4}
		}
		t.Columns = append(t.Columns, shape.Column{
			Column: expr.Column{Name: c, Type: typ, Bytewise: true, Deterministic: true},
			Num:    int16(i + 1), TypMod: -1, SchemaType: typ.Name,
		})
	}
	for _, i := range pk {
		t.Columns[i].NotNull = true
	}
	return t
}
