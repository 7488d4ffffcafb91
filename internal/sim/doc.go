// Package sim is the engine between a model of Postgres and a disk that fails,
// sticks and loses power, in a bubble of virtual time, with an oracle. It is for
// tests only.
//
// It owns the model: tables with rows, transactions that overlap, commit records
// that are in the log before they are visible, snapshots, and a slot that sends
// again what was not confirmed. It also owns the strict reader, which follows a
// shape as a client would and believes nothing.
//
// The moving parts are the product's own: journal, shapelog, registry, ingest
// and snapshot, on one crashable file system in memory. Neither sockets nor HTTP
// are here; the rooms that speak to a real Postgres have tests of their own.
//
// Invariants that the oracle holds the engine to:
//
//  1. A reader never sees an offset go back, a row inserted twice, an update or
//     a delete of a row that it does not have, or half a transaction.
//  2. Where a reader is told that it is up to date as of a position, its rows are
//     those of the model at that position, filtered by the shape.
//  3. What was read is read again byte for byte after a crash, and no offset that
//     was given out lies beyond the tail once the engine says that it caught up.
//  4. What was acknowledged survives a power cut.
//  5. Shapes go for a reason of their own: what stops everybody evicts nobody. A
//     parked shape comes back when what ailed it is mended.
//  6. The boundary is never above what a power cut leaves of each live shape's
//     log, and the journal reaches back to it.
//
// Files: encode.go messages of the stream · postgres.go the model · tx.go its
// transactions · database.go what a new shape asks of it · slot.go the slot and
// its sessions · disk.go the disk's faults · engine.go the rooms put together ·
// reader.go the strict reader · oracle.go what a client must see. The steps are
// in sim_test.go, a million transactions in soak_test.go, crashes at given points
// in points_test.go and remove_test.go, what becomes of ill shapes in park_test.go.
package sim
