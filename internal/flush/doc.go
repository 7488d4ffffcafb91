// Package flush is the flush tracker: which shapes still owe that something
// becomes durable, from which position on the journal must be kept for them,
// and who among them has made no progress for how long.
//
// It owns the boundary below which the journal may be trimmed. It does not own
// the position that Postgres is told: that one comes from the journal's fsync
// alone, and nothing in here can hold it.
//
// A Tracker has a single owner. It takes no lock, calls nobody back, starts
// nothing, and reads no clock: every "now" is an argument, a monotonic duration
// since some start, never less than the one before.
//
// All positions are positions in the sense of package wal. A shape's debt is
// the pair of From (all below it is durable for this shape) and Owes (all below
// it must become so). Only shapes that owe something have an entry.
//
// Invariants:
//
//  1. Boundary is min(last routed, every entry's From), except that it never
//     goes back. Nothing owed: it is the last routed position.
//  2. Boundary is always a position that was given to the tracker: an exact end
//     of a transaction, never "one behind to be safe".
//  3. An entry goes when a durable position ≥ what it owes was reported, or when
//     its shape was removed; never by equality, never by time. Whoever calls
//     Removed has made the removal durable before (tombstone first).
//  4. A pinned entry does not go before SetGoal, whatever is reported.
//  5. Only a strictly higher position is progress. A repeated or lower one
//     changes nothing, and new traffic is not progress.
//  6. A word of an epoch lower than the highest that the entry knows of changes
//     nothing.
//  7. The list of progress is sorted by last progress, oldest first, so that
//     Stalled looks at the stalled entries and one more.
//  8. The heap's back-indexes, the map and the list speak of the same entries.
//
// Files: tracker.go debts and how they are settled · entry.go where entries
// live, and how memory is given back · heap.go who holds the boundary · clock.go
// who has made no progress.
package flush
