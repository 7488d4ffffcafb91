package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// newWorker makes a worker for the shard's present epoch, with a mailbox.
func (in *Ingest) newWorker(sh *shard) *worker {
	w := in.newPrivateWorker(sh)
	w.private, w.writing = false, sh.writing
	w.box = make(chan message, mailboxLength)
	w.nudge = make(chan struct{}, 1)
	sh.box, sh.nudge = w.box, w.nudge
	sh.pulse.Store(w.pulse)
	return w
}

func (in *Ingest) newPrivateWorker(sh *shard) *worker {
	epoch := sh.epoch.Load()
	return &worker{
		in:       in,
		sh:       sh,
		pulse:    &pulse{epoch: epoch, replaced: make(chan struct{})},
		epoch:    epoch,
		private:  true,
		writing:  make(chan struct{}, 1),
		members:  shape.NewByID[member](len(in.shards)),
		encoders: new(consume.Encoders),
		batch:    in.opts.Log.NewBatch(),
	}
}

// load reads the shapes' cursors and publishes their tails.
func (w *worker) load(shapes *shape.ByID[registry.Shape]) error {
	ids := make([]shape.ID, 0, shapes.Len())
	for sp := range shapes.All() {
		ids = append(ids, sp.ID())
	}
	stored := make(map[shape.ID]shape.Cursor, len(ids))
	err := w.in.opts.Log.CursorsOf(ids, func(id shape.ID, _ shape.Epoch, c shape.Cursor) error {
		stored[id] = c
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the cursors of %d shapes: %w", len(ids), err)
	}
	for sp := range shapes.All() {
		cur, ok := stored[sp.ID()]
		if !ok {
			cur = shape.Cursor{Pos: sp.Start(), Tail: wal.AfterSnapshot}
		}
		sp.Publish(cur.Tail, cur.Tail.Tx)
		m := &member{shape: sp, consumer: *w.in.newConsumer(sp, cur)}
		m.consumer.Share(w.encoders)
		w.members.Put(sp.ID(), m)
	}
	return nil
}

// start runs a worker until it ends and tells the spine if it failed.
func (in *Ingest) start(ctx context.Context, w *worker) {
	in.running.Add(1)
	in.workers.Go(func() {
		defer in.running.Add(-1)
		w.pulse.goroutine.Store(goroutineID())
		err := guarded(func() error { return w.run(ctx) })
		if w.replaced() {
			in.ghosts.remove(w.pulse)
			in.opts.Logger.Warn("a replaced worker returned", "shard", w.sh.n, "epoch", w.epoch, "err", err)
			return
		}
		var p *panicked
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.As(err, &p):
			stall := in.stallOf(w.sh.n, w.pulse, wal.LSN(w.sh.applied.Load()), "panic: "+p.value)
			stall.Stack = p.stack
			c := command{kind: cmdReplace, shard: w.sh, pulse: w.pulse, returned: true, stall: stall}
			select {
			case in.commands <- c:
			case <-ctx.Done():
			}
		default:
			in.fail(fmt.Errorf("shard %d: %w", w.sh.n, err))
			in.stop()
		}
	})
}

// replace fences a shard's worker and starts a fresh one, which reads the
// journal from where the old one had come to. A goroutine cannot be killed: if
// the old one still runs it is a ghost from now on.
func (s *spine) replace(c command) {
	sh := c.shard
	if sh.pulse.Load() != c.pulse {
		// Replaced already; if it has ended meanwhile it is no ghost any more.
		if c.returned {
			s.in.ghosts.remove(c.pulse)
		}
		return
	}
	at := c.stall.At
	sp := sh.shapes.Get(c.stall.Shape)
	switch {
	case c.aside && sp == nil:
		return // it has gone; the watchdog looks again
	case c.aside && s.in.away.Load() >= fewShapes:
		return // the watchdog saw several shards at once
	case c.aside:
		s.in.watchdog.restarts.Add(1)
		s.in.notes.add(sp.ID(), "set aside", c.stall.describe(), c.stall.Stack)
	case sp != nil:
		s.in.struck(c.stall)
	case !s.bearWith(sh, c.stall):
		return
	}
	s.in.watchdog.record(*c.stall)
	if !c.returned && !s.in.addGhost(c.pulse, c.stall) {
		return
	}
	if c.aside {
		s.in.opts.Logger.Warn("a shape keeps the others of its shard waiting; they go on without it", c.stall.log())
	} else {
		s.in.opts.Logger.Error("a worker makes no progress; it is replaced", c.stall.log(), "position", at, "stack", c.stall.Stack)
	}
	sh.epoch.Add(1)
	close(c.pulse.replaced)
	if sp != nil {
		s.sendAway(sh, sp, at, c.stall)
	}
	s.takeOver(sh)
}

// bearWith counts a failure that no consumer can be blamed for. Too many at one
// position are the end: another start may know better.
func (s *spine) bearWith(sh *shard, stall *Stall) bool {
	if sh.failed.at != stall.At {
		sh.failed = failure{at: stall.At}
	}
	sh.failed.count++
	stall.Strikes = sh.failed.count
	if sh.failed.count < patience {
		return true
	}
	s.in.fail(fmt.Errorf("shard %d failed %d times at %s: %s\n%s", sh.n, patience, stall.At, stall.Cause, stall.Stack))
	s.in.stop()
	return false
}

// sendAway lets a shape that a worker is replaced for go its own way: those who
// share its shard go on without it, it has its further strikes alone, and joins
// again if it gets over what it stumbled over. It stays in the index and in the
// tracker, so that the journal is kept for it.
func (s *spine) sendAway(sh *shard, sp *registry.Shape, at wal.LSN, last *Stall) {
	id := sp.ID()
	if j := sh.joining[id]; j != nil {
		at = j.from
		delete(sh.joining, id)
	}
	sh.away[id] = struct{}{}
	s.in.away.Add(1)
	s.in.running.Add(1)
	s.in.workers.Go(func() {
		defer s.in.running.Add(-1)
		defer s.in.away.Add(-1)
		err := s.in.bringBack(s.ctx, sh, sp, at, last)
		if err == nil || s.ctx.Err() != nil || errors.Is(err, registry.ErrRemoved) {
			return
		}
		s.in.fail(fmt.Errorf("shard %d: %w", sh.n, err))
		s.in.stop()
	})
}

// takeOver gives a shard a fresh worker. Where the shapes stand is in the shape
// log, which the spine must not wait for: so the worker reads it, and until then
// the shard counts as lagging.
func (s *spine) takeOver(sh *shard) {
	w := s.in.newWorker(sh)
	w.takes = sh.shapes.Clone() // at once: there may be a million
	sh.lagging, sh.wants, sh.out, sh.touched = true, false, nil, false
	sh.behind.Store(true)
	sh.doubt.Store(uint64(sh.doubted)) // the old one may have taken the word and not acted on it
	sh.held = nil
	setAside := func(id shape.ID) {
		if sp := w.takes.Get(id); sp != nil {
			w.apart = append(w.apart, sp)
			w.takes.Delete(id)
		}
	}
	for id := range sh.away {
		setAside(id)
	}
	for id, j := range sh.joining {
		// Its join lay in the old mailbox. Where it has come to is not the
		// shard's position, so it joins again, from its own.
		sh.held = append(sh.held, message{rejoin: j})
		// It may even have joined before its worker went; the shard will be
		// ahead of it until it has joined again.
		setAside(id)
	}
	for _, sp := range s.in.opts.Registry.Ill() {
		// The word that it leaves may have been in the old mailbox, and it is read
		// on without the shard.
		if s.shardOf(sp.ID()) == sh {
			w.apart = append(w.apart, sp)
		}
	}
	s.in.start(s.ctx, w)
}

// assume reads where the shard stands, once its last worker can write no more.
func (w *worker) assume(ctx context.Context) error {
	if w.takes == nil {
		return nil
	}
	select {
	case w.sh.writing <- struct{}{}:
		<-w.sh.writing
	case <-ctx.Done():
		return ctx.Err()
	}
	w.pos = wal.LSN(w.sh.applied.Load())
	// One that was given up below that has not seen what the shard has seen since.
	for sp := range w.takes.All() {
		if out(sp) {
			w.apart = append(w.apart, sp)
			w.takes.Delete(sp.ID())
		}
	}
	for _, sp := range w.apart {
		setApart(sp)
	}
	takes := w.takes
	w.takes, w.apart = nil, nil
	if err := w.load(takes); err != nil {
		return err
	}
	for m := range w.members.All() {
		// What the last worker wrote may not be durable.
		m.wrote = true
	}
	return nil
}

// setApart ends a shape's share in its shard's progress, where it is now: the
// shard goes on without it, and its clients must not be told that they have seen
// what only the others have. That holds for a shape that was given up too, for
// as long as its removal takes.
func setApart(sp *registry.Shape) {
	sp.Publish(sp.Tail(), sp.Seen())
	sp.SetProgress(nil)
}
