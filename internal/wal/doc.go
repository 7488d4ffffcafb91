// Package wal is the vocabulary of the stream: what Postgres said, as values.
//
// It owns the names every other room uses for positions (LSN, XID, Offset), for
// what changed (Relation, Tuple, Change), for a piece of the raw stream (Frame)
// and for visibility (Snapshot).
//
// It never reads a clock, starts a goroutine, takes a lock or does I/O, and it
// imports nothing of ours.
//
// Invariants:
//
//  1. LSNs and offsets are unsigned 64-bit everywhere; a comparison is never
//     done on text or on 32 bits.
//  2. "Position" always means: every transaction whose commit record starts
//     below it has been seen, none that starts at or above it. The end of a
//     transaction (Txn.End) is therefore a position, its commit LSN
//     (Txn.Commit) is not.
//  3. Values are shared read-only between goroutines once they were handed on.
//
// Files: lsn.go positions · offset.go places in a shape's log · change.go rows
// and what happened to them · frame.go raw pieces of the stream · snapshot.go
// visibility.
package wal
