// Package pgquery talks to Postgres over ordinary connections: what the
// catalogue says of a table, the publication, a shape's first rows, and the
// questions an operator would ask.
//
// It owns two small pools, opened lazily: "admin" on the direct URL, "snapshot"
// on the pooled URL if there is one; and a cache of table descriptions.
//
// It never touches the replication connection, knows neither HTTP nor files, and
// never blocks a writer for longer than Publish says.
//
// Invariants:
//
//  1. Nothing but the encoding is set on a session, only inside transactions (SET LOCAL):
//     a transaction pooler shares sessions with the customer's own programs. Every
//     transaction pins what the output of values depends on (shape-semantics
//     §8.1), so that rows read here have the text of the stream.
//  2. No statement is prepared by name, for the same reason.
//  3. Every lock that conflicts with writers is asked for with a time limit that
//     begins short: while we wait for it, writers queue behind us.
//  4. Errors that a caller tells apart carry one of the kinds of errors.go;
//     their texts for clients are those of shape-semantics §1.9 and §4.5.
//  5. What is sent is a constant or a statement (statement.go): no text of a request
//     is part of it unless a printer made it or it is in quotes.
//
// Files: db.go pool.go pools and transactions · statement.go what SQL is made of ·
// errors.go kinds of errors · preflight.go is the server fit · publication.go the publication · publish.go a table's
// place in it · membership.go what the catalogue says of that · table.go tables
// of the catalogue · collation.go how a column's text compares · kin.go
// partitions and children · writers.go waiting for writers · snapshot.go first rows ·
// zone.go time zones · zone_probe.go how their rules are
// learned · subset.go queries over a shape's rows · slot.go the replication slot · holder.go who
// is in our way · canary.go a message through the stream · watch.go what changed behind
// our back.
package pgquery
