package shapelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readBytes is the size of the buffer that a reader has while it takes a chunk from
// its file, and so what each client costs that does not read on.
const readBytes = 64 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBytes]byte) }}

// Chunk is one chunk of a snapshot, perhaps one that is not written yet. It is
// a value and costs nothing to make.
type Chunk struct {
	s *Snapshot
	k int
}

// Chunk returns chunk k, counted from 0.
func (s *Snapshot) Chunk(k int) Chunk { return Chunk{s, k} }

// WaitChunk waits until chunk k has its first byte (true) or it is known that
// there is none (false). The error is ctx's, or why the snapshot was given up.
func (s *Snapshot) WaitChunk(ctx context.Context, k int) (exists bool, err error) {
	for {
		s.mu.Lock()
		n, complete, failed := s.nChunks, s.complete, s.err
		var progress <-chan struct{}
		if k >= n && !complete && failed == nil {
			progress = s.waiter()
		}
		s.mu.Unlock()
		switch {
		case k < n:
			return true, nil
		case failed != nil:
			return false, failed
		case complete:
			return false, nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// waiter returns the channel that the next change closes. mu is held.
func (s *Snapshot) waiter() <-chan struct{} {
	if s.progress == nil {
		s.progress = make(chan struct{})
	}
	return s.progress
}

// WaitStarted waits until the chunk has its first byte. ErrNoChunk: there is no
// such chunk.
func (c Chunk) WaitStarted(ctx context.Context) error {
	exists, err := c.s.WaitChunk(ctx, c.k)
	if err == nil && !exists {
		err = ErrNoChunk
	}
	return err
}

// WaitClosed waits until the chunk is whole. The error is ctx's, ErrNoChunk, or why
// the snapshot was given up.
func (c Chunk) WaitClosed(ctx context.Context) error {
	for {
		v, err := c.view(math.MaxInt64, true)
		switch {
		case err != nil:
			return err
		case v.closed:
			return nil
		case v.failed != nil:
			return v.failed
		}
		select {
		case <-v.progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Size returns the chunk's size in bytes and true once the chunk is closed.
// Before, it is the size so far.
func (c Chunk) Size() (size int64, closed bool, err error) {
	v, err := c.view(0, false)
	if err != nil {
		return 0, false, err
	}
	return v.flushed + int64(len(v.tail)), v.closed, nil
}

// view is what there is to read of a chunk at one moment.
type view struct {
	flushed  int64  // bytes in the file
	tail     []byte // those behind them, in memory
	closed   bool
	failed   error           // given up, and the chunk will not be closed
	progress <-chan struct{} // set if there is nothing behind off
}

// view looks at the chunk. With wait set it also signs up for the next change
// if nothing is there behind off.
func (c Chunk) view(off int64, wait bool) (view, error) {
	s := c.s
	if s.onFile { // nothing of it changes any more
		return c.fileView()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.k < 0 || s.complete && c.k >= s.nChunks {
		return view{}, ErrNoChunk
	}
	var v view
	if c.k < s.nChunks {
		ch := s.chunks[c.k]
		v = view{flushed: ch.flushed, tail: ch.tail, closed: ch.closed}
	}
	if !v.closed {
		v.failed = s.err
		if wait && v.failed == nil && off >= v.flushed+int64(len(v.tail)) {
			v.progress = s.waiter()
		}
	}
	return v, nil
}

func (c Chunk) fileView() (view, error) {
	if c.k < 0 || c.k >= c.s.nChunks {
		return view{}, ErrNoChunk
	}
	info, err := c.s.log.fs.Stat(c.s.log.chunkPath(c.s.id, c.k))
	if err != nil {
		return view{}, fmt.Errorf("read snapshot of shape %d: %w", c.s.id, err)
	}
	return view{flushed: info.Size(), closed: true}, nil
}

// WriteTo writes the chunk to w as its bytes arrive, until it is closed. Before
// it waits for more, it calls flush (if not nil) so that what was written
// travels on. An error other than w's own and ctx's says that the snapshot was
// given up: what was written is not a whole chunk.
func (c Chunk) WriteTo(ctx context.Context, w io.Writer, flush func()) (n int64, err error) {
	var file vfs.File
	defer func() {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	for {
		v, err := c.view(n, true)
		if err != nil {
			return n, err
		}
		if n < v.flushed {
			if file == nil {
				if file, err = c.open(); err != nil {
					return n, err
				}
			}
			m, err := copyFile(ctx, w, file, n, v.flushed)
			n += m
			if err != nil {
				return n, fmt.Errorf("copy snapshot of shape %d: %w", c.s.id, err)
			}
		}
		if rest := v.tail[n-v.flushed:]; len(rest) > 0 {
			m, err := w.Write(rest)
			n += int64(m)
			if err != nil {
				return n, err
			}
			continue // perhaps there is more by now
		}
		switch {
		case v.closed:
			return n, nil
		case v.failed != nil:
			return n, v.failed
		case v.progress == nil:
			continue
		}
		if flush != nil {
			flush()
		}
		select {
		case <-v.progress:
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
}

func (c Chunk) open() (vfs.File, error) {
	f, err := c.s.log.fs.Open(c.s.log.chunkPath(c.s.id, c.k), vfs.SequentialReadsOption)
	if err == nil {
		return f, nil
	}
	if failed := c.s.Err(); failed != nil { // that is why the file is gone
		return nil, failed
	}
	return nil, fmt.Errorf("read snapshot of shape %d: %w", c.s.id, err)
}

// copyFile copies the file's bytes from off up to end. sendfile is not used: it
// would need the bare *os.File, which vfs hides, and a copy through a buffer
// reaches several GB/s.
func copyFile(ctx context.Context, w io.Writer, f vfs.File, off, end int64) (n int64, err error) {
	buf := readBuffers.Get().(*[readBytes]byte)
	defer readBuffers.Put(buf)
	for off+n < end {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		part := buf[:min(readBytes, end-off-n)]
		m, err := f.ReadAt(part, off+n)
		if m < len(part) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		m, err = w.Write(part)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
