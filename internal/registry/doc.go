// Package registry knows which shapes live here.
//
// It owns the way from a definition or a handle to its shape, the state of each
// shape (first rows, tail, what its clients were told they have seen), the
// waiters on it, and the durable catalogue: a small Pebble with its WAL on
// (docs/format.md, "Catalogue").
//
// It never touches Postgres, never starts a goroutine, and never decides that a
// shape must go.
//
// Invariants:
//
//  1. Equal definitions share one shape; a shape is visible only when its
//     record is durable. One whose first rows failed is shared no more.
//  2. IDs and handles are never used again, handles not even after the data
//     directory was wiped.
//  3. A removed shape's tombstone is durable before anybody is told and before
//     its log is deleted.
//  4. A shape whose first rows were not complete does not survive a restart.
//  5. The registry's mutex and a shape's are never held across I/O. Order: the
//     registry's, a shape's, a snapshot's.
//  6. A shape that nobody waits on costs memory only, see TestIdleShapeBudget: one object
//     and its clause. What else there is for each shape has numbers and no pointers, but
//     for the roll.
//  7. Who is in the directory or in the order of use is in the roll.
//
// Files: registry.go open, find, list · create.go create and remove · table.go
// versions of tables · directory.go by definition · roll.go by number · shape.go
// one shape: tail, waiters · illness.go out of the stream, and who takes the place · life.go
// what happened to one · recency.go which goes when there are too many · first.go its first rows · read.go its log ·
// zones.go time zones of clauses · record.go what the catalogue stores · catalogue.go keys and writes · load.go
// Open's reading of it · stored.go the same without changing anything · facts.go what the engine must remember · handle.go
// names for shapes.
package registry
