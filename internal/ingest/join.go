package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// joinDistance is the distance to the spine, in bytes of WAL, at which a new
// shape is handed to its shard, which is held up by reading the rest.
const joinDistance = 4 << 20

// Join brings a new shape into the stream: from is a position such that every
// transaction below it is visible in the snapshot sp.Sees(). When Join returns
// most of what lies between from and the spine has been replayed; the spine
// takes the shape in at the end of the open transaction.
//
// A consumer that fails or makes no progress on the way is tried again like one
// in a shard, and given up at last: its shape is pinned and would hold the
// journal for ever.
func (in *Ingest) Join(ctx context.Context, sp *registry.Shape, from wal.LSN) error {
	sh := in.shards[uint64(sp.ID())%uint64(len(in.shards))]
	c := in.newConsumer(sp, shape.Cursor{Pos: from, Tail: wal.AfterSnapshot})
	return in.bring(ctx, sh, sp, c, nil)
}

// bringBack brings a shape to the stream again that a worker was replaced for.
// from is a position such that all below it is in its log. It has a strike
// already, last, and the whole way it goes alone: what it stumbles over most likely
// lies at its end, and those who share its shard have waited long enough.
func (in *Ingest) bringBack(ctx context.Context, sh *shard, sp *registry.Shape, from wal.LSN, last *Stall) error {
	// The replaced worker writes no more once the fence was free.
	select {
	case sh.writing <- struct{}{}:
		<-sh.writing
	case <-ctx.Done():
		return ctx.Err()
	}
	c, err := in.restored(sp, from)
	if err != nil {
		return err
	}
	return in.bring(ctx, sh, sp, c, last)
}

// bring replays what a shape is behind and hands it to the spine. last is how its
// consumer failed before, if it did.
func (in *Ingest) bring(ctx context.Context, sh *shard, sp *registry.Shape, c *consume.Consumer, last *Stall) (err error) {
	distance := wal.LSN(joinDistance)
	at := c.Cursor().Pos
	for {
		if last != nil {
			distance = 1
			if err := in.sentence(ctx, sp, at, last); err != nil {
				return err
			}
			// The one that failed may have come further than its log has.
			if c, err = in.restored(sp, at); err != nil {
				return err
			}
			at = c.Cursor().Pos
		}
		var still time.Duration
		if last != nil && last.Strikes == 0 {
			still = last.For
		}
		last, err = in.approach(ctx, sh, sp, c, distance, still)
		if err != nil {
			return fmt.Errorf("bring shape %s to the stream: %w", sp.Handle(), err)
		}
		if last == nil {
			break
		}
		// It is not to blame for what hits everybody.
		if in.guard.alarm.Load() == nil {
			in.struck(last)
		}
		in.watchdog.record(*last)
		in.opts.Logger.Error("a shape makes no progress on its way to the stream; it is restarted", "handle", sp.Handle(), last.log(), "stack", last.Stack)
	}
	return in.tell(ctx, command{kind: cmdJoin, join: &join{shape: sp, consumer: c, from: c.Cursor().Pos}})
}

// sentence decides whether a shape that failed may try again: at once, or after
// an alarm; or not any more, which is ErrRemoved.
func (in *Ingest) sentence(ctx context.Context, sp *registry.Shape, at wal.LSN, last *Stall) error {
	for in.guard.alarm.Load() != nil {
		select {
		case <-time.After(in.watchdog.every):
		case <-ctx.Done():
			return ctx.Err()
		}
		if out(sp) {
			return registry.ErrRemoved
		}
	}
	if last.Strikes < patience {
		return nil
	}
	if !in.guard.ask(sp.ID(), at, ctx.Done()) {
		return ctx.Err()
	}
	in.quarantine(sp, shape.ReasonStalled, last.describe())
	return registry.ErrRemoved
}

// restored makes a shape's consumer anew, from where its log has come to, which
// is from at least.
func (in *Ingest) restored(sp *registry.Shape, from wal.LSN) (*consume.Consumer, error) {
	cur, _, ok, err := in.opts.Log.Cursor(sp.ID())
	if err != nil {
		return nil, fmt.Errorf("read the cursor of shape %s: %w", sp.Handle(), err)
	}
	if !ok {
		cur.Tail = wal.AfterSnapshot
	}
	cur.Pos = max(cur.Pos, from)
	return in.newConsumer(sp, cur), nil
}

// approach replays until the spine is no further than a distance, in bytes of
// WAL, so that the shard is not held up by the longer part. After one replay the
// rest may be what came meanwhile.
func (in *Ingest) approach(ctx context.Context, sh *shard, sp *registry.Shape, c *consume.Consumer, distance wal.LSN, still time.Duration) (*Stall, error) {
	for {
		from, to := c.Cursor().Pos, in.Routed()
		if to < from+distance {
			return nil, nil
		}
		distance = joinDistance
		w := in.newPrivateWorker(sh)
		m := &member{shape: sp, consumer: *c}
		w.members.Put(sp.ID(), m)
		stall, err := in.alone(ctx, w, &m.consumer, to, still)
		still = 0
		if stall != nil || err != nil {
			return stall, err
		}
		if m.dead {
			return nil, registry.ErrRemoved
		}
		m.consumer.Skip(to)
		*c = m.consumer
	}
}

// alone runs a private worker in a goroutine of its own and does the watchdog's
// work for it.
func (in *Ingest) alone(ctx context.Context, w *worker, c *consume.Consumer, to wal.LSN, still time.Duration) (*Stall, error) {
	from := c.Cursor().Pos // c is the goroutine's from here on
	done := make(chan error, 1)
	in.running.Add(1)
	in.workers.Go(func() {
		defer in.running.Add(-1)
		w.pulse.goroutine.Store(goroutineID())
		done <- guarded(func() error {
			return w.owed(ctx, w.index(), func() wal.LSN { return c.Cursor().Pos }, to)
		})
		in.ghosts.remove(w.pulse)
	})
	return in.oversee(ctx, w, from, done, still)
}

// oversee waits for a private worker as the watchdog does for those of shards. Its
// consumer has made no progress for some time already, before it had a worker of
// its own: that counts unless it gets on now.
func (in *Ingest) oversee(ctx context.Context, w *worker, from wal.LSN, done <-chan error, still time.Duration) (*Stall, error) {
	t := time.NewTicker(in.watchdog.every)
	defer t.Stop()
	var beat uint64
	var suspect shape.ID
	clear := func() {
		if suspect != 0 {
			in.guard.suspect(suspect, false)
			suspect = 0
		}
	}
	defer func() { clear() }()
	last := time.Now()
	for {
		select {
		case err := <-done:
			return in.ending(w, from, err)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
		}
		now := time.Now()
		observed := in.watchdog.observed(now.Sub(last))
		last = now
		id := shape.ID(w.pulse.current.Load())
		if b := w.pulse.beat.Load(); b != beat || id == 0 {
			beat, still = b, 0
			clear()
			continue
		}
		if still += observed; still < in.opts.Grace {
			continue
		}
		stall := in.stallOf(w.sh.n, w.pulse, from, "no progress in its consumer")
		stall.For = still
		if suspect == 0 {
			suspect = id
			in.watchdog.suspect(stall)
			continue
		}
		// The watchdog may be about to raise the alarm.
		if in.guard.alarm.Load() != nil || in.guard.systemic(in.now(), in.watchdog.window()) != "" {
			continue
		}
		stall.Stack = stackOf(stall.goroutine)
		return in.discharge(w, stall, done)
	}
}

// ending is what became of a private worker that has returned.
func (in *Ingest) ending(w *worker, from wal.LSN, err error) (*Stall, error) {
	if p, ok := errors.AsType[*panicked](err); ok {
		stall := in.stallOf(w.sh.n, w.pulse, from, "panic: "+p.value)
		stall.Stack = p.stack
		return stall, nil
	}
	return nil, err
}

// discharge makes a ghost of a private worker.
func (in *Ingest) discharge(w *worker, stall *Stall, done <-chan error) (*Stall, error) {
	in.addGhost(w.pulse, stall)
	w.discharged.Store(true)
	// It can write no more once the fence was free.
	w.fence()()
	select {
	case err := <-done: // it came back at the last moment
		in.ghosts.remove(w.pulse)
		if !errors.Is(err, errGhost) {
			return in.ending(w, stall.At, err)
		}
	default:
	}
	return stall, nil
}
