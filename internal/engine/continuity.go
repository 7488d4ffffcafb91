package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/pgrepl"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// slotWaitTold is how often it is looked what keeps a new slot waiting.
const slotWaitTold = 2 * time.Second

// prove makes sure that publication and slot exist and that what the slot will
// send joins on to what the journal holds. If it does not, or if that cannot be
// known, every shape is rotated and the journal begins anew. It returns the
// position to stream from.
func (e *Engine) prove(ctx context.Context, s *pgrepl.Session) (wal.LSN, error) {
	created, err := e.db.EnsurePublication(ctx, e.cfg.Publication())
	if err != nil {
		return 0, fmt.Errorf("make sure of the publication: %w", err)
	}
	slot, err := s.Slot(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at the slot: %w", err)
	}
	if created && slot.Exists {
		// What it holds was decoded for a publication that is gone.
		if err := s.DropSlot(ctx); err != nil {
			return 0, fmt.Errorf("drop the slot of an older publication: %w", err)
		}
		slot.Exists = false
	}
	from := slot.ConfirmedFlush
	why := ""
	if !slot.Exists {
		if from, err = e.createSlot(ctx, s); err != nil {
			return 0, err
		}
		e.log.Info("replication slot created", "slot", e.cfg.Slot(), "from", from)
		why = "the replication slot is new"
	}
	info := s.Info()
	if why == "" {
		why = e.discontinuity(info, slot)
	}
	if why != "" {
		err = e.startOver(ctx, why)
	} else {
		err = e.forgetLost(ctx, info)
	}
	if err != nil {
		return 0, err
	}
	from = max(from, e.position())
	if err := errors.Join(e.noteIdentity(info), e.noteStart(from)); err != nil {
		return 0, &storageError{err}
	}
	return from, nil
}

// createSlot makes the slot. Postgres begins it only where all transactions of the
// whole cluster have ended that ran before, so it may take as long as the longest of
// them: health says then what it waits for.
func (e *Engine) createSlot(ctx context.Context, s *pgrepl.Session) (wal.LSN, error) {
	waiting, stop := context.WithCancel(ctx)
	var teller sync.WaitGroup
	teller.Go(func() { e.tellSlotWait(waiting) })
	from, err := s.CreateSlot(ctx)
	stop()
	teller.Wait()
	if err != nil {
		return 0, fmt.Errorf("create the slot: %w", err)
	}
	return from, nil
}

// tellSlotWait says, from time to time, what Postgres waits for before it makes a slot.
func (e *Engine) tellSlotWait(ctx context.Context) {
	t := time.NewTicker(slotWaitTold)
	defer t.Stop()
	for told := ""; ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		limit, cancel := context.WithTimeout(ctx, auditLimit)
		holder, err := e.db.RestartHolder(limit, e.cfg.Slot())
		cancel()
		if err != nil || holder == "" {
			continue
		}
		reason := "Postgres makes the replication slot when older transactions have ended; it waits for " + holder
		e.setHealth(HealthStarting, reason)
		if told == "" {
			e.log.Warn("the replication slot cannot be made yet", "waits_for", holder)
		}
		told = holder
	}
}

// discontinuity says why the slot's stream cannot be a continuation of the
// journal, "" if it is one.
func (e *Engine) discontinuity(info pgrepl.Info, slot pgrepl.SlotState) string {
	fresh := e.registry.Len() == 0 && e.position() == 0
	differs := func(name, is string) string {
		was, ok := e.registry.Fact(name)
		switch {
		case ok && string(was) != is:
			return fmt.Sprintf("%s was %s and is %s", name, was, is)
		case !ok && !fresh:
			return name + " was never noted"
		}
		return ""
	}
	for _, f := range e.identity(info) {
		if why := differs(f[0], f[1]); why != "" {
			return why
		}
	}
	if end := e.position(); info.XLogPos < end {
		// It sends what it has flushed, and never loses that: this is a copy from
		// before. It would leave out what it writes up to where we are.
		return fmt.Sprintf("the server's log ends at %s, before the journal's end %s", info.XLogPos, end)
	}
	if end := e.position(); slot.ConfirmedFlush > end && !fresh && !e.begins(slot.ConfirmedFlush) {
		return fmt.Sprintf("the slot was advanced to %s, beyond the journal's end %s", slot.ConfirmedFlush, end)
	}
	return ""
}

// forgetLost rotates shapes whose first rows may hold what Postgres lost in a crash.
// A transaction with synchronous_commit = off is visible before it is flushed, and so
// it may have been in a snapshot; its number may then be given again, to one that
// the shape would leave out. What the stream has sent was flushed.
func (e *Engine) forgetLost(ctx context.Context, info pgrepl.Info) error {
	if was, ok := e.registry.Fact(FactStats); ok && string(was) == info.StatsReset {
		return nil
	}
	return e.giveUp(ctx, func(sp *registry.Shape) bool { return sp.Sees().Until > e.position() }, shape.ReasonContinuity,
		"Postgres has crashed and may have lost transactions that its first rows saw")
}

// begins says that the journal has nothing yet, as after a crash of our first moments, and
// that it was to begin at a position.
func (e *Engine) begins(at wal.LSN) bool {
	start, noted := e.registry.Fact(FactStart)
	return e.position() == 0 && noted && string(start) == at.String()
}

// noteStart notes where the journal begins, before there can be shapes that need it.
func (e *Engine) noteStart(at wal.LSN) error {
	if e.position() > 0 || e.begins(at) {
		return nil
	}
	return e.registry.SetFact(FactStart, []byte(at.String()), true)
}

func (e *Engine) identity(info pgrepl.Info) [][2]string {
	return [][2]string{
		{FactSystem, info.SystemID},
		{FactTimeline, strconv.Itoa(int(info.Timeline))},
		{FactSlot, e.cfg.Slot()},
	}
}

func (e *Engine) noteIdentity(info pgrepl.Info) error {
	for _, f := range append(e.identity(info), [2]string{FactStats, info.StatsReset}) {
		if was, ok := e.registry.Fact(f[0]); ok && string(was) == f[1] {
			continue
		}
		if err := e.registry.SetFact(f[0], []byte(f[1]), true); err != nil {
			return err
		}
	}
	return nil
}

// startOver gives all shapes up and begins a new journal. A crash in between
// finds the old facts and comes here again.
func (e *Engine) startOver(ctx context.Context, why string) error {
	st := e.stream.Load()
	if e.registry.Len() == 0 && st.journal.Synced() == 0 {
		return nil
	}
	e.log.Warn("continuity cannot be proven; every shape is rotated", "why", why, "shapes", e.registry.Len())
	var all []*registry.Shape
	for sp := range e.registry.All() {
		all = append(all, sp)
	}
	for _, sp := range all {
		if ctx.Err() != nil {
			return ctx.Err() // many removals take long; the next start comes here again
		}
		if err := e.registry.Remove(sp, shape.ReasonContinuity); err != nil {
			return &storageError{err}
		}
		e.countRemoved(shape.ReasonContinuity)
	}
	st.replaced.Store(true)
	e.session.Store(nil) // its positions are not those of the new journal
	st.cancel()
	<-st.ended
	if st.err != nil {
		return st.err
	}
	if err := st.journal.Close(); err != nil {
		// It goes anyway; on a full or hung disk that may be what helps.
		e.log.Warn("the old journal could not be closed in order", "err", err)
	}
	// The boundary goes first: left behind without its journal, it would be taken
	// for a position of the new one, and what lies below it would be left out.
	if err := e.registry.SetFact(FactBoundary, nil, true); err != nil {
		return &storageError{err}
	}
	if err := e.publishing.reset(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(e.path("journal")); err != nil {
		return &storageError{fmt.Errorf("remove the old journal: %w", err)}
	}
	if err := e.openStream(); err != nil {
		return &storageError{err}
	}
	e.startStream(ctx)
	close(st.next)
	// Whoever was let in while we were active may have made a shape meanwhile. It
	// may have asked the old stream to pin or to remove it: nobody was left to do so.
	now := e.stream.Load().ingest
	for sp := range e.registry.All() {
		now.Remove(sp, shape.ReasonContinuity, why)
	}
	return nil
}
