package wal

// Relation is a table as a Relation message of the stream describes it
// (Postgres manual, "Logical Replication Message Formats"). A new message
// makes a new Relation: a pointer identifies one version of a table.
type Relation struct {
	OID      uint32
	Schema   string
	Name     string
	Identity byte // pg_class.relreplident: 'd', 'n', 'f' or 'i'
	Columns  []RelationColumn
}

// RelationColumn is one column of a Relation, in attribute order. Columns that
// the publication leaves out (generated ones before Postgres 18) are missing.
type RelationColumn struct {
	Name   string
	Type   uint32 // pg_type.oid
	TypMod int32  // -1: none
	Key    bool   // part of the replica identity
}

// Tuple is one version of a row: the output text of each column of its
// relation, nil for NULL. An empty text is a non-nil slice of length 0.
type Tuple [][]byte

// Op says what happened to a row or table.
type Op uint8

// The operations of the stream.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate
)

func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	}
	return "unknown"
}

// Change is one change of one row, or the truncation of one table. A TRUNCATE
// of several tables arrives as one Change for each.
type Change struct {
	Op  Op
	Rel *Relation

	// Seq is the number of the change in its transaction, all tables counted,
	// times two (see Offset.Op).
	Seq uint64

	// Old is the row before (update and delete). It is nil for an insert or a
	// truncate, and for an update whose table does not have REPLICA IDENTITY
	// FULL and whose key did not change.
	Old Tuple
	// New is the row after (insert and update). An unchanged TOASTed value has
	// been filled in from Old.
	New Tuple

	// OldIsKey: Old holds only the identity's columns, the others are nil
	// though they need not be NULL.
	OldIsKey bool
	// Incomplete: New has an unchanged TOASTed value that could not be filled
	// in, since the table's replica identity is not FULL.
	Incomplete bool
}

// Txn is what is known of a transaction while its changes pass.
type Txn struct {
	// Commit is the LSN of the commit record (Begin's final_lsn): the Tx of
	// all offsets of this transaction.
	Commit LSN
	// End is the position just after the commit record: what is acknowledged.
	// It is 0 until the Commit message was seen.
	End LSN
	XID XID
}
