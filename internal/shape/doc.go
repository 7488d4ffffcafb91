// Package shape says what a client asked for: a table, a WHERE clause, columns
// and modes, as one comparable definition; and it names one incarnation of such
// a definition's log (Handle) and one worker's right to write it (Epoch).
//
// It owns the rules of identifiers (http-protocol §6), the row key
// (shape-semantics §1.4), the electric-schema header (http-protocol §14.2) and
// the canonical form by which two requests share one shape (§1.8).
//
// It never reads a clock, starts a goroutine, takes a lock or does I/O.
//
// Invariants:
//
//  1. Two definitions are the same shape if and only if their Key is equal as
//     a string. Equality is never derived from a hash.
//  2. A row has the same key in snapshot, log and subset: AppendKey is the one
//     function that makes it.
//
// Files: table.go a table of the catalogue · def.go the definition · build.go
// parameters → definition · ident.go identifiers · key.go row keys · mapping.go
// a relation's columns → a table's · fits.go whether a table still is the definition's ·
// subset.go a query over a shape's rows · schema.go the schema header · cursor.go · byid.go
// things by the IDs of shapes.
package shape
