package ingest

import (
	"maps"
	"slices"
	"sync"
	"time"

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
}

// Ghost is a worker that was replaced and has not returned.
type Ghost struct {
	Shard int
	Epoch uint64
	Shape shape.ID // whose consumer it is in
	Since time.Time
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
		st.Held, st.HeldBy, st.HeldFrom = true, h.id, h.from
	}
	return st
}

// ghosts are the workers that were replaced and have not returned.
type ghosts struct {
	mu  sync.Mutex // leaf lock
	all map[*pulse]Ghost
}

func (g *ghosts) add(p *pulse, x Ghost) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[*pulse]Ghost)
	}
	g.all[p] = x
}

func (g *ghosts) remove(p *pulse) {
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
