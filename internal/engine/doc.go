// Package engine is the whole service without HTTP: it builds the rooms in
// order, proves that the stream goes on where the journal ends, restarts
// sessions, and decides what is fatal.
//
// It owns the configuration, the life of the data directory, the state of the
// service in one word, and the one decision about an error: try again, give up
// shapes, or end the process. It never speaks HTTP.
//
// Invariants:
//
//  1. Nothing is streamed before it is proven that what the slot will send
//     joins on to what the journal holds: same cluster, same timeline, same
//     slot, confirmed position not beyond ours. Otherwise every shape is
//     rotated; a log with a hole is never served.
//  2. What is on disk can be read while Postgres is away.
//  3. Reading Status waits for nobody.
//
// Files: config.go what can be set · engine.go build and run · session.go one
// replication session after the other · continuity.go the proof · source.go
// what clients' requests need · room.go which shapes go when there are too many ·
// database.go what snapshots need · family.go kin.go partitions and their ancestors ·
// reconcile.go tables that change without a word · published.go the publication, likewise ·
// zones.go time zones, likewise · audit.go the slot, and what Postgres
// retains for it · ladder.go ill shapes, built anew or parked · fate.go what
// is fatal · report.go what is left of a process with too many ghosts · lock_unix.go
// one process in a data directory · status.go lag.go freshness.go shapes.go life.go
// what operators see · chaos.go faults on purpose.
package engine
