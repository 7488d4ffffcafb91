package shape

import "github.com/spillway-sync/spillway/internal/wal"

// Cursor is how far one shape's log has come. It travels in the same batch as
// the entries it speaks of, so that after a crash the two agree.
type Cursor struct {
	// Pos is a position (see package wal): transactions whose commit LSN is
	// below it are in the log and are skipped when they are replayed.
	Pos wal.LSN
	// Tail is the offset of the last entry, wal.AfterSnapshot if there is none.
	Tail wal.Offset
	// ChunkBytes is the size of the log's open chunk so far, in bytes: chunk
	// boundaries after a crash are those from before it.
	ChunkBytes int64
}

// Reason says in one word why a shape's log was given up. It is a fixed set:
// metrics count by it and clients see it in the body of a 409.
type Reason string

// The reasons.
const (
	ReasonTruncate   Reason = "truncate"
	ReasonSchema     Reason = "schema_changed"
	ReasonIdentity   Reason = "replica_identity_not_full"
	ReasonKey        Reason = "key_taken_twice" // by two rows at once: see Table.Deferrable
	ReasonEvaluation Reason = "where_failed"
	ReasonZone       Reason = "time_zone_changed" // the server has other rules for a zone of the clause
	ReasonContinuity Reason = "continuity_lost"
	ReasonSnapshot   Reason = "snapshot_failed"
	ReasonRestart    Reason = "restarted_during_snapshot"
	ReasonDeleted    Reason = "deleted"
	ReasonStalled    Reason = "stalled"
	ReasonBudget     Reason = "journal_budget"
	ReasonStorage    Reason = "storage_failed"
	ReasonMaxShapes  Reason = "max_shapes" // others needed its place
)
