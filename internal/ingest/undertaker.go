package ingest

import (
	"context"
	"errors"
	"fmt"
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
	// ill: its log stays readable until it has been built anew.
	ill bool
}

// graveyard is the queue of the undertaker. Whoever gives a shape up must not
// wait for a disk, so it has no limit but the number of shapes.
type graveyard struct {
	mu    sync.Mutex // leaf lock: held for slice and map operations only
	queue []burial
	seen  map[shape.ID]burial // queued or under way, the last
	poke  chan struct{}       // one slot
}

func newGraveyard() *graveyard {
	return &graveyard{seen: make(map[shape.ID]burial), poke: make(chan struct{}, 1)}
}

func (in *Ingest) bury(sp *registry.Shape, reason shape.Reason, detail string) {
	in.layOut(burial{shape: sp, reason: reason, detail: detail})
}

// quarantine takes a shape out of the stream whose consumer cannot go on. What
// is in its log stays readable, for as long as it takes to build it anew.
func (in *Ingest) quarantine(sp *registry.Shape, reason shape.Reason, detail string) {
	in.layOut(burial{shape: sp, reason: reason, detail: detail, ill: in.opts.Quarantine != nil})
}

func (in *Ingest) layOut(b burial) {
	sp, g := b.shape, in.grave
	// Whoever takes its shard over does not know that it cannot be continued.
	sp.Leave()
	g.mu.Lock()
	was, twice := g.seen[sp.ID()]
	twice = twice && (b.ill || !was.ill) // one who is ill may yet be told to go
	if !twice {
		g.seen[sp.ID()] = b
		g.queue = append(g.queue, b)
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

// undertaker removes shapes, and keeps the notes of their lives, in an order in which a crash at any point does no
// harm: tombstone durable (a crash before it: the replay gives the shape up
// again), then its bytes (a crash before that: the next start sweeps them), then
// out of the tracker, so that it never stops holding the journal too early.
func (in *Ingest) undertaker(ctx context.Context) error {
	defer in.keep()
	for {
		in.keep()
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
	in.opts.Logger.Info("shape leaves the stream", "handle", sp.Handle(), "table", sp.Def().Table.Name,
		"reason", b.reason, "detail", b.detail, "stays_readable", b.ill)
	for wait := tick; ; wait = min(2*wait, 5*time.Second) {
		err := in.putAway(&b)
		if err == nil {
			break
		}
		in.opts.Logger.Error("store that a shape has left the stream; will try again", "handle", sp.Handle(), "err", err)
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
	in.strikes.forget(sp.ID())
	if f := in.opts.OnRemoved; f != nil && !b.ill {
		f(b.reason)
	}
	return nil
}

// putAway makes durable that a shape is out of the stream.
func (in *Ingest) putAway(b *burial) error {
	switch state := b.shape.State(); {
	case !b.ill || state == registry.Live:
	case state == registry.Snapshotting:
		b.ill = false // nobody can read a part of the first rows
	default:
		return nil // it is out of the stream already, for another reason
	}
	if !b.ill {
		return in.opts.Registry.Remove(b.shape, b.reason)
	}
	// What clients have read of it is not in the journal's keeping any more.
	if err := in.opts.Log.Flush(); err != nil {
		return fmt.Errorf("flush the shape log: %w", err)
	}
	err := in.opts.Quarantine(b.shape, b.reason, b.detail)
	if errors.Is(err, registry.ErrRemoved) {
		return nil
	}
	return err
}
