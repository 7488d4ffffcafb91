// Package consume is one shape's step: its state and a change of the stream
// give entries of its log, or the reason why the log must be given up.
//
// It owns what a change means to a shape (shape-semantics §3.3, §3.4): who is
// in and who is out, what of a row is sent, under which key; which transactions
// a shape's snapshot has covered (§4.2); where log chunks end (§4.3); and the
// bytes of every message of a log (http-protocol §13).
//
// It never reads a clock, starts a goroutine, takes a lock or does I/O. It does
// not know where entries are kept or who reads them.
//
// Invariants:
//
//  1. An entry's offset and bytes are a function of the definition, the change
//     and whether it is the shape's last of its transaction. Which entry closes
//     a chunk depends on the log before it besides. So a replay, cut into
//     pieces in any way, writes the same bytes at the same offsets.
//  2. The newest entry of an open transaction is held back until the next one
//     or the commit: only then is it known whether it is the last. Of a table
//     without a primary key more wait, since they may be undone.
//  3. A cursor moves at a commit and only there. Entries beyond its Tail belong
//     to an open transaction; an abort leaves them to be written again.
//  4. What cannot be decided is not guessed: no old row, an unreadable value or
//     a changed table rotates the shape.
//  5. Bytes handed out are never written again and may be kept.
//
// Files: consumer.go the state and its life · step.go what a change means ·
// twins.go equal rows of a table without a key ·
// encoder.go bytes shared by consumers that agree · message.go a change as JSON
// · json.go strings · control.go messages that are not changes.
package consume
