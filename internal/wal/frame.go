package wal

// FrameKind tells what a Frame is.
type FrameKind uint8

const (
	// FrameData carries messages of the stream.
	FrameData FrameKind = iota + 1
	// FrameReset says that a new session begins: a transaction left open
	// before it will be sent again from its beginning, and relations are
	// announced anew. It carries no messages.
	FrameReset
	// FrameProgress says that nothing of ours happened up to Position. It
	// carries no messages.
	FrameProgress
)

// Frame is a piece of the raw stream, as journal and spine hand it on: any
// number of whole pgoutput messages, cut anywhere, also inside a transaction.
type Frame struct {
	Kind FrameKind

	// Data is the messages one after the other, each behind its length in
	// bytes (uint32, big endian). It is read-only once offered to the journal.
	Data []byte

	// Position is the position after the last transaction that is complete at
	// the end of this frame, or that a keepalive vouched for (see the package
	// comment). 0: no new position in this frame.
	Position LSN

	// Open: a transaction has begun and not ended at the end of this frame.
	Open bool

	// Preamble is set when a Relation message came in this frame: all Relation
	// messages of the session so far, the newest of each table, in the form of
	// Data. The journal puts it at the head of its next segment, so that a
	// reader who begins there knows the tables.
	Preamble []byte
}

// Messages iterates over the messages of data (Frame.Data or Frame.Preamble).
// It stops at a length that does not fit: the journal's checksum makes sure
// that this cannot come from the disk.
func Messages(data []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) >= 4 {
			n := int(uint32(data[0])<<24 | uint32(data[1])<<16 | uint32(data[2])<<8 | uint32(data[3]))
			if n < 0 || n > len(data)-4 {
				return
			}
			if !yield(data[4 : 4+n : 4+n]) {
				return
			}
			data = data[4+n:]
		}
	}
}

// AppendMessage appends one message in the form of Frame.Data.
func AppendMessage(data, msg []byte) []byte {
	n := uint32(len(msg))
	data = append(data, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(data, msg...)
}
