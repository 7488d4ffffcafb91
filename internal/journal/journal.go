package journal

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// ErrTrimmed says that the journal no longer holds, or never held, what a
// reader asks for.
var ErrTrimmed = errors.New("journal: trimmed")

// ErrClosed is the end of a journal that was closed.
var ErrClosed = errors.New("journal: closed")

// ErrHeld is told to Events.Full while Limit is reached.
var ErrHeld = errors.New("journal: held at its budget")

// CorruptError is damage that a crash or a power cut cannot explain.
type CorruptError struct {
	Path   string
	Offset int64 // bytes from the file's start
	Cause  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal: %s is damaged at byte %d: %s", e.Path, e.Offset, e.Cause)
}

// Defaults of Options.
const (
	DefaultSegmentBytes = 64 << 20
	DefaultQueueBytes   = 8 << 20
	DefaultWindowBytes  = 16 << 20
	DefaultCloseTimeout = 10 * time.Second
)

// Options of Open. Zero values mean the defaults.
type Options struct {
	FS  vfs.FS // vfs.Default
	Dir string

	// SegmentBytes is the size from which a segment gets no further frame, or a
	// quarter more if the next one would begin inside a transaction; it exceeds
	// that by less than one frame.
	SegmentBytes int64
	// QueueBytes bounds the memory of frames that are not yet fsynced. A single
	// frame may be larger.
	QueueBytes int64
	// WindowBytes bounds the memory of recent frames kept for readers.
	WindowBytes int64
	// CloseTimeout bounds how long Close waits for the disk.
	CloseTimeout time.Duration

	Events Events
}

// Events are told what happens. They are called by the writer, or by Open, with
// no lock held, and must not block. Nil ones are left out.
type Events struct {
	// Synced: one group commit.
	Synced func(frames int, bytes int64, took time.Duration)
	// Full: a write found no space. It is tried again about once a second.
	Full func(err error)
	// Resumed: writing goes on after Full.
	Resumed func()
	// Torn: Open left out what a crash left unfinished at the end of a file.
	Torn func(path string, offset, bytes int64)
}

func (o *Options) defaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	orDefault(&o.SegmentBytes, DefaultSegmentBytes)
	orDefault(&o.QueueBytes, DefaultQueueBytes)
	orDefault(&o.WindowBytes, DefaultWindowBytes)
	orDefault(&o.CloseTimeout, DefaultCloseTimeout)
	if o.Events.Synced == nil {
		o.Events.Synced = func(int, int64, time.Duration) {}
	}
	if o.Events.Full == nil {
		o.Events.Full = func(error) {}
	}
	if o.Events.Resumed == nil {
		o.Events.Resumed = func() {}
	}
	if o.Events.Torn == nil {
		o.Events.Torn = func(string, int64, int64) {}
	}
}

func orDefault[T ~int64](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// segment is one file. Fields below "guarded" are Journal.mu's.
type segment struct {
	sequence uint64
	path     string
	first    int64   // offset of the first frame
	pos      wal.LSN // the highest position of all frames before it
	start    bool    // a reader may begin here
	seed     uint32

	// What recovery found, for Look.
	frames int
	sealed bool

	// guarded
	end  int64 // frames up to here count, and are fsynced
	size int64 // bytes on disk, with what does not count
}

// Journal is the journal. Its methods may be called from any goroutine.
type Journal struct {
	opts Options

	wake   chan struct{} // one slot: the writer has something to do
	space  chan struct{} // one slot: there may be room in the queue
	failed chan struct{} // closed when the journal can no longer be written
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended

	limit atomic.Int64  // see Limit
	room  chan struct{} // one slot: a segment is gone, or the limit has changed

	w writer // the writer goroutine's own

	mu sync.Mutex // leaf; never held across I/O or a callback

	// Guarded by mu.
	queue     []wal.Frame
	queued    int64 // bytes of frames offered and not yet fsynced
	wantSpace bool  // somebody was refused
	wantSplit bool  // begin a new segment when possible, so that the last can be trimmed
	closing   bool
	err       error // why it failed
	closeErr  error

	segments []*segment // oldest first, sequence without gaps
	doomed   []*segment // trimmed, file perhaps still there; oldest first
	trimming bool       // a Trim is deleting files
	sequence uint64     // of the newest segment ever
	tail     state      // behind the last fsynced frame
	last     place      // behind the last fsynced frame
	written  wal.LSN    // highest position written, perhaps not fsynced
	window   window
	readers  map[*Reader]struct{}
	io       ioWatch
}

// Open reads what is in the directory and starts the writer. What was found is
// durable when it returns. A transaction open at the end stays: the reset frame
// of the next session voids it.
func Open(opts Options) (*Journal, error) {
	opts.defaults()
	j := &Journal{
		opts:    opts,
		wake:    make(chan struct{}, 1),
		space:   make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
		failed:  make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		window:  newWindow(opts.WindowBytes),
		readers: make(map[*Reader]struct{}),
	}
	if err := j.recover(); err != nil {
		err = fmt.Errorf("open the journal in %s: %w", opts.Dir, err)
		if j.w.dir != nil {
			err = errors.Join(err, j.w.dir.Close())
		}
		return nil, err
	}
	j.written = j.tail.pos
	go j.write()
	return j, nil
}

// queueBytes is what a frame counts in the queue.
func queueBytes(f *wal.Frame) int64 {
	return entryBytes + int64(len(f.Data)) + int64(len(f.Preamble))
}

// Limit stops taking frames from the queue, as if the disk were full, while there
// are so many bytes on disk or more: what comes stays with Postgres. Reading and
// trimming go on. 0: there is no limit.
func (j *Journal) Limit(bytes int64) {
	if j.limit.Swap(bytes) != bytes {
		poke(j.room)
	}
}

// Offer queues a frame. It never blocks; false: no room now (see Space), or the
// journal failed or was closed. Frames' bytes are read-only from now on.
func (j *Journal) Offer(f wal.Frame) bool {
	if f.Kind < wal.FrameData || f.Kind > wal.FrameProgress || uint64(len(f.Data)) > math.MaxUint32 {
		panic(fmt.Sprintf("journal: offered a frame of kind %d and %d bytes", f.Kind, len(f.Data)))
	}
	n := queueBytes(&f)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closing || j.err != nil {
		return false
	}
	// A frame larger than the whole queue gets in alone.
	if j.queued > 0 && j.queued+n > j.opts.QueueBytes {
		j.wantSpace = true
		return false
	}
	j.queued += n
	j.queue = append(j.queue, f)
	poke(j.wake)
	return true
}

// Space receives after Offer refused a frame and there may be room again. It
// has one slot: one waiter, and a receive may be one too many.
func (j *Journal) Space() <-chan struct{} { return j.space }

// Synced returns the newest position that is fsynced.
func (j *Journal) Synced() wal.LSN {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tail.pos
}

// Failed is closed when the journal can no longer be written. It can still be
// read.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err returns why the journal failed, nil if it did not.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close writes and syncs what is queued and ends the writer. It waits no longer
// than CloseTimeout for a disk that hangs: the writer then stays behind, and
// ends when the disk returns. Later calls return the same as the first.
func (j *Journal) Close() error {
	j.mu.Lock()
	if !j.closing {
		j.closing = true
		close(j.stop)
	}
	j.mu.Unlock()
	patience := time.NewTimer(j.opts.CloseTimeout)
	defer patience.Stop()
	select {
	case <-j.done:
	case <-patience.C:
		return fmt.Errorf("close the journal: the disk has not answered for %s", j.opts.CloseTimeout)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.err, j.closeErr)
}

// poke fills a one-slot channel.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pokeAll wakes whoever waits for something to change. mu is held.
func (j *Journal) pokeAll() {
	for r := range j.readers {
		poke(r.ready)
	}
	if j.wantSpace {
		j.wantSpace = false
		poke(j.space)
	}
}
