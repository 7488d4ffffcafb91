// Package verify compares what clients of a shape are given with what SELECT
// returns: it is the last word on a running service.
//
// The rows are read first, with what their snapshot sees and a position behind
// every transaction that it sees. Then the shape's log is read from its beginning
// until the server says that it has told everything up to that position. A change
// of a transaction that the snapshot does not see is left out: no transaction that
// it does see can have touched the same row after it, since it would have had to
// wait for its end. So both sides stand at the same moment, whatever is written
// meanwhile, and a difference is one.
//
// On the way the log itself is looked at: its pages follow on one another, offsets
// rise, "last" stands at the end of each transaction and nowhere else, and whoever
// takes it up in the middle is given what he lacks.
//
// It shares no code with what it checks: a key that both sides make in the same
// wrong way would never be found. It makes keys, asks the catalogue, pins settings
// and reads the protocol itself, in the simplest way.
//
// It owns nothing and changes nothing, apart from a few bytes of write-ahead log
// which end the wait on a quiet database. Of rows it keeps the key and a hash for
// each column. What exceeds its memory goes to files that are removed at the end,
// cut by hashes of the keys, and is compared part by part.
//
// Files: verify.go one check · query.go what SELECT returns · sight.go what its
// snapshot sees · walk.go the log · order.go its form · store.go both sides · compare.go
// how they differ.
package verify
