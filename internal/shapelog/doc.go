// Package shapelog keeps what shapes have to say: the entries of their logs,
// the cursors that say how far each log has come, and their first rows.
//
// It owns the layout of keys and values in Pebble (docs/format.md, "Shape
// logs"), the reading of one chunk, and the files of snapshots.
//
// It never starts a goroutine of its own (Pebble has some for flushes and
// compactions), never decides what an entry says or who may write it, and never
// waits for a reader.
//
// Invariants:
//
//  1. Pebble's own WAL is off: the journal is the WAL. What was committed is
//     readable at once and durable after the next Flush.
//  2. The last entry of a transaction is a cursor, and other
//     cursors travel in one batch with the entries they speak of, so after
//     a crash every cursor's tail has all its entries. Entries beyond the
//     cursor can exist (an older epoch's late write); replay writes the same
//     bytes at the same offsets, and nobody reads above a published tail.
//  3. The epoch is part of a cursor's key and the highest position wins: a late
//     write of a fenced worker never moves a cursor back. An entry that is a cursor
//     has no epoch and needs none: whoever writes it again writes the same. That the position
//     counts and not the epoch is safe by 2, and needed: such a write may have
//     been told to the flush tracker before the worker was fenced.
//  4. A chunk's end is stored with its last entry: all readers, at any time, see
//     the same chunks.
//  5. The bytes of a snapshot chunk only grow, and stop growing when it is
//     closed. A snapshot that Finish returned for is durable.
//
// Files: log.go open, flush, delete, sweep · keys.go keys and values ·
// batch.go writing · read.go reading a chunk, cursors · snapshot.go writing a
// snapshot · chunk.go reading one, also while it is written · inline.go the
// form of small ones · pebble.go options and logging.
package shapelog
