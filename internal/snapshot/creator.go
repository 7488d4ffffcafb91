package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/turn"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Stream is what a new shape needs of the ingest.
type Stream interface {
	// Routed is the position that the stream has come to.
	Routed() wal.LSN
	// Pin holds the journal for the shape from the present position on.
	Pin(ctx context.Context, id shape.ID) error
	// Join brings the shape into the stream from a position on.
	Join(ctx context.Context, sp *registry.Shape, from wal.LSN) error
	// Remove gives the shape up.
	Remove(sp *registry.Shape, reason shape.Reason, detail string)
}

// Family is which partitions a table had when it was published. What is in it is the
// Database's business.
type Family any

// Database is what a new shape needs of Postgres.
type Database interface {
	// Publish puts the table into the publication with full replica identity.
	Publish(ctx context.Context, t *shape.Table) (Family, error)
	// WritersGone returns the present end of the log after waiting for all who
	// may have written to the table before it. It looks from time to time and
	// calls pause in between.
	WritersGone(ctx context.Context, t *shape.Table, pause func(context.Context, time.Duration) error) (wal.LSN, error)
	// Snapshot calls onSight once with what the snapshot sees, which does not wait,
	// then onStart, then onRow for each row; a row is valid during the call only. It is
	// an error if it finds a partition whose changes may not be sent, since it was not
	// published with the others.
	Snapshot(ctx context.Context, def *shape.Def, published Family, onSight func(wal.Snapshot) error, onStart func() error, onRow func(wal.Tuple) error) error
	// Explain turns an error of the above into a *Failure or *SchemaChanged.
	Explain(err error) error
}

// Options says what a Creator works with.
type Options struct {
	Registry   *registry.Registry
	Log        *shapelog.Log
	Stream     Stream
	Database   Database
	Workers    int   // snapshots read at the same time
	ChunkBytes int64 // of a snapshot chunk
	Logger     *slog.Logger
}

// Creator makes shapes.
type Creator struct {
	opts  Options
	slots chan struct{} // one for each snapshot being read
	// turns keeps a table from taking all slots: somebody may hold a lock on it.
	turns *turn.Turns
	ctx   context.Context
	stop  context.CancelFunc
	jobs  sync.WaitGroup

	mu      sync.Mutex // leaf lock
	waiting map[*work]struct{}
}

// work is a shape whose first rows are under way.
type work struct {
	shape *registry.Shape
	since time.Time
	rows  atomic.Int64
	step  atomic.Pointer[string]
}

func (w *work) at(step string) { w.step.Store(&step) }

// Waiting is what is known of a shape whose first rows are under way.
type Waiting struct {
	Shape *registry.Shape
	Since time.Time
	Rows  int64  // read so far
	Step  string // what it is at
}

// Waiting lists the shapes whose first rows are under way, the oldest first.
func (c *Creator) Waiting() []Waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Waiting, 0, len(c.waiting))
	for w := range c.waiting {
		all = append(all, Waiting{Shape: w.shape, Since: w.since, Rows: w.rows.Load(), Step: *w.step.Load()})
	}
	slices.SortFunc(all, func(a, b Waiting) int { return cmp.Compare(a.Shape.ID(), b.Shape.ID()) })
	return all
}

// begin notes that a shape's first rows are under way, until end is called.
func (c *Creator) begin(sp *registry.Shape) (w *work, end func()) {
	w = &work{shape: sp, since: time.Now()}
	w.at("a place in the stream")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[w] = struct{}{}
	return w, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, w)
	}
}

// New returns a Creator that works until Close.
func New(opts Options) *Creator {
	ctx, stop := context.WithCancel(context.Background())
	workers := max(1, opts.Workers)
	return &Creator{
		opts: opts, slots: make(chan struct{}, workers), turns: turn.New(turn.MostOf(workers)),
		ctx: ctx, stop: stop, waiting: make(map[*work]struct{}),
	}
}

// Close ends the work under way and waits for it. Shapes whose first rows are
// not complete fail; the next start removes them.
func (c *Creator) Close() {
	c.stop()
	c.jobs.Wait()
}

// Create finds the shape of an equal definition or makes one. It returns as
// soon as the shape has a handle; its Ready tells when rows can be asked for.
func (c *Creator) Create(def *shape.Def) (*registry.Shape, error) {
	sp, created, err := c.opts.Registry.Create(def, c.opts.Stream.Routed())
	if err != nil {
		return nil, fmt.Errorf("register a shape: %w", err)
	}
	if created {
		// Not the request's context: others may wait for the same shape.
		c.jobs.Go(func() { _ = c.job(c.ctx, sp) }) // the shape tells its clients
	}
	return sp, nil
}

// Rebuild makes an ill shape anew, under a new handle. It returns when the new one
// is live and has taken the old one's place, or with the reason why it has not.
// ErrRemoved: there is nothing to rebuild any more.
func (c *Creator) Rebuild(old *registry.Shape) error {
	sp, err := c.opts.Registry.Successor(old, c.opts.Stream.Routed())
	if err != nil {
		return fmt.Errorf("register a successor: %w", err)
	}
	if err := c.job(c.ctx, sp); err != nil {
		if errors.As(err, new(*SchemaChanged)) {
			c.opts.Stream.Remove(old, shape.ReasonSchema, err.Error())
			return registry.ErrRemoved
		}
		if _, still := old.Illness(); !still {
			return registry.ErrRemoved
		}
		return err
	}
	if err := c.opts.Registry.Promote(sp); err != nil {
		return fmt.Errorf("put a shape in its predecessor's place: %w", err)
	}
	if c.opts.Registry.Find(sp.Key()) != sp {
		// The old one went while this one was made, and somebody made another.
		c.opts.Stream.Remove(sp, shape.ReasonDeleted, "another shape of this definition was made first")
	}
	return nil
}

// job makes a registered shape live or gives it up.
func (c *Creator) job(ctx context.Context, sp *registry.Shape) error {
	log := c.opts.Logger.With("handle", sp.Handle(), "table", sp.Def().Table.Name)
	began := time.Now()
	rows, err := c.guarded(ctx, sp)
	if err == nil {
		log.Info("shape created", "rows", rows, "took", time.Since(began))
		return nil
	}
	if errors.Is(err, registry.ErrRemoved) {
		reason, _ := sp.Removed()
		return fmt.Errorf("%w: %s", err, reason)
	}
	err = c.opts.Database.Explain(err)
	sp.Fail(err)
	if ctx.Err() == nil {
		log.Warn("a shape's first rows could not be read", "took", time.Since(began), "err", err)
	}
	reason := shape.ReasonSnapshot
	if errors.As(err, new(*SchemaChanged)) {
		reason = shape.ReasonSchema
	}
	c.opts.Stream.Remove(sp, reason, err.Error())
	return err
}

// guarded is make with what is around it: a shape that is removed is not worked
// on any longer, which may be waiting without a limit, and a panic over its rows
// is the end of this shape and not of the service.
func (c *Creator) guarded(ctx context.Context, sp *registry.Shape) (rows int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-sp.Failed():
			cancel(registry.ErrRemoved)
		case <-ctx.Done():
		}
	})
	defer watch.Wait()
	defer cancel(nil)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if _, gone := sp.Removed(); gone && err != nil {
			err = registry.ErrRemoved
		}
	}()
	return c.make(ctx, sp)
}

// slot waits for a place among those who read a snapshot.
func (c *Creator) slot(ctx context.Context, table uint32) (give func(), err error) {
	ofTable, err := c.turns.Take(ctx, table)
	if err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
		return func() {
			<-c.slots
			ofTable()
		}, nil
	case <-ctx.Done():
		ofTable()
		return nil, ctx.Err()
	}
}

func (c *Creator) make(ctx context.Context, sp *registry.Shape) (rows int, err error) {
	def := sp.Def()
	w, end := c.begin(sp)
	defer end()
	if err := c.opts.Stream.Pin(ctx, sp.ID()); err != nil {
		return 0, fmt.Errorf("pin the stream: %w", err)
	}
	w.at("its turn")
	give, err := c.slot(ctx, def.Table.OID)
	if err != nil {
		return 0, err
	}
	defer func() { give() }()
	// A transaction may stay open for hours: the shapes of its table wait for it,
	// and those of other tables must not.
	pause := func(ctx context.Context, d time.Duration) error {
		give()
		give = func() {}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		again, err := c.slot(ctx, def.Table.OID)
		if err == nil {
			give = again
		}
		return err
	}
	w.at("the publication")
	published, err := c.opts.Database.Publish(ctx, def.Table)
	if err != nil {
		return 0, fmt.Errorf("publish the table: %w", err)
	}
	w.at("transactions that write to the table")
	from, err := c.opts.Database.WritersGone(ctx, def.Table, pause)
	if err != nil {
		return 0, fmt.Errorf("wait for writers: %w", err)
	}
	w.at("first rows")
	snap := c.opts.Log.NewSnapshot(sp.ID(), c.opts.ChunkBytes)
	var sees wal.Snapshot
	onSight := func(s wal.Snapshot) error {
		sees = s
		return sp.SetSnapshot(sees, snap)
	}
	onStart := func() error { return c.opts.Stream.Join(ctx, sp, from) }
	var buf []byte
	onRow := func(row wal.Tuple) error {
		rows++
		w.rows.Add(1)
		buf = consume.AppendInsertRow(buf[:0], def, row)
		return snap.Append(buf)
	}
	if err := c.opts.Database.Snapshot(ctx, def, published, onSight, onStart, onRow); err != nil {
		return rows, fmt.Errorf("read the first rows: %w", err)
	}
	if err := snap.Finish(consume.AppendSnapshotEnd(nil, &sees)); err != nil {
		return rows, fmt.Errorf("store the first rows: %w", err)
	}
	return rows, sp.SnapshotComplete()
}
