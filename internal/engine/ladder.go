package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// The upper part of the ladder: a shape that was taken out of the stream is built
// anew in the background, and parked when that helps as little. All that counts
// is in the catalogue, so that a restart goes on where it was.
const (
	// rebuildTries is how many times in a row a definition is built anew before it
	// is parked.
	rebuildTries = 2
	// rebuildsAtOnce bounds what rebuilding takes from new shapes.
	rebuildsAtOnce = 4
	// rebuildPause is what each failure puts off the next try.
	rebuildPause = 5 * time.Second
	// forgiveAfter is how long a shape has to do well for its failures to be
	// forgotten.
	forgiveAfter = time.Hour
	// parkMost is the longest that a parked shape is left alone, in times of
	// Config.ParkTime.
	parkMost = 64
)

// ward has the shapes that are built anew. Its loop is the one owner of its
// fields but the counters.
type ward struct {
	e       *Engine
	busy    map[shape.ID]bool
	healing map[shape.ID]time.Time // successors with failures behind them, since when they do well
	done    chan *registry.Shape   // ill ones that were built anew, or in vain
	jobs    sync.WaitGroup

	mu       sync.Mutex // leaf lock
	counters ladderCounters
}

// ladderCounters count since the start.
type ladderCounters struct{ quarantines, rebuilds, parkings int64 }

func newWard(e *Engine) *ward {
	return &ward{e: e, busy: make(map[shape.ID]bool), healing: make(map[shape.ID]time.Time), done: make(chan *registry.Shape)}
}

func (w *ward) count(f func(*ladderCounters)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.counters)
}

func (w *ward) counted() ladderCounters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counters
}

// quarantine makes durable that a shape is out of the stream. One that has been
// built anew too often is parked: its clients are told when to come again.
func (e *Engine) quarantine(sp *registry.Shape, reason shape.Reason, detail string) error {
	return e.ward.admit(sp, sp.Failures(), reason, detail)
}

func (w *ward) admit(sp *registry.Shape, failures int, reason shape.Reason, detail string) error {
	what, parked, wait := "quarantined", false, time.Duration(failures)*rebuildPause
	if failures >= rebuildTries {
		what, parked = "parked", true
		wait = w.e.cfg.ParkTime * time.Duration(min(1<<min(failures-rebuildTries, 10), parkMost))
	}
	until := time.Now().Add(wait)
	if err := w.e.registry.Quarantine(sp, reason, detail, parked, until); err != nil {
		return fmt.Errorf("quarantine shape %s: %w", sp.Handle(), err)
	}
	w.count(func(c *ladderCounters) {
		if parked {
			c.parkings++
		} else {
			c.quarantines++
		}
	})
	w.e.log.Error("a shape is "+what+": its log is not continued", "handle", sp.Handle(), "reason", reason, "detail", detail,
		"failures", failures, "until", until)
	return w.e.registry.Note(sp.ID(), registry.Event{At: time.Now(), What: what, Detail: string(reason) + ": " + detail})
}

// run builds ill shapes anew until ctx is done.
func (w *ward) run(ctx context.Context) {
	defer w.jobs.Wait()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for sp := range w.e.registry.All() {
		if sp.Failures() > 0 {
			w.healing[sp.ID()] = time.Now()
		}
	}
	for {
		select {
		case <-t.C:
			w.begin(ctx)
			w.forgive()
		case old := <-w.done:
			delete(w.busy, old.ID())
			if sp := w.e.registry.Find(old.Key()); sp != nil && sp.Failures() > 0 {
				w.healing[sp.ID()] = time.Now()
			}
		case <-ctx.Done():
			return
		}
	}
}

// begin starts what is due, as far as there is a stream to build from.
func (w *ward) begin(ctx context.Context) {
	if !w.e.streaming() {
		return
	}
	now := time.Now()
	for _, sp := range w.e.registry.Ill() {
		ill, ok := sp.Illness()
		if !ok || w.busy[sp.ID()] || len(w.busy) >= rebuildsAtOnce || now.Before(ill.Until) {
			continue
		}
		w.busy[sp.ID()] = true
		w.jobs.Go(func() {
			w.rebuild(ctx, sp)
			select {
			case w.done <- sp:
			case <-ctx.Done():
			}
		})
	}
}

func (w *ward) rebuild(ctx context.Context, old *registry.Shape) {
	w.count(func(c *ladderCounters) { c.rebuilds++ })
	log := w.e.log.With("handle", old.Handle())
	log.Info("a shape is built anew")
	if err := w.e.registry.Note(old.ID(), registry.Event{At: time.Now(), What: "rebuilding"}); err != nil {
		log.Warn("keep a note of a shape's life", "err", err)
	}
	err := w.e.creator.Rebuild(old)
	switch {
	case err == nil:
		log.Info("a shape was built anew; clients of the old handle start over")
		reason, _ := old.Removed()
		w.e.countRemoved(reason)
	case errors.Is(err, registry.ErrRemoved) || ctx.Err() != nil:
	case !w.e.streaming():
		// Postgres went away: that says nothing about the shape.
		log.Warn("a shape could not be built anew without a stream; will try again", "err", err)
	default:
		ill, ok := old.Illness()
		if !ok {
			return
		}
		if err := w.admit(old, ill.Failures+1, ill.Reason, fmt.Sprintf("building it anew failed: %v", err)); err != nil && !errors.Is(err, registry.ErrRemoved) {
			log.Error("keep that a shape could not be built anew", "err", err)
		}
	}
}

// forgive forgets the failures of shapes that have done well for long enough.
func (w *ward) forgive() {
	for id, since := range w.healing {
		sp := w.e.registry.ByID(id)
		switch {
		case sp == nil || sp.Failures() == 0:
			delete(w.healing, id)
		case sp.State() != registry.Live:
			w.healing[id] = time.Now()
		case time.Since(since) > forgiveAfter:
			if err := w.e.registry.Forgive(sp); err != nil {
				w.e.log.Error("forget a shape's failures; will try again", "handle", sp.Handle(), "err", err)
				w.healing[id] = time.Now()
			}
		}
	}
}

// streaming says whether the stream is live at this moment.
func (e *Engine) streaming() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.health == HealthActive
}

// ladderStatus fills in what the ladder has done.
func (e *Engine) ladderStatus(st *Status) {
	in := e.stream.Load().ingest.Status()
	c := e.ward.counted()
	l := &st.Ladder
	l.Suspects, l.Restarts, l.Alarms = in.Suspects, in.Restarts, in.Alarms
	l.Quarantines, l.Rebuilds, l.Parkings = c.quarantines, c.rebuilds, c.parkings
	st.Shapes.Suspect, st.Shapes.Restarting = in.Suspected, in.Restarting
	counts := e.registry.Counts()
	st.Shapes.Quarantined, st.Shapes.Parked = counts.Quarantined, counts.Parked
	st.Shapes.Total += counts.Quarantined + counts.Parked
	for _, sp := range e.registry.Ill() {
		ill, ok := sp.Illness()
		if !ok {
			continue
		}
		st.Ill = append(st.Ill, Ill{Handle: sp.Handle(), State: sp.State().String(), Reason: ill.Reason, Detail: ill.Detail,
			Since: ill.Since, Failures: ill.Failures, Until: ill.Until})
	}
	if in.Alarm != nil {
		st.Alarm = in.Alarm.Why
		if st.Health == HealthActive {
			st.Health, st.Reason = HealthDegraded, in.Alarm.Why
		}
	}
	st.Storage.CanaryMS = float64(in.Canary) / float64(time.Millisecond)
	if st.Journal.HeldBy != nil {
		st.Journal.HeldBy.Seconds, st.Journal.HeldBy.Reason = time.Since(in.HeldSince).Seconds(), in.HeldFor
	}
}
