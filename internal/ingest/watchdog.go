package ingest

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Stall is the evidence about a worker that made no progress or failed.
type Stall struct {
	Shard   int
	Shape   shape.ID      // whose consumer was running
	Handle  shape.Handle  // of Shape; it tells who that was when the shape has gone
	At      wal.LSN       // the position that all before is applied
	Place   wal.LSN       // commit LSN of the transaction in hand
	For     time.Duration // observed time without progress
	Queued  int           // messages in its mailbox
	Wrote   time.Duration // since its last write to the shape log; 0: none yet
	Cause   string
	Stack   string // of that very goroutine
	Strikes int    // times at this place
	When    time.Time

	goroutine int64
}

// watchdog finds workers that owe something and make no progress. It is a
// goroutine of its own which reads atomics, takes leaf locks and never waits for
// those it watches.
//
// Its clock counts observed time: between two of its ticks at most two tick
// lengths are counted, so that after SIGSTOP, a paused machine or a long
// garbage collection nobody looks stalled.
type watchdog struct {
	in    *Ingest
	every time.Duration
	seen  []sighting
	stack func(goroutine int64) string

	canary      int64         // the write under way at the last look
	canaryStill time.Duration // observed time since it began
	quiet       time.Duration // observed time in which nothing hit everybody

	suspects, restarts atomic.Int64 // since the start

	mu      sync.Mutex // leaf lock
	history []Stall    // the newest last, at most historyLength
	total   int
}

const historyLength = 64

// sighting is what the watchdog saw of one shard last.
type sighting struct {
	epoch, taken, beat, applied uint64
	still                       time.Duration // observed time without progress
	excused                     time.Duration // of it, when it waited for the garbage collector
	suspect                     shape.ID      // first strike
}

func newWatchdog(in *Ingest) *watchdog {
	return &watchdog{
		in:    in,
		every: min(max(in.opts.Grace/8, 10*time.Millisecond), handOverAfter/4),
		stack: stackOf,
		seen:  make([]sighting, len(in.shards)),
	}
}

// pause is the time to the next tick. It varies, so that what is regular itself
// does not always fall into the same place.
func (d *watchdog) pause() time.Duration { return d.every - d.every/8 + rand.N(d.every/4+1) }

func (d *watchdog) run(ctx context.Context) error {
	t := time.NewTimer(d.pause())
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		t.Reset(d.pause())
		now := time.Now()
		observed := d.observed(now.Sub(last))
		last = now
		d.lookAtAll(observed)
		for n := range d.in.shards {
			d.look(n, observed)
		}
		d.in.guard.judge(d.in.now())
	}
}

// observed is what counts of the time that has passed between two ticks.
func (d *watchdog) observed(passed time.Duration) time.Duration { return min(passed, 2*d.every) }

func (d *watchdog) window() time.Duration { return guardGraces * d.in.opts.Grace }

// lookAtAll decides whether something hits everybody.
func (d *watchdog) lookAtAll(observed time.Duration) {
	c, g, now := d.in.canary, d.in.guard, d.in.now()
	if began := c.began.Load(); began == 0 || began != d.canary {
		d.canary, d.canaryStill = began, 0
	} else {
		d.canaryStill += observed
	}
	why := g.systemic(now, d.window())
	if d.canaryStill >= c.late {
		why = "a tiny write to the data directory does not return"
	}
	if d.quiet += observed; why != "" {
		d.quiet = 0
	}
	log := d.in.opts.Logger
	switch was := g.alarm.Load(); {
	case why != "" && was == nil:
		g.alarm.Store(&Alarm{Why: why, Since: time.Now()})
		g.alarms.Add(1)
		log.Error("alarm: this hits everybody, so nobody is given up for it; the budgets protect Postgres", "why", why)
	case d.quiet > d.in.opts.Grace*3/2 && was != nil:
		// Whoever was restarted as it began takes a grace to be suspect again, from when
		// its fresh worker has come to it. (With two ticks for that, an alarm that was not
		// over ended and was raised anew.)
		g.alarm.Store(nil)
		g.relaxed.Store(int64(now))
		log.Info("the alarm is over", "was", was.Why, "lasted", time.Since(was.Since))
	}
}

// look decides about one shard.
func (d *watchdog) look(n int, observed time.Duration) {
	sh, was := d.in.shards[n], &d.seen[n]
	p := sh.pulse.Load()
	is := sighting{epoch: p.epoch, taken: p.taken.Load(), beat: p.beat.Load(), applied: sh.applied.Load()}
	owes := p.posted.Load() > is.taken || sh.routed.Load() > is.applied
	if !owes || is.epoch != was.epoch || is.taken != was.taken || is.beat != was.beat || is.applied != was.applied {
		if was.suspect != 0 {
			d.in.guard.suspect(was.suspect, false)
		}
		*was = is
		return
	}
	was.still += observed
	id := shape.ID(p.current.Load())
	if id != 0 && was.still-was.excused >= d.in.handOver() && was.still < d.in.opts.Grace {
		d.setAside(n, sh, p, was)
		return
	}
	if was.still < d.in.opts.Grace || id == 0 {
		// Outside of a consumer the worker waits for storage or for the spine.
		// That is no shape's fault: replacing it would not help, and evicting
		// somebody for it would be wrong.
		return
	}
	stall := d.in.stallOf(n, p, wal.LSN(sh.applied.Load()), "no progress in its consumer")
	stall.For = was.still
	if was.suspect == 0 {
		was.suspect = id
		d.suspect(stall)
		return
	}
	if d.in.guard.alarm.Load() != nil {
		return
	}
	stall.Stack = d.stack(stall.goroutine)
	select {
	case d.in.commands <- command{kind: cmdReplace, shard: sh, pulse: p, stall: stall}:
		d.in.guard.suspect(id, false)
		was.suspect, was.still, was.excused = 0, 0, 0
	default:
		// The spine is busy; the next tick tries again.
	}
}

// handOverAfter is how long those who share a shard with a shape wait for it at
// the most. A consumer's step takes microseconds; one that gets no processor for
// so long loses little by beginning again. It decides nothing about that shape.
const handOverAfter = 100 * time.Millisecond

// handOver is the same for a short grace.
func (in *Ingest) handOver() time.Duration { return min(handOverAfter, in.opts.Grace/4) }

// setAside lets the others of a shard go on with a fresh worker while one shape
// keeps theirs busy. That shape begins again alone, and its time goes on counting:
// whether it is stuck is found out there. Only a few are set aside at a time: when
// all are stuck, each would leave a ghost. And nobody is for the garbage collector,
// which makes who allocates work for it before it gives: with a million shapes and a
// busy machine for longer than that, and a fresh worker, which has half of them to
// read, would wait no less.
func (d *watchdog) setAside(n int, sh *shard, p *pulse, was *sighting) {
	if d.in.guard.alarm.Load() != nil || d.in.away.Load() >= fewShapes {
		return
	}
	stall := d.in.stallOf(n, p, wal.LSN(sh.applied.Load()), "no progress in its consumer")
	stall.For = was.still
	if stall.Stack = d.stack(stall.goroutine); collecting(stall.Stack) {
		was.excused = was.still
		return
	}
	select {
	case d.in.commands <- command{kind: cmdReplace, shard: sh, pulse: p, stall: stall, aside: true}:
		was.still, was.excused = 0, 0
	default:
	}
}

// suspect takes the first strike down, with the evidence.
func (d *watchdog) suspect(s *Stall) {
	d.in.guard.suspect(s.Shape, true)
	d.suspects.Add(1)
	s.Stack = d.stack(s.goroutine)
	d.in.opts.Logger.Warn("a shape's consumer is suspected: it owes and makes no progress", s.log(), "stack", s.Stack)
	d.in.notes.add(s.Shape, "suspect", s.describe(), s.Stack)
}

func (s *Stall) log() slog.Attr {
	return slog.Group("stall", "shape", s.Shape, "shard", s.Shard, "place", s.Place, "for", s.For, "queued", s.Queued,
		"last_write", s.Wrote, "cause", s.Cause, "strike", s.Strikes)
}

func (d *watchdog) record(s Stall) {
	if sp := d.in.opts.Registry.ByID(s.Shape); sp != nil {
		s.Handle = sp.Handle()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total++
	d.history = append(d.history, s)
	if n := len(d.history) - historyLength; n > 0 {
		d.history = slices.Delete(d.history, 0, n)
	}
}

func (d *watchdog) stalls() (newest []Stall, total int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.history), d.total
}
