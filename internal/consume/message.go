package consume

import (
	"strconv"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// form is what a change looks like to a shape.
type form uint8

const (
	inserted form = iota
	updated
	deleted
	movedOut // first half of an update that changes the key
	movedIn  // second half
	nForms
)

var operations = [nForms]string{"insert", "update", "delete", "delete", "insert"}

// A message ends with op_position, the last of its headers, so that "last" can
// be put in later.
const (
	plainTail = `}}`
	lastTail  = `,"last":true}}`
)

// Headers that are looked for again: see withoutLink.
const (
	keyChangeTo = `,"key_change_to":`
	txids       = `,"txids":[`
)

// layout is the part of a shape's messages that no change alters.
type layout struct {
	table *shape.Table
	cols  []int // selected, positions in table
	key   []int // the key's columns
	isKey []bool
	full  bool // replica=full

	names    [][]byte // "name": for each column of the table
	keyHead  []byte   // the key as far as all rows share it, with its first quote
	heads    [nForms][]byte
	constant int // bytes of a message without values, about
}

func newLayout(def *shape.Def) layout {
	t := def.Table
	l := layout{
		table: t, cols: def.Columns, key: t.KeyColumns(), isKey: make([]bool, len(t.Columns)),
		full: def.Replica == shape.ReplicaFull, names: make([][]byte, len(t.Columns)),
		keyHead: appendEscaped([]byte{'"'}, shape.AppendKeyRelation(nil, t)),
	}
	for _, i := range l.key {
		l.isKey[i] = true
	}
	l.constant = 200 + 3*len(l.keyHead)
	for _, i := range l.cols {
		l.names[i] = append(appendString(nil, t.Columns[i].Name), ':')
		l.constant += len(l.names[i]) + len(`"",`)
	}
	for f, operation := range operations {
		l.heads[f] = appendHead(nil, operation, t)
	}
	return l
}

// appendHead appends the headers that every change message of a table has.
func appendHead(dst []byte, operation string, t *shape.Table) []byte {
	dst = append(dst, `,"headers":{"operation":"`...)
	dst = append(dst, operation...)
	dst = append(dst, `","relation":[`...)
	dst = appendString(dst, t.Schema)
	dst = append(dst, ',')
	dst = appendString(dst, t.Name)
	return append(dst, ']')
}

// size guesses how long a message with the values of row is, in bytes.
func (l *layout) size(row wal.Tuple) int {
	if row == nil {
		return 0
	}
	n := l.constant
	for _, i := range l.cols {
		n += len(row[i])
	}
	for _, i := range l.key {
		n += 2*len(row[i]) + len(`/\"\"`)
	}
	return n
}

// append appends the message of a change in the form f (http-protocol §13.1).
func (l *layout) append(dst []byte, f form, tx *wal.Txn, at wal.Offset, before, after wal.Tuple) []byte {
	row := after
	if f == deleted || f == movedOut {
		row = before
	}
	dst = append(dst, `{"key":`...)
	dst = l.appendKey(dst, row)
	dst = append(dst, `,"value":{`...)
	switch {
	case f == inserted || f == movedIn || l.full:
		dst = l.appendValues(dst, row)
	case f == updated:
		dst = l.appendChanged(dst, after, before, after, true)
	default:
		dst = l.appendKeyValues(dst, row)
	}
	if f == updated && l.full {
		dst = append(dst, `},"old_value":{`...)
		dst = l.appendChanged(dst, before, before, after, false)
	}
	dst = append(dst, '}')
	dst = append(dst, l.heads[f]...)
	switch f {
	case movedOut:
		dst = append(dst, keyChangeTo...)
		dst = l.appendKey(dst, after)
	case movedIn:
		dst = append(dst, `,"key_change_from":`...)
		dst = l.appendKey(dst, before)
	}
	dst = append(dst, txids...)
	dst = strconv.AppendUint(dst, uint64(tx.XID), 10)
	dst = append(dst, `],"lsn":"`...)
	dst = strconv.AppendUint(dst, uint64(at.Tx), 10)
	dst = append(dst, `","op_position":`...)
	dst = strconv.AppendUint(dst, at.Op, 10)
	return append(dst, plainTail...)
}

// appendKey appends the row key as a JSON string.
func (l *layout) appendKey(dst []byte, row wal.Tuple) []byte {
	dst = append(dst, l.keyHead...)
	start := len(dst)
	return append(escapeTail(shape.AppendKeyValues(dst, l.table, row), start), '"')
}

// escapeTail escapes dst[start:]. What it becomes is made behind it, in the same
// memory, so that no other is needed.
func escapeTail(dst []byte, start int) []byte {
	end := len(dst)
	dst = appendEscaped(dst, dst[start:end])
	n := copy(dst[start:], dst[end:])
	return dst[:start+n]
}

func (l *layout) appendValues(dst []byte, row wal.Tuple) []byte {
	for n, i := range l.cols {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, l.names[i]...)
		dst = appendText(dst, row[i])
	}
	return dst
}

func (l *layout) appendKeyValues(dst []byte, row wal.Tuple) []byte {
	more := false
	for _, i := range l.cols {
		if l.isKey[i] {
			dst = l.appendValue(dst, i, row, &more)
		}
	}
	return dst
}

// appendChanged appends the values of row in the columns that the update
// changed, and those of the key if asked for.
func (l *layout) appendChanged(dst []byte, row, before, after wal.Tuple, key bool) []byte {
	more := false
	for _, i := range l.cols {
		if key && l.isKey[i] || !same(before[i], after[i]) {
			dst = l.appendValue(dst, i, row, &more)
		}
	}
	return dst
}

func (l *layout) appendValue(dst []byte, i int, row wal.Tuple, more *bool) []byte {
	if *more {
		dst = append(dst, ',')
	}
	*more = true
	dst = append(dst, l.names[i]...)
	return appendText(dst, row[i])
}

// AppendInsertRow appends the message of one row of a snapshot. row is indexed
// like the table's columns; only the selected ones are read, the key among them.
func AppendInsertRow(dst []byte, d *shape.Def, row wal.Tuple) []byte {
	dst = append(dst, `{"key":"`...)
	start := len(dst)
	dst = escapeTail(shape.AppendKey(dst, d.Table, row), start)
	dst = append(dst, `","value":{`...)
	for n, i := range d.Columns {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, d.Table.Columns[i].Name)
		dst = append(dst, ':')
		dst = appendText(dst, row[i])
	}
	dst = append(dst, '}')
	dst = appendHead(dst, operations[inserted], d.Table)
	return append(dst, plainTail...)
}
