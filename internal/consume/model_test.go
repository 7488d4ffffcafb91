package consume

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// condition is a WHERE clause for tests: "<column> <op> <text>" with the
// operators = < > (as texts, never true of NULL) and "fails", which cannot be
// evaluated for that text.
type condition struct {
	col  int
	op   string
	text string
}

func parseCondition(t *shape.Table, s string) (*condition, error) {
	parts := strings.Fields(s)
	if len(parts) != 3 || t.Find(parts[0]) < 0 {
		return nil, fmt.Errorf("condition %q: want <column> <op> <text>", s)
	}
	return &condition{t.Find(parts[0]), parts[1], parts[2]}, nil
}

// eachColumn has the lists that Columns returns: it is asked for each row.
var eachColumn = [...]int{0, 1, 2, 3, 4, 5, 6, 7}

func (c *condition) Columns() []int { return eachColumn[c.col : c.col+1] }

func (c *condition) Match(row wal.Tuple) (bool, error) {
	v := row[c.col]
	if v == nil {
		return false, nil
	}
	switch order := bytes.Compare(v, []byte(c.text)); c.op {
	case "=":
		return order == 0, nil
	case "<":
		return order < 0, nil
	case ">":
		return order > 0, nil
	case "fails":
		if order == 0 {
			return false, errors.New("division by zero")
		}
		return true, nil
	}
	return false, fmt.Errorf("unknown operator %s", c.op)
}

var typeOIDs = map[string]uint32{"text": 25, "int4": 23, "int8": 20, "bool": 16}

// newTable makes a table with the columns "name:type …" and the primary key
// "a,b" (none if empty).
func newTable(name, columns, pk string) (*shape.Table, error) {
	schema, table, _ := strings.Cut(name, ".")
	t := &shape.Table{OID: 16384, Schema: schema, Name: table, Kind: 'r', Identity: 'f'}
	for i, c := range strings.Fields(columns) {
		column, typ, _ := strings.Cut(c, ":")
		oid := typeOIDs[typ]
		t.Columns = append(t.Columns, shape.Column{
			Column: expr.Column{Name: column, Type: expr.Type{OID: oid, Name: typ, Base: oid}},
			Num:    int16(i + 1), TypMod: -1, SchemaType: typ,
		})
	}
	if pk != "" {
		var err error
		t.PK, err = positions(t, pk)
		return t, err
	}
	return t, nil
}

// positions reads "a,b".
func positions(t *shape.Table, names string) ([]int, error) {
	var cols []int
	for name := range strings.SplitSeq(names, ",") {
		i := t.Find(name)
		if i < 0 {
			return nil, fmt.Errorf("table %s has no column %q", t.Name, name)
		}
		cols = append(cols, i)
	}
	return cols, nil
}

// newDef makes a definition; cols nil means all columns.
func newDef(t *shape.Table, cols []int, replica shape.Replica) *shape.Def {
	d := &shape.Def{Table: t, Columns: cols, Replica: replica}
	if cols == nil {
		d.AllColumns = true
		for i := range t.Columns {
			d.Columns = append(d.Columns, i)
		}
	}
	slices.Sort(d.Columns)
	return d
}

// announce is what the stream says of a table, its columns in the given order
// (nil: as they are).
func announce(t *shape.Table, order []int) *wal.Relation {
	r := &wal.Relation{OID: t.OID, Schema: t.Schema, Name: t.Name, Identity: t.Identity}
	if order != nil {
		r.OID++ // a partition
	}
	for n := range t.Columns {
		i := n
		if order != nil {
			i = order[n]
		}
		c := &t.Columns[i]
		r.Columns = append(r.Columns, wal.RelationColumn{Name: c.Name, Type: c.Type.OID, TypMod: c.TypMod, Key: true})
	}
	return r
}

// consumer is New with a test's condition, nil for none.
func consumer(d *shape.Def, where *condition, cur shape.Cursor, chunk int64, snap *wal.Snapshot) *Consumer {
	c := New(d, cur, chunk, snap)
	if where != nil {
		c.where = where
	}
	return c
}

var start = shape.Cursor{Tail: wal.AfterSnapshot}
