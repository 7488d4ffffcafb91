// Package snapshot reads a new shape's first rows and finds the place where
// they meet the stream.
//
// It owns the order of steps that makes the two fit without a gap and without a
// row twice, a bounded number of workers, and the errors that a client is told.
// It never holds up the spine: it has no part in the stream but to ask for a
// pin before, and to hand the shape over after.
//
// The steps, and what each is there for:
//
//  1. The shape is registered; equal requests from now on share it.
//  2. The stream is pinned at its present position.
//  3. The table is put into the publication with REPLICA IDENTITY FULL.
//  4. P is the present end of Postgres's log. Then we wait until every
//     transaction that may have written to the table before is over (the way
//     CREATE INDEX CONCURRENTLY waits: nobody is blocked). Therefore whatever
//     the snapshot will not see commits at or above P, was published whole, and
//     is still to come in the stream or in the pinned journal.
//  5. The snapshot is taken. As soon as it is known what it sees the shape
//     joins the stream from P, leaving out what the snapshot sees, while the
//     rows are still being read. Where partitions are published by themselves
//     (before Postgres 15) it is not used if it finds one that has been attached
//     since step 3.
//  6. When the last row is durable the shape is live and survives a restart.
//
// Rejected: relying on the lock that ALTER PUBLICATION takes to keep writers
// out. It does not conflict with them, and a transaction that wrote before the
// table was added and commits after the snapshot is then in neither
// (operations §3.8).
//
// Files: creator.go the steps · errors.go what clients are told.
package snapshot
