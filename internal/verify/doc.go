// Package verify compares what clients of a shape are given with what SELECT
// returns: it is the last word on a running service, and the tests' oracle.
//
// The rows are read first, with what their snapshot sees and a position behind
// every transaction that it sees. Then the shape's log is read from its beginning,
// as any client does, until the server says that it has told everything up to
// that position. A change of a transaction that the snapshot does not see is left
// out: no transaction that it does see can have touched the same row after it,
// since it would have had to wait for its end. So both sides stand at the same
// moment, whatever is written meanwhile, and a difference is one.
//
// It owns nothing and changes nothing, apart from a few bytes of write-ahead log
// which end the wait on a quiet database. Of rows it keeps a hash for each column
// and not the values, so its memory is what the keys take and eight bytes for each
// value, twice.
//
// It never reads the service's files, and knows of a shape only what its
// definition says.
package verify
