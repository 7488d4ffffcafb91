package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/chaos"
	"github.com/spillway-sync/spillway/internal/ingest"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/pgrepl"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Names of facts that the catalogue keeps for the engine, as texts.
const (
	FactSystem   = "system_id"
	FactTimeline = "timeline"
	FactSlot     = "slot"
	FactStats    = "stats_reset" // pgrepl.Info.StatsReset
	FactEpoch    = "epoch"
	FactBoundary = "boundary"
	FactStart    = "start" // where the journal began; until it has something it ends there
)

// epochStep is how many epochs one start of the process may use.
const epochStep = 1 << 20

// flushEvery is how often it is looked whether to make the shape log durable, and
// flushAtLatest after what time it is. They bound what a crash has to replay, and do not
// hold back what Postgres is told.
const (
	flushEvery    = 2 * time.Second
	flushAtLatest = 30 * time.Second
)

// Engine is the service.
type Engine struct {
	cfg Config
	log *slog.Logger

	lock       *os.File // of the data directory
	shapelog   *shapelog.Log
	registry   *registry.Registry
	db         *pgquery.DB
	creator    *snapshot.Creator
	door       chan struct{} // one slot: who holds it may make a shape, while MaxShapes is set
	chaos      *chaos.Faults // nil: off
	ward       *ward
	families   *families
	publishing *publishing

	// stream is the part that is replaced when continuity is lost.
	stream atomic.Pointer[stream]

	mu      sync.Mutex // leaf lock
	health  Health
	reason  string
	lastErr string
	active  chan struct{} // closed while streaming; replaced when it stops
	removed map[shape.Reason]int64
	// recorder is changed by the goroutine that watches ghosts only.
	recorder recorder
	// lastAudit is not changed any more.
	lastAudit *audit
	lag       lagClock
	freshness freshness
	began     time.Time

	advised  bool // the session goroutine's: Advice was logged
	session  atomic.Pointer[pgrepl.Session]
	from     atomic.Uint64 // the position that the session streams from
	sessions atomic.Int64
	cut      atomic.Pointer[context.CancelCauseFunc] // ends the session
	failed   chan error                              // one slot: why Run must end
}

// stream is a journal and the machinery that reads it. Its end is part of it.
type stream struct {
	journal *journal.Journal
	ingest  *ingest.Ingest
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the ingest has returned
	err     error         // set before ended is closed

	replaced atomic.Bool   // continuity was lost: it ends, and another comes
	next     chan struct{} // closed when the other is there
}

// New opens the data directory, which takes the longer the more shapes there are,
// and can be given up by ctx. It does not talk to Postgres.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Engine, error) {
	e := &Engine{
		cfg: cfg, log: log,
		health: HealthStarting, reason: reasonReplication,
		active:  make(chan struct{}),
		removed: make(map[shape.Reason]int64),
		failed:  make(chan error, 1),
	}
	if cfg.Chaos {
		e.chaos = e.newChaos()
	}
	e.ward = newWard(e)
	e.families, e.publishing = newFamilies(e), newPublishing(e)
	e.lastAudit, e.began = new(audit), time.Now()
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(&storageError{err}, e.close())
	}
	db, err := pgquery.Open(pgquery.Config{
		URL: cfg.DatabaseURL, PooledURL: cfg.PooledDatabaseURL, PoolSize: cfg.PoolSize,
		Publication: cfg.Publication(), Slot: cfg.Slot(), Manual: cfg.ManualPublishing, Logger: log,
	})
	if err != nil {
		return nil, errors.Join(&postgresError{err}, e.close())
	}
	e.db = db
	e.door = make(chan struct{}, 1)
	e.creator = snapshot.New(snapshot.Options{
		Registry: e.registry, Log: e.shapelog, Stream: streamSwitch{e}, Database: database{e},
		Workers: max(1, cfg.PoolSize/2), ChunkBytes: cfg.ChunkBytes, Logger: log,
	})
	return e, nil
}

func (e *Engine) open(ctx context.Context) error {
	if err := os.MkdirAll(e.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockDir(e.cfg.DataDir)
	if err != nil {
		return err
	}
	e.lock = lock
	e.shapelog, err = shapelog.Open(shapelog.Options{FS: vfs.Default, Dir: e.path("shapes"), Logger: e.log})
	if err != nil {
		return err
	}
	e.registry, err = registry.Open(registry.Options{FS: vfs.Default, Dir: e.path("catalogue"), Log: e.shapelog, Logger: e.log, Progress: e.reading(ctx)})
	if err != nil {
		return err
	}
	if err := errors.Join(e.families.load(), e.publishing.load()); err != nil {
		return err
	}
	return e.openStream()
}

// reading tells of a catalogue that takes a while to read.
func (e *Engine) reading(ctx context.Context) func(shapes int) error {
	const every = 2 * time.Second
	told := time.Now()
	return func(shapes int) error {
		if time.Since(told) >= every {
			told = time.Now()
			e.log.Info("reading the catalogue of shapes", "shapes", shapes)
		}
		return context.Cause(ctx)
	}
}

func (e *Engine) path(name string) string { return filepath.Join(e.cfg.DataDir, name) }

// openStream opens the journal and makes the machinery that reads it.
func (e *Engine) openStream() error {
	j, err := journal.Open(journal.Options{FS: e.chaos.FS(vfs.Default), Dir: e.path("journal"), Events: e.journalEvents(),
		SegmentBytes: min(max(e.cfg.JournalBudget/16, 1<<20), journal.DefaultSegmentBytes)})
	if err != nil {
		return err
	}
	epoch, err := e.nextEpoch()
	if err != nil {
		return errors.Join(err, j.Close())
	}
	boundary, err := e.number(FactBoundary)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	start := max(wal.LSN(boundary), j.Stats().Oldest)
	opts := ingest.Options{
		Journal: j, Log: e.shapelog, Registry: e.registry,
		Shards: e.shards(), ChunkBytes: e.cfg.ChunkBytes,
		Start: start, Epoch: epoch, JournalBudget: e.cfg.JournalBudget,
		Grace: e.cfg.StallGrace, FlushEvery: flushEvery, FlushAtLatest: flushAtLatest,
		Logger:     e.log,
		OnBoundary: e.noteBoundary,
		OnRelation: e.families.relation,
		OnRemoved:  e.countRemoved,
		Quarantine: e.quarantine,
		GhostLimit: e.cfg.MaxGhosts,
		Canary:     e.canary,
	}
	if e.chaos != nil {
		opts.BeforeApply = e.chaos.BeforeApply
	}
	in, err := ingest.New(opts)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	e.stream.Store(&stream{journal: j, ingest: in, ended: make(chan struct{}), next: make(chan struct{})})
	e.families.tell(in)
	return nil
}

// canary writes a few bytes where the data is.
func (e *Engine) canary() error {
	f, err := e.chaos.FS(vfs.Default).Create(e.path("canary"), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create the canary's file: %w", err)
	}
	_, err = f.Write([]byte("tweet"))
	return errors.Join(err, f.Sync(), f.Close())
}

func (e *Engine) journalEvents() journal.Events {
	told := false // both are called by the journal's writer
	return journal.Events{
		Full: func(err error) {
			if told {
				return // it tries again every second
			}
			told = true
			if errors.Is(err, journal.ErrHeld) {
				e.log.Error("the journal is at its budget: intake stops until it is trimmed, Postgres keeps what comes")
				return
			}
			e.log.Error("the journal's disk is full: intake stops, what is there is served; it goes on by itself once there is space", "err", err)
		},
		Resumed: func() {
			told = false
			e.log.Info("the journal has space again: intake goes on")
		},
		Torn: func(path string, offset, bytes int64) {
			e.log.Info("left out what a crash did not finish writing", "file", path, "offset", offset, "bytes", bytes)
		},
	}
}

func (e *Engine) shards() int {
	if e.cfg.Shards > 0 {
		return e.cfg.Shards
	}
	return runtime.GOMAXPROCS(0)
}

// nextEpoch reserves epochs that nobody used before, durably.
func (e *Engine) nextEpoch() (uint64, error) {
	n, err := e.number(FactEpoch)
	if err != nil {
		return 0, err
	}
	n += epochStep
	if err := e.registry.SetFact(FactEpoch, strconv.AppendUint(nil, n, 10), true); err != nil {
		return 0, err
	}
	return n, nil
}

// number reads a fact that is a number, 0 if it was never noted.
func (e *Engine) number(name string) (uint64, error) {
	v, ok := e.registry.Fact(name)
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read fact %s of the catalogue: %w", name, err)
	}
	return n, nil
}

// Run works until ctx is done or something fails that a new attempt cannot
// mend. It closes everything before it returns.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	e.startStream(ctx)
	all.Go(func() {
		defer cancel()
		if err := e.runSessions(ctx); err != nil && ctx.Err() == nil {
			e.fail(err)
		}
	})
	all.Go(func() { e.watchDatabase(ctx) })
	all.Go(func() { e.watchFreshness(ctx) })
	all.Go(func() { e.ward.run(ctx) })
	all.Go(func() { e.families.run(ctx) })
	all.Go(func() { e.watch(ctx) })
	all.Go(func() {
		defer cancel()
		e.watchStream(ctx)
	})
	all.Wait()
	e.setHealth(HealthStopping, "")
	// The sessions have ended: nothing comes in any more. Snapshots next, since
	// they write; then the machinery, with its last flush.
	e.creator.Close()
	st := e.stream.Load()
	st.cancel()
	<-st.ended
	err := st.err
	select {
	case err = <-e.failed:
	default:
	}
	return errors.Join(err, e.close())
}

// startStream runs the present stream's machinery.
func (e *Engine) startStream(ctx context.Context) {
	st := e.stream.Load()
	// It outlives ctx: it ends when the sessions have.
	sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	st.cancel = cancel
	go func() {
		defer close(st.ended)
		switch err := st.ingest.Run(sctx); {
		case errors.Is(err, ingest.ErrGhosts):
			st.err = &ghostsError{err}
		case err != nil:
			st.err = &storageError{err}
		}
	}()
}

// watchStream ends when ctx does or when the journal or the machinery cannot go
// on.
func (e *Engine) watchStream(ctx context.Context) {
	for {
		st := e.stream.Load()
		select {
		case <-ctx.Done():
			return
		case <-st.journal.Failed():
			e.fail(&storageError{fmt.Errorf("the journal failed: %w", st.journal.Err())})
			return
		case <-st.ended:
			if !st.replaced.Load() {
				e.fail(e.reported(st.err))
				return
			}
			select {
			case <-st.next:
			case <-ctx.Done():
				return
			}
		}
	}
}

// reported adds a report to an error that only stacks can explain.
func (e *Engine) reported(err error) error {
	if !errors.Is(err, ErrGhosts) {
		return err
	}
	dir, rerr := e.report()
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	return fmt.Errorf("%w; all stacks and a trace of the last seconds are in %s", err, dir)
}

// watch notes how far the journal has come, and keeps a record of what happens as
// long as there are ghosts.
func (e *Engine) watch(ctx context.Context) {
	t := time.NewTicker(lagEvery)
	defer t.Stop()
	for own, ghosts := 0, 0; ; {
		e.lookAtLag()
		n := len(e.stream.Load().ingest.Status().Ghosts)
		if n != ghosts {
			if ghosts == 0 {
				own = runtime.GOMAXPROCS(0)
			}
			spare(own, n)
			ghosts = n
		}
		e.mu.Lock()
		r := e.recorder
		e.mu.Unlock()
		if err := r.follow(n, e.cfg.MaxGhosts); err != nil {
			e.log.Warn("what replaced workers do is not recorded", "err", err)
		}
		e.mu.Lock()
		e.recorder = r
		e.mu.Unlock()
		select {
		case <-t.C:
		case <-e.stream.Load().ingest.GhostsChanged():
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) fail(err error) {
	select {
	case e.failed <- err:
	default:
	}
}

func (e *Engine) close() error {
	var errs []error
	if st := e.stream.Load(); st != nil {
		errs = append(errs, st.journal.Close())
	}
	if e.registry != nil {
		errs = append(errs, e.registry.Close())
	}
	if e.shapelog != nil {
		errs = append(errs, e.shapelog.Close())
	}
	if e.db != nil {
		e.db.Close()
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return &storageError{err}
	}
	return nil
}

// noteBoundary writes down from where a start would have to replay. A crash may
// bring an older one back, which costs time and nothing else.
func (e *Engine) noteBoundary(b wal.LSN) error {
	return e.registry.SetFact(FactBoundary, strconv.AppendUint(nil, uint64(b), 10), false)
}

func (e *Engine) countRemoved(reason shape.Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removed[reason]++
}
