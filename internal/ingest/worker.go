package ingest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// errGhost says that a worker was replaced: what it has in hand does not count.
var errGhost = errors.New("this worker was replaced")

// batchBytes bounds what a worker puts into one batch of the shape log, in
// bytes. Entries of a transaction that goes on may be committed before its end:
// they lie beyond the published tail, where nobody reads.
const batchBytes = 4 << 20

// member is a shape as its worker sees it.
type member struct {
	shape    *registry.Shape
	consumer consume.Consumer
	dead     bool // its log was given up; it waits for its removal
	open     bool // touched by the open transaction
	changed  bool // its cursor moved since the last commit
	wrote    bool // it has entries that are not known to be durable
	owes     bool // the cursor it has come to must be stored by itself
	arrives  bool // its join ends with the next commit
}

// worker runs the consumers of one shard. One goroutine owns it.
type worker struct {
	in    *Ingest
	sh    *shard
	pulse *pulse
	epoch uint64
	// private: it brings one new shape to the stream and speaks for no shard.
	private    bool
	discharged atomic.Bool   // a private one that was replaced
	writing    chan struct{} // see shard; a private worker has its own
	box        chan message
	nudge      chan struct{} // one slot: behind was set

	// What a worker that takes over has to read first.
	takes *shape.ByID[registry.Shape]
	apart []*registry.Shape // not in takes, and must not share the progress

	members *shape.ByID[member]
	// catching is the index of the members while the worker catches up: of half a
	// million it takes seconds to make.
	catching *route.Index
	encoders *consume.Encoders
	open     []*member
	changed  []*member
	pos      wal.LSN
	batch    *shapelog.Batch
	out      consume.Out
	size     int // bytes in batch

	next    [ahead]*member // see lookAhead
	touched int            // of them; that it is kept keeps the reads from being left out
}

// run works until ctx is done, the worker is replaced or its storage fails.
func (w *worker) run(ctx context.Context) error {
	if err := w.assume(ctx); err != nil {
		return err
	}
	for {
		if w.sh.behind.Load() && len(w.box) == 0 {
			if err := w.catchUp(ctx); err != nil {
				return err
			}
		}
		select {
		case m := <-w.box:
			if err := w.take(ctx, m); err != nil {
				return err
			}
			w.pulse.queued.Add(-m.size)
			w.pulse.taken.Add(1)
		case <-w.nudge:
		case <-w.pulse.replaced:
			return errGhost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *worker) take(ctx context.Context, m message) error {
	switch {
	case m.join != nil:
		return w.join(ctx, m.join, m.at)
	case m.rejoin != nil:
		return w.rejoin(ctx, m.rejoin, m.at)
	case m.remove != 0:
		if gone := w.members.Get(m.remove); gone != nil {
			setApart(gone.shape) // it may be read on, without the shard
			gone.consumer.Share(nil)
			w.members.Delete(m.remove)
		}
		return nil
	case m.resume:
		w.abort()
		err := w.follow(ctx, m.at)
		w.catching = nil
		return err
	}
	for from := 0; from < len(m.steps); from += ahead {
		steps := m.steps[from:min(from+ahead, len(m.steps))]
		for i, of := range w.lookAhead(steps) {
			if err := w.step(&steps[i], of); err != nil {
				return err
			}
		}
	}
	w.sh.done(m.steps)
	return w.commit(m.to)
}

// step takes a step; m is the member that a change is for, nil if it has gone.
func (w *worker) step(s *step, m *member) error {
	switch s.kind {
	case stepChange:
		return w.change(m, s.tx, s.ch)
	case stepCommit:
		return w.endTxn(s.tx)
	case stepRelation:
		for _, id := range s.told.ids {
			if err := w.relation(id, s.tx, s.told.rel); err != nil {
				return err
			}
		}
		return nil
	}
	w.abort()
	return nil
}

// join takes a new shape in and brings it to where the shard is.
func (w *worker) join(ctx context.Context, j *join, at wal.LSN) error {
	id := j.shape.ID()
	m := &member{shape: j.shape, consumer: *j.consumer}
	m.consumer.Share(w.encoders)
	w.members.Put(id, m)
	if w.catching != nil {
		w.catching.Add(id, j.shape.Def())
	}
	index := w.in.newIndex()
	index.Add(id, j.shape.Def())
	if err := w.owed(ctx, index, func() wal.LSN { return m.consumer.Cursor().Pos }, at); err != nil {
		return err
	}
	// Also when nothing was replayed: the cursor must be stored once, so that
	// a worker that takes over finds where this shape stands.
	m.arrives = true
	w.mark(m, true)
	if err := w.commit(at); err != nil {
		return err
	}
	return w.in.tell(ctx, command{kind: cmdJoined, shard: w.sh, pulse: w.pulse, id: id})
}

// rejoin repeats a join that a replaced worker did not finish, or did not live
// to tell of.
func (w *worker) rejoin(ctx context.Context, j *join, at wal.LSN) error {
	c, err := w.in.restored(j.shape, j.from)
	if err != nil {
		return err
	}
	return w.join(ctx, &join{shape: j.shape, consumer: c, from: j.from}, at)
}

// catchUp reads the journal until the distance to the spine is small, then asks
// to be taken in again.
func (w *worker) catchUp(ctx context.Context) error {
	w.abort()
	for {
		to := wal.LSN(w.in.routed.Load())
		if to <= w.pos {
			break
		}
		from := w.pos
		if err := w.follow(ctx, to); err != nil {
			return err
		}
		if to-from < replayBytes {
			break
		}
	}
	if err := w.in.tell(ctx, command{kind: cmdResume, shard: w.sh, pulse: w.pulse}); err != nil {
		return err
	}
	select {
	case m := <-w.box:
		defer w.pulse.taken.Add(1)
		w.pulse.queued.Add(-m.size)
		return w.take(ctx, m)
	case <-w.pulse.replaced:
		return errGhost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow replays what the shard has not seen up to a position.
func (w *worker) follow(ctx context.Context, to wal.LSN) error {
	if err := w.owed(ctx, w.index(), func() wal.LSN { return w.pos }, to); err != nil {
		return err
	}
	return w.settleDoubt()
}

// owed replays from where pos tells to another position. Nothing that anybody
// owes lies below the boundary, so it begins there, and goes on there when the
// journal is trimmed under its feet.
func (w *worker) owed(ctx context.Context, index *route.Index, pos func() wal.LSN, to wal.LSN) error {
	for {
		from := max(pos(), w.in.Boundary())
		err := w.replay(ctx, index, from, to)
		if !errors.Is(err, journal.ErrTrimmed) || w.in.Boundary() <= from {
			return err
		}
		w.abort()
	}
}

func (w *worker) index() *route.Index {
	if x := w.catching; x != nil {
		x.SetKin(w.in.kin.Load().kin)
		return x
	}
	x := w.in.newIndex()
	for m := range w.members.All() {
		if !m.dead {
			x.Add(m.shape.ID(), m.shape.Def())
		}
	}
	w.catching = x
	return x
}

func (w *worker) change(m *member, tx *wal.Txn, ch *wal.Change) error {
	if m == nil || m.dead {
		return nil
	}
	if out(m.shape) {
		// Its removal comes later; what is left for it would only keep the others
		// waiting.
		m.dead = true
		m.consumer.Share(nil)
		setApart(m.shape)
		return nil
	}
	id := m.shape.ID()
	w.pulse.place.Store(uint64(tx.Commit))
	w.pulse.current.Store(uint64(id))
	if f := w.in.opts.BeforeApply; f != nil {
		f(id, ch)
	}
	if !m.open {
		m.open = true
		w.open = append(w.open, m)
	}
	err := m.consumer.Change(tx, ch, &w.out)
	w.pulse.current.Store(0)
	w.pulse.beat.Add(1)
	return w.settle(m, err)
}

// out says that a shape is not part of the stream any more.
func out(sp *registry.Shape) bool {
	if sp.Leaving() {
		return true
	}
	if _, gone := sp.Removed(); gone {
		return true
	}
	_, ill := sp.Illness()
	return ill
}

func (w *worker) relation(id shape.ID, tx *wal.Txn, rel *wal.Relation) error {
	m := w.members.Get(id)
	if m == nil || m.dead {
		return nil
	}
	return w.settle(m, m.consumer.Relation(tx, rel))
}

// settle takes what a step of a consumer gave: entries, or that its log cannot
// be continued.
func (w *worker) settle(m *member, err error) error {
	if derr := w.drain(m); derr != nil {
		return derr
	}
	if err == nil {
		return nil
	}
	rotate, ok := errors.AsType[*consume.Rotate](err)
	if !ok {
		return err
	}
	m.dead = true
	m.consumer.Share(nil)
	setApart(m.shape)
	w.in.bury(m.shape, rotate.Reason, rotate.Detail)
	return nil
}

func (w *worker) drain(m *member) error {
	id := m.shape.ID()
	for _, e := range w.out.Entries {
		if err := w.batch.Append(id, shapelog.Entry(e)); err != nil {
			return err
		}
		w.size += len(e.JSON)
		m.wrote = true
	}
	w.out.Reset()
	if w.size < batchBytes {
		return nil
	}
	defer w.fence()()
	return w.write()
}

// endTxn ends a transaction for all who took part in it.
func (w *worker) endTxn(tx *wal.Txn) error {
	for _, m := range w.open {
		m.open = false
		if m.dead {
			continue
		}
		m.consumer.Commit(tx, &w.out)
		// Its last entry is a cursor too. With many shapes each has one change in a batch,
		// and a cursor of its own would double what is stored.
		n := len(w.out.Entries)
		w.mark(m, n == 0 || w.out.Entries[n-1].Pos == 0)
		if err := w.drain(m); err != nil {
			return err
		}
	}
	clear(w.open)
	w.open = w.open[:0]
	return nil
}

// mark notes that a member's cursor moved, and whether that has to be stored.
func (w *worker) mark(m *member, owes bool) {
	m.owes = owes
	if !m.changed {
		m.changed = true
		w.changed = append(w.changed, m)
	}
}

// abort forgets the open transaction; it will come again.
func (w *worker) abort() {
	for _, m := range w.open {
		m.open = false
		m.consumer.Abort()
	}
	clear(w.open)
	w.open = w.open[:0]
}

// fence takes the right to write until the function that it returns is called.
func (w *worker) fence() (end func()) {
	w.writing <- struct{}{}
	return func() { <-w.writing }
}

// replaced reports whether this is a ghost. Behind fence the answer holds.
func (w *worker) replaced() bool {
	if w.private {
		return w.discharged.Load()
	}
	return w.sh.epoch.Load() != w.epoch
}

// write puts the entries so far into the shape log without moving a cursor. The
// caller holds the fence.
func (w *worker) write() error {
	if w.replaced() {
		return errGhost
	}
	if err := w.batch.Commit(); err != nil {
		return fmt.Errorf("write the shape log: %w", err)
	}
	w.pulse.wrote.Store(int64(w.in.now()))
	w.batch = w.in.opts.Log.NewBatch()
	w.size = 0
	return nil
}

// commit puts entries and cursors into the shape log, then publishes them. A
// member in the middle of a transaction keeps its cursor from before it.
func (w *worker) commit(to wal.LSN) error {
	w.pulse.beat.Add(1)
	defer w.fence()()
	if w.replaced() {
		return errGhost
	}
	for _, m := range w.changed {
		if !m.owes {
			continue
		}
		// Also of one that died in a later transaction: until it is removed its
		// readers find what they had found before a crash.
		if err := w.batch.SetCursor(m.shape.ID(), shape.Epoch(w.epoch), m.consumer.Cursor()); err != nil {
			return err
		}
	}
	if len(w.changed) > 0 || w.size > 0 {
		if err := w.write(); err != nil {
			return err
		}
	}
	if len(w.open) == 0 {
		w.encoders.Recycle() // the batch has copies of all messages
	}
	for _, m := range w.changed {
		m.changed = false
		w.publish(m)
	}
	clear(w.changed)
	w.changed = w.changed[:0]
	if to > w.pos && !w.private {
		w.pos = to
		w.sh.progress.Advance(to)
		w.sh.applied.Store(uint64(to))
		w.in.applied(w.sh)
	}
	return nil
}

// publish shows a member's readers what was committed, and the flusher what is
// to be made durable.
func (w *worker) publish(m *member) {
	cur := m.consumer.Cursor()
	m.shape.Publish(cur.Tail, cur.Tail.Tx)
	pos := cur.Pos
	if m.arrives {
		// Its journal was read up to where the shard is.
		pos, m.wrote = max(pos, w.pos), true
		if !m.dead {
			m.shape.SetProgress(w.sh.progress)
		}
	}
	w.in.durable.note(m.shape.ID(), pos, m.wrote)
	m.wrote, m.arrives, m.owes = false, false, false
}

// panicked is a panic of a consumer, as an error.
type panicked struct{ value, stack string }

func (p *panicked) Error() string { return "panic: " + p.value + "\n" + p.stack }

func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicked{value: fmt.Sprint(r), stack: string(debug.Stack())}
		}
	}()
	return f()
}
