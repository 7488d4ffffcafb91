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
	return in.bring(ctx, sh, sp, c, 0)
}

// bringBack brings a shape to the stream again that a worker was replaced for.
// from is a position such that all below it is in its log. It has a strike
// already, and the whole way it goes alone: what it stumbles over most likely
// lies at its end, and those who share its shard have waited long enough.
func (in *Ingest) bringBack(ctx context.Context, sh *shard, sp *registry.Shape, from wal.LSN) error {
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
	return in.bring(ctx, sh, sp, c, 1)
}

// bring replays what a shape is behind and hands it to the spine. strikes is how
// often its consumer has failed where it is.
func (in *Ingest) bring(ctx context.Context, sh *shard, sp *registry.Shape, c *consume.Consumer, strikes int) error {
	distance := wal.LSN(joinDistance)
	if strikes > 0 {
		distance = 1
	}
	for {
		at := c.Cursor().Pos
		stall, err := in.approach(ctx, sh, sp, c, distance)
		if err != nil {
			return fmt.Errorf("bring shape %s to the stream: %w", sp.Handle(), err)
		}
		if stall == nil {
			break
		}
		strikes++
		distance = 1
		stall.Strikes = strikes
		in.watchdog.record(*stall)
		in.opts.Logger.Error("a shape makes no progress on its way to the stream", "handle", sp.Handle(),
			"strike", strikes, "cause", stall.Cause, "stack", stall.Stack)
		if strikes >= patience {
			in.bury(sp, shape.ReasonStalled, stall.Cause)
			return registry.ErrRemoved
		}
		if c, err = in.restored(sp, at); err != nil {
			return err
		}
		if c.Cursor().Pos > at {
			strikes = 1 // elsewhere
		}
	}
	return in.tell(ctx, command{kind: cmdJoin, join: &join{shape: sp, consumer: c, from: c.Cursor().Pos}})
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
func (in *Ingest) approach(ctx context.Context, sh *shard, sp *registry.Shape, c *consume.Consumer, distance wal.LSN) (*Stall, error) {
	for {
		from, to := c.Cursor().Pos, in.Routed()
		if to < from+distance {
			return nil, nil
		}
		distance = joinDistance
		w := in.newPrivateWorker(sh)
		m := &member{shape: sp, consumer: c}
		w.members[sp.ID()] = m
		stall, err := in.alone(ctx, w, c, to)
		if stall != nil || err != nil {
			return stall, err
		}
		if m.dead {
			return nil, registry.ErrRemoved
		}
		c.Skip(to)
	}
}

// alone runs a private worker in a goroutine of its own and does the watchdog's
// work for it.
func (in *Ingest) alone(ctx context.Context, w *worker, c *consume.Consumer, to wal.LSN) (*Stall, error) {
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
	t := time.NewTicker(in.watchdog.every)
	defer t.Stop()
	var beat uint64
	var still time.Duration
	last := time.Now()
	for {
		select {
		case err := <-done:
			if p, ok := errors.AsType[*panicked](err); ok {
				return in.stallOf(w, from, "panic: "+p.value, p.stack), nil
			}
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
		}
		now := time.Now()
		observed := min(now.Sub(last), 2*in.watchdog.every)
		last = now
		if b := w.pulse.beat.Load(); b != beat || w.pulse.current.Load() == 0 {
			beat, still = b, 0
			continue
		}
		if still += observed; still < in.opts.Grace+in.watchdog.every {
			continue
		}
		stall := in.stallOf(w, from, "no progress in its consumer", stackOf(w.pulse.goroutine.Load()))
		stall.For = still
		in.ghosts.add(w.pulse, Ghost{Shard: w.sh.n, Epoch: w.epoch, Shape: stall.Shape, Since: now})
		w.discharged.Store(true)
		// It can write no more once the fence was free.
		w.fence()()
		select {
		case err := <-done: // it came back at the last moment
			in.ghosts.remove(w.pulse)
			if !errors.Is(err, errGhost) {
				return nil, err
			}
		default:
		}
		return stall, nil
	}
}

func (in *Ingest) stallOf(w *worker, at wal.LSN, cause, stack string) *Stall {
	return &Stall{
		Shard: w.sh.n, Shape: shape.ID(w.pulse.current.Load()), At: at, Cause: cause, Stack: stack, When: time.Now(),
	}
}
