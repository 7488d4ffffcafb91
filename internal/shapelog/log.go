package shapelog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// Options says where the logs live and what they may use.
type Options struct {
	FS  vfs.FS // nil: the machine's
	Dir string // made if missing; log/ and snap/ are below it

	CacheBytes    int64  // block cache; 0: 32 MiB
	MemTableBytes uint64 // one memtable, of which there can be four; 0: 16 MiB
	InlineBytes   int    // snapshots up to this size make no files; 0: 64 KiB

	// ReadOnly: nothing is made or changed, and writing is an error. The caller sees
	// to it that nobody else writes.
	ReadOnly bool

	Logger *slog.Logger // nil: silent
	Events Events
}

// Log is all shapes' logs and snapshots. Its methods may be called from any
// goroutine.
type Log struct {
	db     *pebble.DB
	fs     vfs.FS
	snaps  string // directory of the snapshots
	inline int    // bytes
	frozen bool   // read-only

	// commits counts what Pebble has applied. It is raised behind the commit:
	// a flush that read it before it began covers all it counted.
	commits atomic.Int64
	written atomic.Int64 // bytes

	mu      sync.Mutex // never held across I/O
	running *flight    // the last flush that began
	next    *flight    // the one that waits for it; callers join it
	flushed int64      // commits that the last good flush covers
}

// flight is one flush that several callers wait for.
type flight struct {
	done chan struct{} // closed at its end
	err  error         // valid after done
}

// Open opens the logs in o.Dir, or makes them.
func Open(o Options) (*Log, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.InlineBytes == 0 {
		o.InlineBytes = defaultInlineBytes
	}
	snaps, logs := o.FS.PathJoin(o.Dir, "snap"), o.FS.PathJoin(o.Dir, "log")
	if !o.ReadOnly {
		if err := errors.Join(MakeDir(o.FS, snaps), MakeDir(o.FS, logs)); err != nil {
			return nil, err
		}
	}
	db, err := pebble.Open(logs, pebbleOptions(&o))
	if err != nil {
		return nil, fmt.Errorf("open shape logs: %w", err)
	}
	return &Log{db: db, fs: o.FS, snaps: snaps, inline: o.InlineBytes, frozen: o.ReadOnly}, nil
}

// Close makes everything durable and closes the log. No other call may be
// running or come after it.
func (l *Log) Close() error {
	err := l.Flush()
	if cerr := l.db.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close shape logs: %w", cerr))
	}
	return err
}

// Flush waits until everything committed before the call is durable. Callers
// that come while a flush is running share the next one.
func (l *Log) Flush() error {
	want := l.commits.Load()
	l.mu.Lock()
	if l.flushed >= want {
		l.mu.Unlock()
		return nil
	}
	if f := l.next; f != nil {
		l.mu.Unlock()
		<-f.done
		return f.err
	}
	f := &flight{done: make(chan struct{})}
	before := l.running
	l.next = f
	l.mu.Unlock()
	if before != nil {
		<-before.done
	}

	l.mu.Lock()
	l.next, l.running = nil, f
	l.mu.Unlock()
	covers := l.commits.Load()
	if err := l.db.Flush(); err != nil {
		f.err = fmt.Errorf("flush shape logs: %w", err)
	} else {
		l.mu.Lock()
		l.flushed = max(l.flushed, covers)
		l.mu.Unlock()
	}
	close(f.done)
	return f.err
}

// Written is how many bytes were committed since Open, keys and values.
func (l *Log) Written() int64 { return l.written.Load() }

// Delete removes a shape's log, cursors and snapshot. It is not durable by
// itself: Sweep removes what a crash brought back.
func (l *Log) Delete(id shape.ID) error {
	from := appendShape(nil, id)
	to := appendShape(nil, id+1)
	if err := l.db.DeleteRange(from, to, pebble.NoSync); err != nil {
		return fmt.Errorf("delete log of shape %d: %w", id, err)
	}
	l.commits.Add(1)
	if err := l.fs.RemoveAll(l.snapDir(id)); err != nil {
		return fmt.Errorf("delete snapshot of shape %d: %w", id, err)
	}
	return nil
}

// Sweep deletes what is left of shapes that are not live. It is for start-up,
// before anything is written, and costs a seek for each shape.
func (l *Log) Sweep(live func(shape.ID) bool) error {
	dead, err := l.deadLogs(live)
	if err != nil {
		return err
	}
	names, err := l.fs.List(l.snaps)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue // not ours
		}
		if id := shape.ID(n); !live(id) {
			dead = append(dead, id)
		}
	}
	for _, id := range dead {
		if err := l.Delete(id); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}

func (l *Log) deadLogs(live func(shape.ID) bool) (dead []shape.ID, err error) {
	it, err := l.db.NewIter(nil)
	if err != nil {
		return nil, fmt.Errorf("list shape logs: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var next []byte
	for ok := it.First(); ok; ok = it.SeekGE(next) {
		if len(it.Key()) < 8 {
			return nil, &CorruptError{What: "a key without a shape"}
		}
		id := keyShape(it.Key())
		if !live(id) {
			dead = append(dead, id)
		}
		if id+1 == 0 {
			break
		}
		next = appendShape(next[:0], id+1)
	}
	return dead, nil
}

// Size estimates the bytes that a shape's log takes on disk; what is not
// flushed yet is not counted.
func (l *Log) Size(id shape.ID) (uint64, error) {
	n, err := l.db.EstimateDiskUsage(appendShape(nil, id), appendShape(nil, id+1))
	if err != nil {
		return 0, fmt.Errorf("estimate size of shape %d: %w", id, err)
	}
	return n, nil
}

// Stats is what an operator wants to know of the logs.
type Stats struct {
	DiskBytes     uint64 // tables on disk, snapshots not counted
	MemTableBytes uint64
	CacheBytes    int64
	Flushes       int64
	Compactions   int64
	CompactDebt   uint64 // bytes that compactions still have to move
	Tables        int64
}

// Stats reads Pebble's metrics.
func (l *Log) Stats() Stats {
	m := l.db.Metrics()
	return Stats{
		DiskBytes:     m.DiskSpaceUsage(),
		MemTableBytes: m.MemTable.Size,
		CacheBytes:    m.BlockCache.Size,
		Flushes:       m.Flush.Count,
		Compactions:   m.Compact.Count,
		CompactDebt:   m.Compact.EstimatedDebt,
		Tables:        m.Total().TablesCount,
	}
}

func (l *Log) snapDir(id shape.ID) string {
	return l.fs.PathJoin(l.snaps, strconv.FormatUint(uint64(id), 10))
}

// MakeDir makes dir and what is missing above it, and makes that durable: a
// directory's name is safe only when its parent was synced.
func MakeDir(fs vfs.FS, dir string) error {
	var parents []string
	for d := dir; ; {
		if _, err := fs.Stat(d); err == nil {
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("make %s: %w", dir, err)
		}
		parent := fs.PathDir(d)
		parents = append(parents, parent)
		if parent == d {
			break
		}
		d = parent
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	for _, p := range parents {
		if err := syncDir(fs, p); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	err = d.Sync()
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
