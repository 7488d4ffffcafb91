// Package ingest hands the stream to the shapes: it is the spine, the shards
// and everything that keeps a stuck shard from hurting the others.
//
// The spine is one goroutine. It reads fsynced frames from the journal, decodes
// them once, routes each change, keeps the flush tracker, and hands finished
// batches to the shards' mailboxes. It waits in one select only, does no I/O
// but reading the journal's memory window, and never waits for a shard: a shard
// whose mailbox is full is left out ("lagging") and reads the journal by itself
// until it has caught up.
//
// A shard is a set of shapes and one worker goroutine. A consumer is not a
// goroutine: the worker runs it when one of its changes passes. One that fails
// or hangs costs its shard the worker once, after a tenth of a second; then it has to get over the place
// alone before it may come back, and is given up at the third strike.
//
// It never talks to Postgres or HTTP, and nobody's progress but the journal's
// fsync decides what is acknowledged.
//
// Invariants:
//
//  1. A shape's entries, its cursor and the worker's right to write them travel
//     in one batch. Cursors are stored under the worker's epoch, so a worker
//     that was replaced (a "ghost") can neither publish nor move a cursor.
//  2. Entries are a pure function of the stream and the definition. Replaying
//     any part of the journal writes the same bytes at the same offsets, which
//     is why every way of catching up (a full mailbox, a replaced worker, a new
//     shape, a crash) is the same replay.
//  3. A shape is published (its tail moves, its waiters wake) only after its
//     batch is in the shape log and only at transaction ends.
//  4. The journal is trimmed at the flush tracker's boundary only. A shape is
//     pinned before anything can complete it and unpinned only after its
//     tombstone is durable.
//  5. Controls (a joining shape, a removal, a resumption) reach a shard through
//     its mailbox, in order with the changes, at transaction ends.
//
// Files: ingest.go what others call · spine.go the spine · unpack.go frames to
// changes · shard.go mailboxes · worker.go a shard's worker · crew.go workers
// that are replaced · join.go new shapes · replay.go reading the journal by
// oneself · ahead.go what the next steps need · announce.go who is told of a relation · kin.go rows of partitions · flusher.go durability and trimming · undertaker.go
// removal · budget.go who holds too much of the journal · watchdog.go who makes no progress ·
// guard.go canary.go whether that is a fault of all · evidence.go strikes.go notes.go what is
// known of stalls, and kept · spread.go one change on many processors · status.go what operators see.
package ingest
