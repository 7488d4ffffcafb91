package pgoutput

import (
	"bytes"
	"encoding/binary"
	"errors"
)

var (
	// errShort says that a message ends before it is complete.
	errShort = errors.New("the message is cut short")
	// errLong says that there is more than a message of this kind has.
	errLong = errors.New("the message is too long")
)

// reader reads from the front of a message. After the first value that is not
// there it is failed and gives zeros: one check at the end is enough.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.failed = nil, true
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// text reads up to a zero byte.
func (r *reader) text() []byte {
	i := bytes.IndexByte(r.b, 0)
	if i < 0 {
		r.b, r.failed = nil, true
		return nil
	}
	p := r.b[:i]
	r.b = r.b[i+1:]
	return p
}

func (r *reader) err() error {
	if r.failed {
		return errShort
	}
	return nil
}

// end is err for a message that has been read to its end.
func (r *reader) end() error {
	if !r.failed && len(r.b) > 0 {
		return errLong
	}
	return r.err()
}
