package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// burial is a shape whose log was given up.
type burial struct {
	shape  *registry.Shape
	reason shape.Reason
	detail string
}

// graveyard is the queue of the undertaker. Whoever gives a shape up must not
// wait for a disk, so it has no limit but the number of shapes.
type graveyard struct {
	mu    sync.Mutex // leaf lock: held for slice and map operations only
	queue []burial
	seen  map[shape.ID]struct{} // queued or under way
	poke  chan struct{}         // one slot
}

func newGraveyard() *graveyard {
	return &graveyard{seen: make(map[shape.ID]struct{}), poke: make(chan struct{}, 1)}
}

func (in *Ingest) bury(sp *registry.Shape, reason shape.Reason, detail string) {
	g := in.grave
	g.mu.Lock()
	_, twice := g.seen[sp.ID()]
	if !twice {
		g.seen[sp.ID()] = struct{}{}
		g.queue = append(g.queue, burial{sp, reason, detail})
	}
	g.mu.Unlock()
	if twice {
		return
	}
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

func (g *graveyard) next() (burial, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return burial{}, false
	}
	b := g.queue[0]
	g.queue = g.queue[1:]
	return b, true
}

func (g *graveyard) forget(id shape.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seen, id)
}

// undertaker removes shapes, in an order in which a crash at any point does no
// harm: tombstone durable (a crash before it: the replay gives the shape up
// again), then its bytes (a crash before that: the next start sweeps them), then
// out of the tracker, so that it never stops holding the journal too early.
func (in *Ingest) undertaker(ctx context.Context) error {
	for {
		b, ok := in.grave.next()
		if !ok {
			select {
			case <-in.grave.poke:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := in.inter(ctx, b); err != nil {
			return err
		}
	}
}

func (in *Ingest) inter(ctx context.Context, b burial) error {
	sp := b.shape
	in.opts.Logger.Info("shape removed", "handle", sp.Handle(), "table", sp.Def().Table.Name,
		"reason", b.reason, "detail", b.detail)
	for wait := tick; ; wait = min(2*wait, 5*time.Second) {
		err := in.opts.Registry.Remove(sp, b.reason)
		if err == nil {
			break
		}
		in.opts.Logger.Error("store a shape's removal; will try again", "handle", sp.Handle(), "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case in.commands <- command{kind: cmdRemoved, id: sp.ID()}:
	case <-ctx.Done():
		return ctx.Err()
	}
	in.grave.forget(sp.ID())
	if f := in.opts.OnRemoved; f != nil {
		f(b.reason)
	}
	return nil
}
