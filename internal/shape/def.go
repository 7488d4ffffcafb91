package shape

import (
	"slices"
	"strconv"

	"github.com/spillway-sync/spillway/internal/expr"
)

// ID numbers shapes inside one data directory. It is never used again, also
// not after the shape is gone.
type ID uint64

// Handle names one incarnation of a shape's log for clients. It is opaque,
// URL- and header-safe, and never used again (http-protocol §15).
type Handle string

// Epoch counts the workers that were given the right to write a shape's log.
// What an older epoch says or writes does not count.
type Epoch uint64

// Replica is the "replica" parameter: how much of a row updates and deletes carry.
type Replica uint8

// The replica modes (shape-semantics §1.6).
const (
	ReplicaDefault Replica = iota
	ReplicaFull
)

// LogMode is the "log" parameter.
type LogMode uint8

// The log modes (shape-semantics §1.7).
const (
	LogFull LogMode = iota
	LogChangesOnly
)

// Def is a shape definition, checked against the catalogue. It is immutable.
type Def struct {
	Table *Table
	// Where is nil when there is no WHERE clause.
	Where *expr.Expr
	// Columns are the selected columns as positions in Table.Columns, sorted,
	// the key always among them.
	Columns []int
	// AllColumns: the request named no columns, so that a new column of the
	// table changes the shape.
	AllColumns bool
	Replica    Replica
	Log        LogMode
}

// Key is the canonical form: two definitions with equal keys share one log.
func (d *Def) Key() string {
	var room [256]byte
	return string(d.appendKey(room[:0]))
}

// Is says whether key is the definition's.
func (d *Def) Is(key string) bool {
	var room [256]byte
	return string(d.appendKey(room[:0])) == key
}

func (d *Def) appendKey(b []byte) []byte {
	t := d.Table
	b = strconv.AppendUint(b, uint64(t.OID), 10)
	part := func(s string) {
		b = strconv.AppendQuote(append(b, '|'), s)
	}
	part(t.Schema)
	part(t.Name)
	for _, i := range t.PK {
		part(t.Columns[i].Name)
	}
	b = append(b, ';')
	if d.Where != nil {
		part(d.Where.SQL())
	}
	b = append(b, ';')
	for _, name := range d.sortedNames() {
		part(name)
	}
	b = append(b, ';')
	b = strconv.AppendBool(b, d.AllColumns)
	b = append(b, ';')
	b = strconv.AppendInt(b, int64(d.Replica), 10)
	b = append(b, ';')
	return strconv.AppendInt(b, int64(d.Log), 10)
}

func (d *Def) sortedNames() []string {
	names := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		names[i] = d.Table.Columns[c].Name
	}
	slices.Sort(names)
	return names
}
