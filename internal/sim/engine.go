package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/ingest"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// The data directory.
const (
	journalDir  = "/data/journal"
	shapesDir   = "/data/shapes"
	registryDir = "/data/catalogue"
)

// Config says how an Engine is put together.
type Config struct {
	Disk     *Disk
	Database *Database
	Shards   int
	Grace    time.Duration
	// ChunkBytes is for log and snapshots, SegmentBytes and WindowBytes are the
	// journal's. Zero: the defaults.
	ChunkBytes, SegmentBytes, WindowBytes int64
	JournalBudget                         int64
	GhostLimit                            int
	FlushAtLatest                         time.Duration
	// BeforeQuarantine, if set, runs before it is written down that a shape is out
	// of the stream.
	BeforeQuarantine func()
	BeforeApply      func(shape.ID, *wal.Change)
	Logger           *slog.Logger // nil: silent
}

// Engine is the rooms between the journal and the readers, put together as the
// engine room does it.
type Engine struct {
	Config
	Journal  *journal.Journal
	Log      *shapelog.Log
	Registry *registry.Registry
	Ingest   *ingest.Ingest
	Creator  *snapshot.Creator

	cancel context.CancelFunc
	ended  chan error
	healed chan struct{} // closed when heal has returned

	session     context.CancelFunc
	sessionDone chan struct{}

	mu      sync.Mutex // held while an ack is given
	crashed bool
}

// epochStep is how many epochs one run may use.
const epochStep = 1 << 20

// Start opens what is on the disk and runs it.
func Start(c Config) (*Engine, error) {
	e, err := Open(c)
	if err == nil {
		e.Run()
	}
	return e, err
}

// Open opens what is on the disk.
func Open(c Config) (*Engine, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = 10 << 20
	}
	e := &Engine{Config: c, ended: make(chan error, 1)}
	if err := e.open(); err != nil {
		return nil, fmt.Errorf("open the engine: %w", err)
	}
	return e, nil
}

// Run lets the ingest run.
func (e *Engine) Run() {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go func() {
		e.ended <- e.Ingest.Run(ctx)
		close(e.ended)
	}()
	e.healed = make(chan struct{})
	go e.heal(ctx)
}

func (e *Engine) open() (err error) {
	e.Log, err = shapelog.Open(shapelog.Options{
		FS: e.Disk, Dir: shapesDir, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, InlineBytes: 512,
	})
	if err != nil {
		return err
	}
	e.Registry, err = registry.Open(registry.Options{FS: e.Disk, Dir: registryDir, Log: e.Log})
	if err != nil {
		return err
	}
	e.Journal, err = journal.Open(journal.Options{
		FS: e.Disk, Dir: journalDir, SegmentBytes: e.SegmentBytes, WindowBytes: e.WindowBytes,
		QueueBytes: 256 << 10,
	})
	if err != nil {
		return err
	}
	epoch := e.number("epoch") + epochStep
	if err := e.note("epoch", epoch, true); err != nil {
		return err
	}
	e.Ingest, err = ingest.New(ingest.Options{
		Journal: e.Journal, Log: e.Log, Registry: e.Registry,
		Shards: e.Shards, ChunkBytes: e.ChunkBytes,
		JournalBudget: e.JournalBudget,
		Start:         e.start(), Epoch: epoch, Grace: e.Grace, FlushEvery: 2 * time.Second, FlushAtLatest: e.FlushAtLatest,
		Logger:      e.Logger,
		OnBoundary:  func(b wal.LSN) error { return e.note("boundary", uint64(b), false) },
		BeforeApply: e.BeforeApply,
		GhostLimit:  e.GhostLimit, Canary: e.canary,
		Quarantine: func(sp *registry.Shape, reason shape.Reason, detail string) error {
			if f := e.BeforeQuarantine; f != nil {
				f()
			}
			return e.admit(sp, sp.Failures(), reason, detail)
		},
	})
	if err != nil {
		return err
	}
	e.Creator = snapshot.New(snapshot.Options{
		Registry: e.Registry, Log: e.Log, Stream: e.Ingest, Database: e.Database,
		Workers: 3, ChunkBytes: e.ChunkBytes, Logger: e.Logger,
	})
	return nil
}

// heal builds ill shapes anew, as the engine room does.
func (e *Engine) heal(ctx context.Context) {
	defer close(e.healed)
	for {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
		for _, sp := range e.Registry.Ill() {
			if ctx.Err() != nil {
				return
			}
			ill, ok := sp.Illness()
			if !ok || time.Now().Before(ill.Until) {
				continue
			}
			if err := e.Creator.Rebuild(sp); err == nil || ctx.Err() != nil {
				continue
			}
			if err := e.admit(sp, ill.Failures+1, ill.Reason, "building it anew failed"); err != nil && !errors.Is(err, registry.ErrRemoved) {
				e.Logger.Error("keep that a shape could not be built anew", "err", err)
			}
		}
	}
}

// Of the ladder: so often a definition is built anew in vain before it is parked,
// and so long it is left alone then.
const (
	rebuildTries = 2
	parkTime     = 20 * time.Second
)

// admit takes a shape out of the stream, as the engine room does.
func (e *Engine) admit(sp *registry.Shape, failures int, reason shape.Reason, detail string) error {
	parked, wait := failures >= rebuildTries, time.Duration(failures)*time.Second
	if parked {
		wait = parkTime
	}
	return e.Registry.Quarantine(sp, reason, detail, parked, time.Now().Add(wait))
}

// canary writes a few bytes to a file that shares the journal's fate.
func (e *Engine) canary() error {
	f, err := e.Disk.Create(journalDir+"-canary", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// start is where the journal is to be read from.
func (e *Engine) start() wal.LSN {
	return max(wal.LSN(e.number("boundary")), e.Journal.Stats().Oldest)
}

func (e *Engine) number(name string) uint64 {
	v, ok := e.Registry.Fact(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (e *Engine) note(name string, n uint64, sync bool) error {
	return e.Registry.SetFact(name, strconv.AppendUint(nil, n, 10), sync)
}

// Connect begins a replication session. It sends from the journal's end, or,
// with again, from what the slot was told last.
func (e *Engine) Connect(seed uint64, again bool) {
	e.Disconnect()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	e.session, e.sessionDone = cancel, done
	from := e.Database.PG.Confirmed()
	if !again {
		from = max(from, e.Journal.Synced())
	}
	go func() {
		defer close(done)
		e.Database.PG.Stream(ctx, e.Journal, from, seed, e.atomically)
	}()
}

// Disconnect ends the session, wherever it is.
func (e *Engine) Disconnect() {
	if e.session == nil {
		return
	}
	e.session()
	<-e.sessionDone
	e.session = nil
	e.Database.Broken.Add(1)
}

// atomically keeps a crash from coming between an fsync that counts and its ack.
func (e *Engine) atomically(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.crashed {
		f()
	}
}

// Crash returns what is on the disk if the process dies now, and ends it.
func (e *Engine) Crash(percent int, rng *rand.Rand) (*Disk, error) {
	left := e.die(percent, rng)
	e.Disk.Fill(false)
	e.Disk.Slow(0)
	e.Disk.Stick(false)
	return left, e.Stop()
}

// die is the moment of a crash: nothing is acknowledged after it.
func (e *Engine) die(percent int, rng *rand.Rand) *Disk {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.crashed = true
	return e.Disk.Crash(percent, rng)
}

// Ended receives if the ingest has ended by itself.
func (e *Engine) Ended() <-chan error { return e.ended }

// Stop ends everything and waits for it.
func (e *Engine) Stop() error {
	e.Disconnect()
	e.Creator.Close()
	var err error
	if e.cancel != nil { // it runs
		e.cancel()
		err = <-e.ended
		<-e.healed
	}
	return errors.Join(err, e.Journal.Close(), e.Registry.Close(), e.Log.Close())
}
