package ingest

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Stall is the evidence about a worker that made no progress or failed.
type Stall struct {
	Shard   int
	Shape   shape.ID      // whose consumer was running
	Handle  shape.Handle  // of Shape; it tells who that was when the shape has gone
	At      wal.LSN       // the shard's position
	For     time.Duration // observed time without progress
	Queued  int           // messages in its mailbox
	Cause   string
	Stack   string // of that very goroutine
	Strikes int    // times at this place
	When    time.Time
}

// watchdog finds workers that owe something and make no progress. It is a
// goroutine of its own which reads atomics only and never waits for those it
// watches.
//
// Its clock counts observed time: between two of its ticks at most two tick
// lengths are counted, so that after SIGSTOP, a paused machine or a long
// garbage collection nobody looks stalled.
type watchdog struct {
	in    *Ingest
	every time.Duration
	seen  []sighting

	mu      sync.Mutex // leaf lock
	history []Stall    // the newest last, at most historyLength
	total   int
}

const historyLength = 64

// sighting is what the watchdog saw of one shard last.
type sighting struct {
	epoch, taken, beat, applied uint64
	still                       time.Duration // observed time without progress
	suspect                     bool          // first strike
}

func newWatchdog(in *Ingest) *watchdog {
	return &watchdog{
		in:    in,
		every: min(max(in.opts.Grace/8, 10*time.Millisecond), time.Second),
		seen:  make([]sighting, len(in.shards)),
	}
}

func (d *watchdog) run(ctx context.Context) error {
	t := time.NewTicker(d.every)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := time.Now()
		observed := min(now.Sub(last), 2*d.every)
		last = now
		for n := range d.in.shards {
			d.look(n, observed)
		}
	}
}

// look decides about one shard.
func (d *watchdog) look(n int, observed time.Duration) {
	sh, was := d.in.shards[n], &d.seen[n]
	p := sh.pulse.Load()
	is := sighting{epoch: p.epoch, taken: p.taken.Load(), beat: p.beat.Load(), applied: sh.applied.Load()}
	owes := p.posted.Load() > is.taken || sh.routed.Load() > is.applied
	if !owes || is.epoch != was.epoch || is.taken != was.taken || is.beat != was.beat || is.applied != was.applied {
		*was = is
		return
	}
	was.still += observed
	id := shape.ID(p.current.Load())
	if was.still < d.in.opts.Grace || id == 0 {
		// Outside of a consumer the worker waits for storage or for the spine.
		// That is no shape's fault: replacing it would not help, and evicting
		// somebody for it would be wrong.
		return
	}
	if !was.suspect {
		was.suspect = true
		d.in.opts.Logger.Warn("a shape's consumer is suspected: it owes and makes no progress",
			"shard", n, "shape", id, "for", was.still)
		return
	}
	stall := &Stall{
		Shard: n, Shape: id, For: was.still, Queued: int(p.posted.Load() - is.taken),
		Cause: "no progress in its consumer", Stack: stackOf(p.goroutine.Load()), When: time.Now(),
	}
	select {
	case d.in.commands <- command{kind: cmdReplace, shard: sh, pulse: p, stall: stall}:
		was.suspect, was.still = false, 0
	default:
		// The spine is busy; the next tick tries again.
	}
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

// goroutineID reads the number by which stack traces name this goroutine. The
// runtime tells it nowhere else; it is used for evidence only.
func goroutineID() int64 {
	var buf [64]byte
	f := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// stackOf finds one goroutine's stack among all.
func stackOf(id int64) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	head := "goroutine " + strconv.FormatInt(id, 10) + " "
	for s := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.HasPrefix(s, head) {
			return s
		}
	}
	return ""
}
