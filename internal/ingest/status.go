package ingest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Status is what operators see of the machinery. It is read from atomics and
// never waits for anybody.
type Status struct {
	Routed   wal.LSN
	Applied  wal.LSN // of the shard that is furthest behind
	Boundary wal.LSN // durable: below it nobody needs the journal
	HeldBy   shape.ID
	HeldFrom wal.LSN
	Held     bool
	Ghosts   []Ghost
	Lagging  int     // shards that read the journal by themselves
	Stalls   []Stall // the newest, with their evidence

	StallsTotal int

	Alarm      *Alarm // nil: there is none
	Alarms     int64  // since the start, as are the next two
	Suspects   int64
	Restarts   int64
	Suspected  int           // shapes that make no progress now
	Restarting int           // shapes that are on their way back to the stream
	Canary     time.Duration // of the last tiny write, or of the one under way
	// HeldSince is since when HeldBy holds the boundary where it is, and HeldFor
	// what it does meanwhile.
	HeldSince time.Time
	HeldFor   string
}

// Ghost is a worker that was replaced and has not returned.
type Ghost struct {
	Shard int
	Epoch uint64
	Shape shape.ID // whose consumer it is in
	Since time.Time
	Stack string // when it was replaced
}

// Status reads the present figures.
func (in *Ingest) Status() Status {
	// The lowest first: they move while they are read.
	st := Status{
		Boundary: in.Boundary(),
		Ghosts:   in.ghosts.list(),
	}
	st.Stalls, st.StallsTotal = in.watchdog.stalls()
	st.Applied = wal.LSN(in.shards[0].applied.Load())
	for _, sh := range in.shards {
		st.Applied = min(st.Applied, wal.LSN(sh.applied.Load()))
		if sh.behind.Load() {
			st.Lagging++
		}
	}
	st.Routed = max(in.Routed(), st.Applied)
	if h := in.holder.Load(); h != nil {
		st.Held, st.HeldBy, st.HeldFrom, st.HeldSince = true, h.id, h.from, h.since
		st.HeldFor = in.occupation(h.id)
	}
	d := in.watchdog
	st.Alarm, st.Alarms = in.guard.alarm.Load(), in.guard.alarms.Load()
	st.Suspects, st.Restarts = d.suspects.Load(), d.restarts.Load()
	st.Suspected, st.Restarting = in.guard.suspected(), int(in.away.Load())
	st.Canary = in.canary.took()
	return st
}

// occupation says what a shape that holds the journal is doing.
func (in *Ingest) occupation(id shape.ID) string {
	sp := in.opts.Registry.ByID(id)
	sh := in.shards[uint64(id)%uint64(len(in.shards))]
	switch {
	case sp == nil:
		return "leaving"
	case sp.State() == registry.Snapshotting:
		return "first rows"
	case in.guard.isSuspect(id):
		return "no progress"
	case sh.behind.Load():
		return "catching up"
	}
	return "not yet durable"
}

// ErrGhosts ends an Ingest with more ghosts than its limit: each is a goroutine
// that cannot be killed, and a new start is rid of them.
var ErrGhosts = errors.New("too many replaced workers do not return")

// addGhost counts a worker that was replaced and still runs. false: that is one
// too many, and the end.
func (in *Ingest) addGhost(p *pulse, s *Stall) bool {
	in.ghosts.add(p, Ghost{Shard: s.Shard, Epoch: p.epoch, Shape: s.Shape, Since: time.Now(), Stack: s.Stack})
	if n := in.ghosts.count(); in.opts.GhostLimit > 0 && n > in.opts.GhostLimit {
		in.fail(fmt.Errorf("%w: %d, the limit is %d", ErrGhosts, n, in.opts.GhostLimit))
		in.stop()
		return false
	}
	return true
}

// ghosts are the workers that were replaced and have not returned.
type ghosts struct {
	mu      sync.Mutex // leaf lock
	all     map[*pulse]Ghost
	changed chan struct{} // one slot
}

// GhostsChanged is sent to after there came to be more ghosts, or fewer.
func (in *Ingest) GhostsChanged() <-chan struct{} { return in.ghosts.changed }

func (g *ghosts) poke() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *ghosts) add(p *pulse, x Ghost) {
	defer g.poke()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[*pulse]Ghost)
	}
	g.all[p] = x
}

func (g *ghosts) remove(p *pulse) {
	defer g.poke()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, p)
}

func (g *ghosts) list() []Ghost {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.all), func(a, b Ghost) int { return a.Since.Compare(b.Since) })
}

func (g *ghosts) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.all)
}
