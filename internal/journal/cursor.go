package journal

import (
	"errors"
	"fmt"
	"io"

	"github.com/spillway-sync/spillway/internal/wal"
)

// readBytes is how much is read from a file at once, in bytes, unless a frame
// is larger. A reader's frames share a block of this size: whoever keeps one of
// them keeps the block.
const readBytes = 256 << 10

// scanBytes is the same for recovery, which reads everything and keeps nothing.
const scanBytes = 1 << 20

// errBroken: no intact frame here. The cursor knows the offset.
var errBroken = errors.New("no intact frame")

// cursor reads the frames of one file, one after the other.
type cursor struct {
	file io.ReaderAt
	seed uint32
	off  int64 // of the next frame
	end  int64 // nothing is read from here on
	// buf is what was read already, from off on.
	buf   []byte
	chunk int64 // bytes to read at once
	// reuse says that a frame's data may be overwritten by the next call.
	reuse bool
	block []byte // with reuse: the memory behind buf
}

// next returns the frame at off and moves behind it. The error is errBroken
// or comes from the disk; the cursor stays where it is then. Callers see to it
// that off < end.
func (c *cursor) next() (f wal.Frame, synced int64, err error) {
	if err := c.fill(frameLen); err != nil {
		return wal.Frame{}, 0, err
	}
	if !plausible(c.buf) {
		return wal.Frame{}, 0, errBroken
	}
	size := frameLen + dataLen(c.buf)
	if err := c.fill(size); err != nil {
		return wal.Frame{}, 0, err
	}
	b := c.buf[:size]
	if !intact(b, c.seed) {
		return wal.Frame{}, 0, errBroken
	}
	c.buf = c.buf[size:]
	c.off += size
	return frameOf(b), syncedOf(b), nil
}

// fill makes sure that n bytes are in buf.
func (c *cursor) fill(n int64) error {
	if int64(len(c.buf)) >= n {
		return nil
	}
	left := c.end - c.off
	if n > left {
		return errBroken
	}
	size := min(max(n, c.chunk), left)
	block := c.take(size)
	have := copy(block, c.buf)
	got, err := c.file.ReadAt(block[have:], c.off+int64(have))
	switch {
	case have+got == len(block):
	case err == nil || errors.Is(err, io.EOF):
		return errBroken // the file is shorter than it should be
	default:
		return fmt.Errorf("read at %d: %w", c.off+int64(have), err)
	}
	c.buf = block
	return nil
}

func (c *cursor) take(size int64) []byte {
	if !c.reuse {
		return make([]byte, size)
	}
	if int64(cap(c.block)) < size {
		c.block = make([]byte, size)
	}
	// copy in fill moves what is left in buf within the same block: memmove
	// allows that.
	return c.block[:size]
}
