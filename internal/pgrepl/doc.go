// Package pgrepl is the replication connection: it finds or makes the slot,
// streams from it and tells Postgres what is durable.
//
// It owns the connection, the read buffer, the standby status frames and the
// cutting of the stream into wal.Frames. It does not decode rows, knows no shape
// and keeps nothing on disk: what is durable is the Sink's word.
//
// It never lets a second goroutine read or write the connection. (The end of a
// context moves the read deadline into the past, which is how the owner wakes.)
//
// Invariants:
//
//  1. A flush position that goes to Postgres is one that Sink.Synced returned,
//     and at least the position the stream began at. As long as there is none the
//     frame says 0, which Postgres takes as "no statement" (walsender.c,
//     ProcessStandbyReplyMessage); the received position is never put in its place.
//  2. Flush positions of a session never go back.
//  3. A Sink that is full delays nothing but the reading: status frames go on.
//  4. Every read and every write has a deadline. A server that says nothing for
//     Config.DeadAfter, although it was asked, ends the session.
//  5. The first frame of a session is a FrameReset. Frames hold whole messages, in
//     order, none twice; their bytes belong to the Sink.
//  6. A position from a keepalive is handed on only while no transaction is open.
//
// Rejected: pglogrepl (its status frame turns a zero flush position into the
// received one); pgconn for reading the stream (a call, a context and a message
// object for each message); a goroutine for keepalives (it would share the
// connection's deadlines with the reader).
//
// Files: session.go connect, identify, close · slot.go the slot and the lock ·
// stream.go the loop · duty.go what is due when · gather.go messages to frames ·
// preamble.go · wire.go bytes of the protocol · pace.go, pace_*.go sleeping until
// a read is worth it · classify.go verdict.go what an error means.
package pgrepl
