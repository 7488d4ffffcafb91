package client

import (
	"encoding/json"
	"fmt"
	"maps"
)

// A Message is one element of a shape's log: a change of a row, or a word of
// the server's about the log itself. Exactly one of Headers.Operation,
// Headers.Control and Headers.Event is set.
type Message struct {
	// Key names the row within the shape: the relation and its primary key, or
	// all its columns if it has none. Opaque; equal for equal rows.
	Key string `json:"key,omitempty"`
	// Value has the row's columns: all of them for an insert; those of the
	// primary key and those that changed for an update; those of the primary key
	// for a delete. With ReplicaFull all of them, always.
	Value Row `json:"value,omitempty"`
	// OldValue has what changed columns had before, with ReplicaFull only.
	OldValue Row     `json:"old_value,omitempty"`
	Headers  Headers `json:"headers"`
}

// IsChange reports whether m is about a row.
func (m *Message) IsChange() bool { return m.Headers.Operation != "" }

// IsUpToDate reports whether m says that everything before it is a complete
// state: all that had been committed when the server answered.
func (m *Message) IsUpToDate() bool { return m.Headers.Control == UpToDate }

// IsMustRefetch reports whether m says that all that was received before it is
// void. The shape's rows follow anew.
func (m *Message) IsMustRefetch() bool { return m.Headers.Control == MustRefetch }

// Operation is what happened to a row.
type Operation string

// The operations.
const (
	OpInsert Operation = "insert"
	OpUpdate Operation = "update"
	OpDelete Operation = "delete"
)

// Control is what the server says about the log.
type Control string

// The words of control.
const (
	UpToDate    Control = "up-to-date"   // the end of the log, for now
	SnapshotEnd Control = "snapshot-end" // the rows of one snapshot are complete
	MustRefetch Control = "must-refetch" // all before is void
)

// Headers say what a message is. Which are set depends on the kind.
type Headers struct {
	Operation Operation `json:"operation,omitempty"`
	Control   Control   `json:"control,omitempty"`
	Event     string    `json:"event,omitempty"` // move-in, move-out: shapes with subqueries

	// Of changes.
	Relation []string `json:"relation,omitempty"` // schema, table
	// Of changes that came by replication; rows of a snapshot have none of them.
	TxIDs      []uint32 `json:"txids,omitempty"`       // pg_current_xact_id() modulo 2³²
	LSN        string   `json:"lsn,omitempty"`         // of the commit, decimal
	OpPosition *uint64  `json:"op_position,omitempty"` // within the transaction
	Last       bool     `json:"last,omitempty"`        // the shape's last change of the transaction
	// The other half of an update that changed the primary key, which is a
	// delete of the old key and an insert of the new one.
	KeyChangeTo   string `json:"key_change_to,omitempty"`
	KeyChangeFrom string `json:"key_change_from,omitempty"`
	SnapshotMark  uint32 `json:"snapshot_mark,omitempty"` // of rows of a subset

	// Of up-to-date: all changes committed up to here (an LSN, decimal) that
	// concern the shape have been delivered.
	GlobalLastSeenLSN string `json:"global_last_seen_lsn,omitempty"`
	// Of snapshot-end: pg_current_snapshot() of the rows before it.
	Xmin    string   `json:"xmin,omitempty"`
	Xmax    string   `json:"xmax,omitempty"`
	XipList []string `json:"xip_list,omitempty"`
	// Of must-refetch: why, if the server says so. Spillway does.
	Reason string `json:"reason,omitempty"`

	// Of shapes with subqueries.
	Tags             []string        `json:"tags,omitempty"`
	RemovedTags      []string        `json:"removed_tags,omitempty"`
	ActiveConditions []bool          `json:"active_conditions,omitempty"`
	IsMoveIn         bool            `json:"is_move_in,omitempty"`
	Patterns         json.RawMessage `json:"patterns,omitempty"`
}

// A Row has the columns of a row by name. Rows that this package hands out are
// shared: do not change them.
type Row map[string]Value

// with returns the row with the columns of an update.
func (r Row) with(update Row) Row {
	out := make(Row, max(len(r), len(update)))
	maps.Copy(out, r)
	maps.Copy(out, update)
	return out
}

// A Value is one column of a row, as Postgres prints it with TimeZone UTC,
// DateStyle ISO, IntervalStyle iso_8601 and bytea_output hex: 42, t, {a,b},
// 2026-01-31 10:00:00+00. The zero Value is NULL.
type Value struct {
	Text  string
	Valid bool // false: NULL
}

// Text is a Value that is not NULL.
func Text(s string) Value { return Value{s, true} }

// String is the text, or NULL.
func (v Value) String() string {
	if !v.Valid {
		return "NULL"
	}
	return v.Text
}

// Bool reports whether v is a true of Postgres: t in changes, t or true in
// first rows, depending on the server.
func (v Value) Bool() bool { return v.Valid && (v.Text == "t" || v.Text == "true") }

// MarshalJSON gives a string or null.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.Valid {
		return []byte("null"), nil
	}
	return json.Marshal(v.Text)
}

// UnmarshalJSON takes a string or null.
func (v *Value) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a column's value is neither text nor null: %w", err)
	}
	*v = Value{}
	if s != nil {
		*v = Text(*s)
	}
	return nil
}

// A Schema has the type of each column of a shape.
type Schema map[string]Column

// A Column is the type of one column.
type Column struct {
	Type    string `json:"type"`               // pg_type.typname, of the element for arrays
	Dims    int    `json:"dims,omitempty"`     // dimensions of an array; 0: not an array
	PKIndex *int   `json:"pk_index,omitempty"` // place in the primary key, from 0; nil: not in it
	NotNull bool   `json:"not_null,omitempty"`
	// Modifiers of the type, where it has them.
	MaxLength int    `json:"max_length,omitempty"` // varchar(n)
	Length    int    `json:"length,omitempty"`     // char(n), bit(n)
	Precision *int   `json:"precision,omitempty"`  // numeric, times
	Scale     *int   `json:"scale,omitempty"`      // numeric
	Fields    string `json:"fields,omitempty"`     // interval
	TypeMod   *int   `json:"type_mod,omitempty"`   // other types
}
