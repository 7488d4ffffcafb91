// Package pgoutput turns the messages of Postgres's pgoutput plugin (protocol
// version 1, text format; Postgres manual, "Logical Replication Message
// Formats") into values of package wal.
//
// It owns the layout of the messages, the cache of relations of one session,
// and the numbering of changes within a transaction.
//
// It never does I/O, keeps no bytes but those of relations, and does not decide
// which transactions matter.
//
// Invariants:
//
//  1. No input makes it panic: what does not fit is an error.
//  2. Values of rows alias the message. The slices that hold them are cut from
//     slabs which are never used again, so changes may be kept for as long as
//     one likes and a row costs no allocation of its own.
//  3. A relation that is announced again unchanged keeps its *wal.Relation.
//  4. A change's number counts all row changes of its transaction, also those
//     of tables that nobody wants: it is a function of the WAL.
//
// Files: decoder.go the messages · relation.go tables · read.go bytes.
package pgoutput
