package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// lookBytes is how much a reader takes from a file before it looks whether the
// window has the next frame, in bytes.
const lookBytes = 1 << 20

// Reader hands out the fsynced frames from some place on. It belongs to one
// goroutine. Frames' bytes are shared: read-only, and valid as long as they are
// referred to.
type Reader struct {
	j     *Journal
	ready chan struct{} // one slot

	reset    bool    // a reset is to be handed out first, see jump
	preamble []byte  // to be handed out first, but for the reset
	pos      wal.LSN // the user has seen all transactions with Commit below it
	at       place   // of the next frame
	number   uint64  // of the next frame in the window; 0: not known

	// While behind the window:
	file   vfs.File // of fileOf, nil if none is open
	fileOf *segment
	cur    cursor
	limit  int64 // what counts in the file of at, as of the last look
	left   int64 // bytes to take from the file before the window is looked at again
}

// Trim may overtake a reader that is slow: what it would read next is gone, and
// nothing in it would have been new (transactions below the reader's position,
// and transactions that were cut and sent again). It then goes on where a new
// reader from its position would begin, and hands out a FrameReset before. If
// there is something new in it, it returns ErrTrimmed.
//
// Rejected: that a reader holds back Trim. One that hangs would fill the disk.

// Reader returns a reader that begins at, or before, the first frame such that
// every transaction with Commit ≥ from is seen whole. It may hand out older
// transactions first. If relations were announced before that frame, its first
// frame is a Preamble without Data. ErrTrimmed: the journal does not reach back
// so far.
//
// It begins at the newest place that will do: in the window, or else in the last
// segment that begins outside a transaction and at a position ≤ from.
func (j *Journal) Reader(from wal.LSN) (*Reader, error) {
	r := &Reader{j: j, ready: make(chan struct{}, 1), pos: from}
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// begin puts r where it loses nothing from pos on.
func (r *Reader) begin() error {
	seg, err := r.j.begin(r)
	if err != nil || seg == nil {
		return err
	}
	h, err := r.openHeader(seg)
	if err != nil {
		return err
	}
	r.preamble = h.state.preamble
	return nil
}

// jump moves a reader that was overtaken by Trim.
func (r *Reader) jump() error {
	if err := r.closeFile(); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	r.reset = true
	return nil
}

// begin chooses r's first frame. The segment, if any, is where its header has
// still to be read.
func (j *Journal) begin(r *Reader) (*segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.readers[r] = struct{}{}
	if j.tail.start() && j.tail.pos <= r.pos {
		r.at, r.number, r.preamble = j.last, j.window.next(), j.tail.preamble
		return nil, nil
	}
	if n := j.window.begin(r.pos); n != 0 {
		e := j.window.get(n)
		r.at, r.number, r.preamble = e.at, n, e.preamble
		return nil, nil
	}
	seg := j.startOf(r.pos)
	if seg == nil {
		return nil, fmt.Errorf("read from %s, the journal begins at %s: %w", r.pos, j.oldest(), ErrTrimmed)
	}
	r.at, r.number = place{seg, seg.first}, 0
	return seg, nil
}

// startOf returns the last segment in which a reader from a position on may
// begin, nil if there is none. mu is held.
func (j *Journal) startOf(from wal.LSN) *segment {
	for i := len(j.segments) - 1; i >= 0; i-- {
		if seg := j.segments[i]; seg.start && seg.pos <= from {
			return seg
		}
	}
	return nil
}

// Ready receives when Next may have more. It has one slot, and a receive may be
// one too many.
func (r *Reader) Ready() <-chan struct{} { return r.ready }

// Close gives back the reader's file. It may be called more than once.
func (r *Reader) Close() error {
	r.j.mu.Lock()
	delete(r.j.readers, r)
	r.j.mu.Unlock()
	return r.closeFile()
}

// Next returns the next fsynced frame. It never waits for one; ok=false: there
// is none now. Frames come without their Preamble: a reader has seen what it
// would say.
func (r *Reader) Next() (f wal.Frame, ok bool, err error) {
	f, ok, err = r.next()
	if errors.Is(err, ErrTrimmed) {
		if err := r.jump(); err != nil {
			return wal.Frame{}, false, err
		}
		f, ok, err = r.next()
	}
	r.pos = max(r.pos, f.Position)
	return f, ok, err
}

func (r *Reader) next() (f wal.Frame, ok bool, err error) {
	if r.reset {
		r.reset = false
		return wal.Frame{Kind: wal.FrameReset}, true, nil
	}
	if len(r.preamble) > 0 {
		f = wal.Frame{Kind: wal.FrameData, Preamble: r.preamble}
		r.preamble = nil
		return f, true, nil
	}
	if r.left > 0 && r.cur.off < r.cur.end {
		return r.fromFile()
	}
	f, where, err := r.look()
	if err != nil || where == nowhere {
		return wal.Frame{}, false, err
	}
	if where == inWindow {
		if r.file != nil {
			err = r.closeFile()
		}
		return f, err == nil, err
	}
	if err := r.openFile(); err != nil {
		return wal.Frame{}, false, err
	}
	return r.fromFile()
}

type whereabouts uint8

const (
	nowhere whereabouts = iota
	inWindow
	inFile
)

// look finds the next frame: it is in the window, or it must come from the file
// of r.at, or there is none yet.
func (r *Reader) look() (wal.Frame, whereabouts, error) {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	for r.at.off >= r.at.seg.end {
		next, err := j.after(r.at.seg)
		if next == nil {
			return wal.Frame{}, nowhere, err
		}
		r.at = place{next, next.first}
	}
	e := j.window.get(r.number)
	if e == nil {
		if n, ok := j.window.find(r.at); ok {
			r.number, e = n, j.window.get(n)
		}
	}
	if e == nil {
		r.number, r.limit = 0, r.at.seg.end
		return wal.Frame{}, inFile, nil
	}
	r.at.off += frameSize(&e.frame)
	r.number++
	return e.frame, inWindow, nil
}

// after returns the segment after seg, nil if there is none yet. mu is held.
func (j *Journal) after(seg *segment) (*segment, error) {
	if len(j.segments) == 0 || seg.sequence >= j.sequence {
		return nil, nil
	}
	oldest := j.segments[0].sequence
	if seg.sequence+1 < oldest {
		return nil, fmt.Errorf("read on after %s: %w", seg.path, ErrTrimmed)
	}
	return j.segments[seg.sequence+1-oldest], nil
}

// fromFile returns the next frame out of the open file.
func (r *Reader) fromFile() (wal.Frame, bool, error) {
	f, _, err := r.cur.next()
	if errors.Is(err, errBroken) {
		err = &CorruptError{Path: r.fileOf.path, Offset: r.cur.off, Cause: err.Error()}
	}
	if err != nil {
		return wal.Frame{}, false, fmt.Errorf("read a frame: %w", err)
	}
	r.at.off = r.cur.off
	r.left -= frameSize(&f)
	return f, true, nil
}

// openFile sees to it that the cursor is at r.at.
func (r *Reader) openFile() error {
	if r.file == nil || r.fileOf != r.at.seg {
		if err := r.open(r.at.seg); err != nil {
			return err
		}
	}
	if r.cur.off != r.at.off {
		r.cur.off, r.cur.buf = r.at.off, nil
	}
	r.cur.end = r.limit
	r.left = lookBytes
	return nil
}

// openHeader opens the file of the reader's first segment and reads its header.
func (r *Reader) openHeader(seg *segment) (header, error) {
	if err := r.open(seg); err != nil {
		return header{}, err
	}
	h, err := readHeader(r.file, seg.first)
	if errors.Is(err, errHeader) {
		return header{}, &CorruptError{Path: seg.path, Cause: err.Error()}
	}
	if err != nil {
		return header{}, fmt.Errorf("read the header of %s: %w", seg.path, err)
	}
	return h, nil
}

func (r *Reader) open(seg *segment) error {
	if err := r.closeFile(); err != nil {
		return err
	}
	file, err := r.j.opts.FS.Open(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open %s: %w", seg.path, ErrTrimmed)
	}
	if err != nil {
		return fmt.Errorf("open a segment: %w", err)
	}
	r.file, r.fileOf = file, seg
	r.cur = cursor{file: file, seed: seg.seed, off: seg.first, chunk: readBytes}
	return nil
}

func (r *Reader) closeFile() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file, r.fileOf, r.left, r.cur = nil, nil, 0, cursor{}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close a segment: %w", err)
	}
	return nil
}
