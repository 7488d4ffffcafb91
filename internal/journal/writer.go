package journal

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// writeBytes is about how much goes to the file at once, in bytes.
	writeBytes = 1 << 20
	// fullRetry is how long after a write without space the next one is tried.
	fullRetry = time.Second
)

// category labels our writes in pebble's disk metrics.
const category vfs.DiskWriteCategory = "spillway-journal"

// writer is the state of the writer goroutine: nobody else touches it.
type writer struct {
	dir     vfs.File // to sync
	file    vfs.File // of seg; nil: the next frame begins a new segment
	seg     *segment
	pending []wal.Frame // taken from the queue, not fsynced
	buf     []byte
	full    bool
}

// write is the writer goroutine.
func (j *Journal) write() {
	defer close(j.done)
	for {
		split, closing := j.take()
		if len(j.w.pending) == 0 && !split {
			if closing {
				j.end()
				return
			}
			select {
			case <-j.wake:
			case <-j.stop:
			}
			continue
		}
		if len(j.w.pending) > 0 && !closing && j.beyondLimit() {
			j.setFull(ErrHeld)
			j.pause(j.room)
			continue
		}
		n, err := j.commit(split)
		j.forget(n)
		switch {
		case err == nil:
		case noSpace(err) && !closing:
			j.setFull(err)
			j.pause(nil)
		default:
			j.fail(err)
			return
		}
	}
}

func noSpace(err error) bool {
	return errors.Is(err, errNotWritten) &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// errNotWritten marks a failed create or write: unlike a failed fsync it may be
// tried again.
var errNotWritten = errors.New("not written")

// take moves the queue to pending. split: a new segment is asked for.
func (j *Journal) take() (split, closing bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.w.pending = append(j.w.pending, j.queue...)
	clear(j.queue)
	j.queue = j.queue[:0]
	return j.wantSplit && j.tail.start() && !j.closing, j.closing
}

// forget drops the first n pending frames.
func (j *Journal) forget(n int) {
	rest := copy(j.w.pending, j.w.pending[n:])
	clear(j.w.pending[rest:])
	j.w.pending = j.w.pending[:rest]
}

// commit writes and fsyncs as many pending frames as the segment takes, and
// returns how many. After an error none of them counts, and the file is as if
// nothing had been written: what lies behind seg.end is written over with the
// same bytes when it is tried again.
func (j *Journal) commit(split bool) (int, error) {
	w := &j.w
	before := j.tailState()
	begin := w.file == nil || split || len(w.pending) > 0 && !j.takes(w.seg.end-w.seg.first, before, &w.pending[0])
	if begin {
		if err := j.create(); err != nil {
			return 0, err
		}
	}
	n, end, err := j.put(begin, before)
	if err != nil {
		return 0, errors.Join(err, j.takeBack(begin))
	}
	took, err := j.sync(begin)
	if err != nil {
		return 0, err
	}
	if w.full {
		w.full = false
		j.opts.Events.Resumed()
	}
	bytes := j.publish(w.pending[:n], end, begin, took)
	j.opts.Events.Synced(n, bytes, took)
	return n, nil
}

// create makes the file of the next segment. Everything before it is fsynced,
// because commit syncs all that it wrote.
func (j *Journal) create() error {
	w := &j.w
	j.beginIO("create")
	defer j.endIO()
	if w.file != nil {
		f := w.file
		w.file = nil
		if err := f.Close(); err != nil {
			return fmt.Errorf("close %s: %w", w.seg.path, err)
		}
	}
	h := j.nextHeader()
	path := j.opts.FS.PathJoin(j.opts.Dir, fileName(h.sequence))
	f, err := j.opts.FS.OpenReadWrite(path, category)
	if err != nil {
		return fmt.Errorf("create %s: %w: %w", path, errNotWritten, err)
	}
	w.file = f
	w.buf = appendHeader(w.buf[:0], h)
	w.seg = &segment{
		sequence: h.sequence,
		path:     path,
		first:    int64(len(w.buf)),
		pos:      h.state.pos,
		start:    h.state.start(),
		seed:     seedOf(h.sequence),
	}
	return nil
}

func (j *Journal) nextHeader() header {
	j.mu.Lock()
	defer j.mu.Unlock()
	h := header{sequence: j.sequence + 1, previous: j.last.seg.end, state: j.tail}
	if len(j.w.pending) > 0 {
		h.state = h.state.before(&j.w.pending[0])
	}
	return h
}

func (j *Journal) tailState() state {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tail
}

// takes reports whether a segment of that size still takes a frame. Beyond its
// size it does for a while if the next segment would begin inside a transaction:
// no reader could begin there, so Trim could not delete what is before it. For
// ever it does not: a transaction may be larger than any segment.
func (j *Journal) takes(size int64, before state, f *wal.Frame) bool {
	return size < j.opts.SegmentBytes || size < j.opts.SegmentBytes/4*5 && !before.before(f).start()
}

// put writes pending frames until the segment has its size. A new segment's
// header goes with them, in one write if it fits. was is the state before them.
func (j *Journal) put(begin bool, was state) (n int, end int64, err error) {
	w := &j.w
	j.beginIO("write")
	defer j.endIO()
	synced := w.seg.end // 0 for a new segment
	at := synced
	if !begin {
		w.buf = w.buf[:0]
	}
	for n < len(w.pending) && j.takes(at+int64(len(w.buf))-w.seg.first, was, &w.pending[n]) {
		was = was.after(&w.pending[n])
		w.buf = appendFrame(w.buf, w.seg.seed, synced, &w.pending[n])
		n++
		if len(w.buf) >= writeBytes {
			if err := w.flush(at); err != nil {
				return 0, 0, err
			}
			at += int64(len(w.buf))
			w.buf = w.buf[:0]
		}
	}
	if err := w.flush(at); err != nil {
		return 0, 0, err
	}
	end = at + int64(len(w.buf))
	j.noteWritten(w.pending[:n])
	if cap(w.buf) > 4*writeBytes {
		w.buf = nil // a huge frame came through
	}
	return n, end, nil
}

// noteWritten tells Stats what was written and is not fsynced yet.
func (j *Journal) noteWritten(frames []wal.Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range frames {
		j.written = max(j.written, frames[i].Position)
	}
}

func (w *writer) flush(at int64) error {
	if len(w.buf) == 0 {
		return nil
	}
	n, err := w.file.WriteAt(w.buf, at)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %s at %d: %w: %w", w.seg.path, at, errNotWritten, err)
	}
	return nil
}

// takeBack gives back the space of a write that failed: others share the disk.
func (j *Journal) takeBack(begun bool) error {
	w := &j.w
	if !begun {
		// vfs has no truncate; the real files have.
		if t, ok := w.file.(interface{ Truncate(int64) error }); ok {
			if err := t.Truncate(w.seg.end); err != nil {
				return fmt.Errorf("truncate %s: %w", w.seg.path, err)
			}
		}
		return nil
	}
	f := w.file
	w.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", w.seg.path, err)
	}
	if err := j.opts.FS.Remove(w.seg.path); err != nil {
		return fmt.Errorf("remove %s: %w", w.seg.path, err)
	}
	return nil
}

// sync makes what put wrote durable. It is never tried a second time.
func (j *Journal) sync(begun bool) (time.Duration, error) {
	w := &j.w
	j.beginIO("sync")
	start := time.Now()
	defer j.endIO()
	// SyncData covers the file's size. The entry in the directory is the only
	// thing besides that a new segment needs.
	if err := w.file.SyncData(); err != nil {
		return 0, fmt.Errorf("sync %s: %w", w.seg.path, err)
	}
	if begun {
		if err := w.dir.Sync(); err != nil {
			return 0, fmt.Errorf("sync directory %s: %w", j.opts.Dir, err)
		}
	}
	return time.Since(start), nil
}

// publish shows fsynced frames to readers.
func (j *Journal) publish(frames []wal.Frame, end int64, begun bool, took time.Duration) (bytes int64) {
	seg := j.w.seg
	j.mu.Lock()
	defer j.mu.Unlock()
	at := place{seg, seg.end}
	bytes = end - seg.end
	if begun {
		j.segments = append(j.segments, seg)
		j.sequence = seg.sequence
		j.wantSplit = false
		at.off = seg.first
	}
	for i := range frames {
		f := &frames[i]
		j.window.add(f, at, j.tail)
		j.tail = j.tail.after(f)
		j.queued -= queueBytes(f)
		at.off += frameSize(f)
	}
	seg.end, seg.size = end, end
	j.last = place{seg, end}
	j.io.last = took
	j.io.syncs++
	j.io.full = nil
	j.pokeAll()
	return bytes
}

func (j *Journal) setFull(err error) {
	j.w.full = true
	j.mu.Lock()
	j.io.full = err
	j.mu.Unlock()
	j.opts.Events.Full(err)
}

// beyondLimit says whether what is on disk has reached the limit.
func (j *Journal) beyondLimit() bool {
	limit := j.limit.Load()
	return limit > 0 && j.Stats().Bytes >= limit
}

// pause waits before the next try on a full disk, or at the limit until there may
// be room again.
func (j *Journal) pause(room <-chan struct{}) {
	t := time.NewTimer(fullRetry)
	defer t.Stop()
	select {
	case <-t.C:
	case <-room:
	case <-j.stop:
	}
}

// fail ends the journal: nothing is written any more.
func (j *Journal) fail(err error) {
	err = fmt.Errorf("journal: %w", err)
	if cerr := j.closeFiles(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
	close(j.failed)
	j.drop()
}

// drop forgets frames that will not be written. mu is held.
func (j *Journal) drop() {
	j.queue, j.queued, j.w.pending = nil, 0, nil
	j.wantSpace = true
	j.pokeAll()
}

// end seals the file that is being written and closes it.
func (j *Journal) end() {
	err := j.seal()
	err = errors.Join(err, j.closeFiles())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closeErr = err
	j.drop()
}

// seal vouches for all that is in the file, see kindSeal. No space for it is no
// error: it is evidence, not data.
func (j *Journal) seal() error {
	w := &j.w
	if w.file == nil {
		return nil
	}
	w.buf = appendFrame(w.buf[:0], w.seg.seed, w.seg.end, &wal.Frame{Kind: kindSeal})
	if err := w.flush(w.seg.end); err != nil {
		if noSpace(err) {
			return nil
		}
		return err
	}
	_, err := j.sync(false)
	return err
}

func (j *Journal) closeFiles() error {
	w := &j.w
	var err error
	if w.file != nil {
		err = w.file.Close()
		w.file = nil
	}
	return errors.Join(err, w.dir.Close())
}
