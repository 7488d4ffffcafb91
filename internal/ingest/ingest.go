package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/flush"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Options says what an Ingest works with.
type Options struct {
	Journal  *journal.Journal
	Log      *shapelog.Log
	Registry *registry.Registry
	// Shards is the number of workers; at least 1.
	Shards int
	// ChunkBytes is the size of a chunk of a shape's log, in bytes.
	ChunkBytes int64
	// Start is the position from which the journal is replayed: the boundary
	// as it was last stored. Whatever a shape owes lies at or above it.
	Start wal.LSN
	// Epoch is greater than any that was used in this data directory before,
	// with 2^20 to spare.
	Epoch uint64
	// Grace is how long a consumer may make no progress.
	Grace time.Duration
	// GhostLimit is how many replaced workers that do not return are borne with;
	// 0: any number.
	GhostLimit int
	// Canary, if set, writes and fsyncs a few bytes where the data is: called each
	// second, it tells whether the storage answers.
	Canary func() error
	// Quarantine makes durable that a live shape is out of the stream; its log is
	// not continued. Without it such a shape is removed.
	Quarantine func(sp *registry.Shape, reason shape.Reason, detail string) error
	// JournalBudget is what the journal may hold, in bytes; 0: no limit.
	JournalBudget int64
	// FlushEvery is how often it is looked whether to make the shape log durable, and
	// the journal is trimmed. FlushAtLatest is after what time it is done even if little was
	// written; 0: at each look.
	FlushEvery, FlushAtLatest time.Duration
	Logger                    *slog.Logger
	// OnBoundary, if set, hears of each new boundary before the journal is
	// trimmed there; the newest is the Start of the next run.
	OnBoundary func(wal.LSN) error
	// OnRemoved, if set, hears of each shape whose removal is durable.
	OnRemoved func(shape.Reason)
	// OnRelation, if set, hears of each relation message, so that caches of
	// the catalogue can be renewed. It must not block.
	OnRelation func(rel *wal.Relation)
	// BeforeApply, if set, runs in the worker before each change: tests make
	// consumers fail with it.
	BeforeApply func(shape.ID, *wal.Change)
}

// Ingest is the running machinery. Create it with New, start it with Run.
type Ingest struct {
	opts  Options
	began time.Time

	commands chan command
	durable  *ledger
	grave    *graveyard
	shards   []*shard
	spine    *spine
	watchdog *watchdog

	kin      atomic.Pointer[kinNow]
	routed   atomic.Uint64
	boundary atomic.Uint64
	holder   atomic.Pointer[holder]
	ghosts   ghosts
	guard    *guard
	canary   *canary
	strikes  strikes
	notes    notes
	away     atomic.Int64 // shapes on their way back to the stream
	running  atomic.Int64 // workers that have not returned, ghosts included

	// The flusher's: where the journal was trimmed, until when, by now, nobody goes for the
	// budget, and what was written and routed at the last flush and when that was, by now.
	trimmed wal.LSN
	respite time.Duration
	flushed struct {
		bytes int64
		at    wal.LSN
		when  time.Duration
	}

	target   wal.LSN       // the journal's end when we began
	caughtUp chan struct{} // closed when every shard has applied up to target
	catching sync.Once

	failed  chan error                         // one slot: why the whole cannot go on
	cancel  atomic.Pointer[context.CancelFunc] // ends Run
	ended   chan struct{}                      // closed when the spine has ended
	workers sync.WaitGroup
}

type holder struct {
	id    shape.ID
	from  wal.LSN
	since time.Time
}

// New takes the catalogue's shapes in. It reads their cursors, so it may take a
// while with many shapes.
func New(opts Options) (*Ingest, error) {
	in := &Ingest{
		opts:     opts,
		began:    time.Now(),
		commands: make(chan command, 256),
		durable:  newLedger(),
		grave:    newGraveyard(),
		target:   opts.Journal.Synced(),
		caughtUp: make(chan struct{}),
		failed:   make(chan error, 1),
		ended:    make(chan struct{}),
		guard:    newGuard(),
		canary:   newCanary(opts.Canary, opts.Grace),
	}
	in.notes.poke = in.grave.poke
	in.ghosts.changed = make(chan struct{}, 1)
	in.kin.Store(&kinNow{next: make(chan struct{})})
	var err error
	if in.strikes.of, err = opts.Registry.Strikes(); err != nil {
		return nil, err
	}
	reader, err := opts.Journal.Reader(opts.Start)
	if err != nil {
		return nil, fmt.Errorf("read the journal from %s: %w", opts.Start, err)
	}
	s := &spine{
		in:      in,
		reader:  reader,
		unpack:  unpacker{pos: opts.Start},
		index:   route.New(),
		told:    make(map[uint32]*announced),
		tracker: flush.New(opts.Start),
		pos:     opts.Start,
		touched: make(map[shape.ID]struct{}),
	}
	for n := range max(1, opts.Shards) {
		sh := &shard{
			n:        n,
			shapes:   shape.NewByID[registry.Shape](max(1, opts.Shards)),
			joining:  make(map[shape.ID]*join),
			away:     make(map[shape.ID]struct{}),
			progress: new(registry.Progress),
			writing:  make(chan struct{}, 1),
			spare:    make(chan []step, 1),
		}
		sh.epoch.Store(opts.Epoch)
		sh.routed.Store(uint64(opts.Start))
		sh.applied.Store(uint64(opts.Start))
		in.shards = append(in.shards, sh)
	}
	s.shards = in.shards
	in.spine = s
	in.routed.Store(uint64(opts.Start))
	in.boundary.Store(uint64(opts.Start))
	in.watchdog = newWatchdog(in)
	s.adopt()
	if err := in.load(); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	in.noticeCaughtUp()
	return in, nil
}

// load makes a worker for each shard. They read where their shapes stand side by side:
// with a million that is a third of a start.
func (in *Ingest) load() error {
	var all sync.WaitGroup
	failed := make([]error, len(in.shards))
	for n, sh := range in.shards {
		w := in.newWorker(sh)
		w.pos = in.opts.Start
		in.spine.workers = append(in.spine.workers, w)
		all.Go(func() { failed[n] = w.load(sh.shapes) })
	}
	all.Wait()
	for _, sh := range in.shards {
		// Known without reading anything; on a quiet database nothing comes.
		sh.progress.Advance(in.opts.Start)
	}
	return errors.Join(failed...)
}

// Run works until ctx is done or something fails that only a new start can
// mend. It returns when all its goroutines have, but for ghosts.
func (in *Ingest) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in.cancel.Store(&cancel)
	var all sync.WaitGroup
	part := func(name string, f func(context.Context) error) {
		all.Go(func() {
			defer cancel()
			if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
				in.fail(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	for _, w := range in.spine.workers {
		in.start(ctx, w)
	}
	in.spine.workers = nil
	in.spine.ctx = ctx
	part("spine", in.spine.run)
	part("flusher", in.flusher)
	part("undertaker", in.undertaker)
	part("watchdog", in.watchdog.run)
	part("canary", in.canary.run)
	all.Wait()
	close(in.ended)
	in.waitWorkers()
	// Last of all, so that what the workers wrote is durable.
	err := in.opts.Log.Flush()
	select {
	case f := <-in.failed:
		return f
	default:
	}
	if err != nil {
		return fmt.Errorf("flush the shape log: %w", err)
	}
	return nil
}

// stopLimit is how long Run waits for its workers when it ends: a worker may
// be stuck in a consumer, and the process must stop within 10 s all the same.
const stopLimit = 3 * time.Second

// waitWorkers waits for the workers, but not for ghosts, which may never return.
func (in *Ingest) waitWorkers() {
	done := make(chan struct{})
	go func() {
		in.workers.Wait()
		close(done)
	}()
	limit := time.After(stopLimit)
	for {
		select {
		case <-done:
			return
		case <-limit:
			in.opts.Logger.Warn("stopping without waiting longer for workers", "ghosts", in.ghosts.count())
			return
		case <-time.After(tick):
			if n := int64(in.ghosts.count()); n > 0 && in.running.Load() == n {
				return
			}
		}
	}
}

func (in *Ingest) fail(err error) {
	select {
	case in.failed <- err:
	default:
	}
}

// stop ends Run.
func (in *Ingest) stop() {
	if c := in.cancel.Load(); c != nil {
		(*c)()
	}
}

func (in *Ingest) now() time.Duration { return time.Since(in.began) }

// Boundary is the position below which nobody needs the journal any more.
func (in *Ingest) Boundary() wal.LSN { return wal.LSN(in.boundary.Load()) }

// Routed is the position up to which the spine has handed over.
func (in *Ingest) Routed() wal.LSN { return wal.LSN(in.routed.Load()) }

// CaughtUp is closed once everything that was in the journal at start has been
// applied: from then on every offset that was ever given to a client is there.
func (in *Ingest) CaughtUp() <-chan struct{} { return in.caughtUp }

func (in *Ingest) noticeCaughtUp() {
	for _, sh := range in.shards {
		if wal.LSN(sh.applied.Load()) < in.target {
			return
		}
	}
	in.catching.Do(func() { close(in.caughtUp) })
}

func (in *Ingest) applied(*shard) {
	select {
	case <-in.caughtUp:
	default:
		in.noticeCaughtUp()
	}
}

// Pin holds the journal from the present position on, for a shape whose
// snapshot is about to be taken.
func (in *Ingest) Pin(ctx context.Context, id shape.ID) error {
	done := make(chan struct{})
	if err := in.tell(ctx, command{kind: cmdPin, id: id, done: done}); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-in.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errEnded is what those are told who ask something of an ingest that has ended.
var errEnded = errors.New("the stream has ended")

// tell sends the spine a command. The spine waits for nobody, so this does not
// take long.
func (in *Ingest) tell(ctx context.Context, c command) error {
	select {
	case in.commands <- c:
		return nil
	case <-in.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (in *Ingest) newConsumer(sp *registry.Shape, cur shape.Cursor) *consume.Consumer {
	return consume.New(sp.Def(), cur, in.opts.ChunkBytes, sp.Sees())
}

// Remove gives a shape's log up: it is taken out of the stream, its removal is
// made durable, its waiters are woken. It does not wait for that.
func (in *Ingest) Remove(sp *registry.Shape, reason shape.Reason, detail string) {
	in.bury(sp, reason, detail)
}
