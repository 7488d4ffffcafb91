package shapelog

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// ErrAborted is what readers of a snapshot see that was given up without a
// reason.
var ErrAborted = errors.New("snapshot was given up")

// ErrNoChunk says that the snapshot has no such chunk.
var ErrNoChunk = errors.New("no such snapshot chunk")

// writeBytes is how much of a chunk gathers in memory before it is written to
// its file.
const writeBytes = 256 << 10

var writeBuffers = sync.Pool{New: func() any { return new([writeBytes]byte) }}

// Snapshot is a shape's first rows: chunks 0, 1, 2 … of messages joined by
// commas, without brackets. One goroutine writes it (Append, then Finish or
// Abort); any number read it meanwhile and afterwards (Chunk, WaitChunk).
//
// The newest bytes of a chunk are in memory, those before them in its file. A
// snapshot that ends below Options.InlineBytes never made a file: it lives
// inside the catalogue (Inline, DecodeInline).
type Snapshot struct {
	log       *Log // nil: decoded from the catalogue
	id        shape.ID
	threshold int64 // bytes; see Append

	// writing is held by the writer while it writes, also across I/O. Nobody
	// waits for it: see release.
	writing sync.Mutex
	spilled bool     // chunks are in files
	file    vfs.File // of the open chunk, nil if there is none

	mu       sync.Mutex // never held across I/O; taken inside writing
	chunks   []*chunk   // all so far; nil for a snapshot opened from files
	nChunks  int        // len(chunks), or the number of files
	total    int        // bytes in memory until it spills
	complete bool       // there will be no more chunks
	onFile   bool       // opened by OpenSnapshot: sizes are those of the files
	inline   bool       // complete without ever making a file
	err      error      // given up
	// progress is made by a reader that must wait and closed at the next
	// change of anything above.
	progress chan struct{}
}

// chunk is one chunk of a snapshot. Its bytes are those of its file up to
// flushed, then tail. The snapshot's mutex guards it; what tail's backing array
// holds is never changed, so a reader may use a tail it took without the mutex.
type chunk struct {
	flushed int64
	tail    []byte
	sum     int64 // Σ(len(message)+1), what the threshold is about
	closed  bool
}

// NewSnapshot begins a shape's snapshot. The row that makes the sum of
// len(row)+1 reach chunkBytes is the last one of its chunk (http-protocol
// §10.3).
func (l *Log) NewSnapshot(id shape.ID, chunkBytes int64) *Snapshot {
	return &Snapshot{log: l, id: id, threshold: chunkBytes}
}

// Append adds one row's message. Readers see it at once. It may wait for the
// disk, never for readers. An error is final.
func (s *Snapshot) Append(row []byte) error {
	return s.append(row, false)
}

// Finish appends the snapshot-end message behind the last row (in a chunk of its
// own if that row closed one) and returns when all of the snapshot is durable,
// or is small and still has to be stored in the catalogue (Inline).
func (s *Snapshot) Finish(end []byte) error {
	if err := s.append(end, true); err != nil {
		return err
	}
	if !s.spilled { // only the writer, who is here, changes it
		return nil
	}
	dir := s.log.snapDir(s.id)
	err := syncDir(s.log.fs, dir)
	if err == nil {
		err = syncDir(s.log.fs, s.log.snaps)
	}
	if err != nil {
		return s.fail(fmt.Errorf("finish snapshot of shape %d: %w", s.id, err))
	}
	return nil
}

// Abort gives the snapshot up: readers that still wait for bytes get err. It
// does nothing to a complete one. Log.Delete removes the files.
func (s *Snapshot) Abort(err error) {
	if err == nil {
		err = ErrAborted
	}
	s.mu.Lock()
	if !s.complete && s.err == nil {
		s.err = err
		s.wake()
	}
	s.mu.Unlock()
	s.release()
}

// release closes the open chunk's file of a snapshot that was given up. Whoever
// gives up and the writer both call it when they are done: the one that comes
// second finds the other's mark, so neither has to wait. What was in the file
// is of no use any more, hence no error.
func (s *Snapshot) release() {
	if s.Err() == nil || !s.writing.TryLock() {
		return
	}
	defer s.writing.Unlock()
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// Err returns why the snapshot was given up, or nil.
func (s *Snapshot) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Snapshot) append(msg []byte, last bool) error {
	err := s.appendLocked(msg, last)
	if err != nil {
		err = s.fail(fmt.Errorf("write snapshot of shape %d: %w", s.id, err))
	}
	s.release()
	return err
}

func (s *Snapshot) appendLocked(msg []byte, last bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	c, spill, write, err := s.take(msg, last)
	if err == nil && spill {
		err = s.spill()
	}
	if err == nil && write {
		err = s.write(s.nChunks-1, c)
	}
	return err
}

// take puts one message into memory and tells what is to be written now.
func (s *Snapshot) take(msg []byte, last bool) (c *chunk, spill, write bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, false, false, s.err
	case s.complete:
		return nil, false, false, errors.New("it is complete")
	}
	if n := len(s.chunks); n > 0 && !s.chunks[n-1].closed {
		c = s.chunks[n-1]
		c.tail = append(c.tail, ',')
	} else {
		c = &chunk{}
		if s.spilled {
			c.tail = make([]byte, 0, min(writeBytes, s.threshold)+int64(len(msg)))
		}
		s.chunks = append(s.chunks, c)
		s.nChunks++
	}
	c.tail = append(c.tail, msg...)
	c.sum += int64(len(msg)) + 1
	c.closed = last || c.sum >= s.threshold
	s.total += len(msg) + 1
	spill = !s.spilled && s.total > s.log.inline
	s.complete = last
	s.inline = last && !spill && !s.spilled
	s.wake()
	return c, spill, s.spilled && (c.closed || len(c.tail) >= writeBytes), nil
}

// spill moves a snapshot that has grown too large for the catalogue to files.
func (s *Snapshot) spill() error {
	if err := MakeDir(s.log.fs, s.log.snapDir(s.id)); err != nil {
		return err
	}
	s.spilled = true
	s.mu.Lock()
	all := s.chunks[:len(s.chunks):len(s.chunks)]
	s.mu.Unlock()
	for k, c := range all {
		if err := s.write(k, c); err != nil {
			return err
		}
	}
	return nil
}

// write moves chunk k's bytes from memory to its file. A chunk that is closed
// is synced too, rather than all of them at the end, so that Finish is short.
func (s *Snapshot) write(k int, c *chunk) error {
	if s.file == nil {
		f, err := s.log.fs.Create(s.log.chunkPath(s.id, k), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		s.file = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: 1 << 20})
	}
	// The writer alone changes tail and closed, so it may read them unlocked.
	data := c.tail
	if err := writeCopy(s.file, data); err != nil {
		return err
	}
	var fresh []byte
	if !c.closed {
		fresh = make([]byte, 0, writeBytes+writeBytes/8)
	}
	s.mu.Lock()
	c.flushed += int64(len(data))
	c.tail = fresh
	s.mu.Unlock()
	if !c.closed {
		return nil
	}
	err := s.file.Sync()
	err = errors.Join(err, s.file.Close())
	s.file = nil
	return err
}

// writeCopy writes data through a buffer: a vfs file may change the bytes that
// it is given, and readers hold these.
func writeCopy(f vfs.File, data []byte) error {
	buf := writeBuffers.Get().(*[writeBytes]byte)
	defer writeBuffers.Put(buf)
	for len(data) > 0 {
		n := copy(buf[:], data)
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// fail gives the snapshot up from the writer's side, even one that seemed
// complete to readers but could not be made durable.
func (s *Snapshot) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.complete = false
	s.wake()
	return err
}

// wake tells waiting readers that something changed. mu is held.
func (s *Snapshot) wake() {
	if s.progress != nil {
		close(s.progress)
		s.progress = nil
	}
}

// OpenSnapshot opens a durable snapshot of the given number of chunks (Chunks)
// that is in files. It does no I/O: a missing file is found by its reader.
func (l *Log) OpenSnapshot(id shape.ID, chunks int) *Snapshot {
	return &Snapshot{log: l, id: id, nChunks: chunks, complete: true, onFile: true}
}

// Chunks is the number of chunks so far, and whether there will be no more.
func (s *Snapshot) Chunks() (n int, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nChunks, s.complete
}

func (l *Log) chunkPath(id shape.ID, k int) string {
	return l.fs.PathJoin(l.snapDir(id), strconv.Itoa(k))
}
