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
	for strike := 1; ; strike++ {
		stall, err := in.approach(ctx, sh, sp, c)
		if err != nil {
			return fmt.Errorf("bring shape %s to the stream: %w", sp.Handle(), err)
		}
		if stall == nil {
			break
		}
		stall.Strikes = strike
		in.watchdog.record(*stall)
		in.opts.Logger.Error("a new shape makes no progress on its way to the stream", "handle", sp.Handle(),
			"strike", strike, "cause", stall.Cause, "stack", stall.Stack)
		if strike == patience {
			in.bury(sp, shape.ReasonStalled, stall.Cause)
			return registry.ErrRemoved
		}
		if c, err = in.restored(sp, from); err != nil {
			return err
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

// approach replays until the spine is near, so that the shard is not held up by
// the longer part.
func (in *Ingest) approach(ctx context.Context, sh *shard, sp *registry.Shape, c *consume.Consumer) (*Stall, error) {
	for {
		from, to := c.Cursor().Pos, in.Routed()
		if to < from+joinDistance {
			return nil, nil
		}
		w := in.newPrivateWorker(sh)
		m := &member{shape: sp, consumer: c}
		w.members[sp.ID()] = m
		stall, err := in.alone(ctx, w, from, to)
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
func (in *Ingest) alone(ctx context.Context, w *worker, from, to wal.LSN) (*Stall, error) {
	done := make(chan error, 1)
	in.running.Add(1)
	in.workers.Go(func() {
		defer in.running.Add(-1)
		w.pulse.goroutine.Store(goroutineID())
		done <- guarded(func() error { return w.replay(ctx, w.index(), from, to) })
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
