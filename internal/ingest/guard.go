package ingest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// fewShapes may always be stuck without being taken for a fault of all.
	fewShapes = 3
	// guardGraces is the window of the guard, in grace periods: shapes that were
	// struck within it count together.
	guardGraces = 4
	// evictionsAMinute is how many shapes may be taken out of the stream within a
	// minute for making no progress.
	evictionsAMinute = 3
)

// Alarm is a fault that hits everybody. While it lasts nobody is replaced, struck
// or taken out of the stream for making no progress.
type Alarm struct {
	Why   string
	Since time.Time
}

// guard tells a fault of one shape from one of all, and lets go of few shapes at
// a time. Its owner is the watchdog; others tell it of suspects and wait for its
// verdicts.
type guard struct {
	alarm  atomic.Pointer[Alarm]
	alarms atomic.Int64 // since the start
	// relaxed is when the last alarm ended, by Ingest.now; 0: there was none.
	relaxed atomic.Int64

	mu        sync.Mutex // leaf lock
	suspects  map[shape.ID]struct{}
	struck    map[shape.ID]time.Duration // when last
	active    int                        // shapes that came to something in a flush, the most within the window
	activeAt  time.Duration
	condemned []*trial
	granted   []time.Duration // evictions of the last minute
}

// trial is a shape that has used its patience and waits for what becomes of it.
type trial struct {
	id      shape.ID
	at      wal.LSN   // where it stands: who holds most of the journal goes first
	verdict chan bool // one slot; true: out of the stream, false: it may try again
	pardon  bool      // an alarm came in between
}

func newGuard() *guard {
	return &guard{suspects: make(map[shape.ID]struct{}), struck: make(map[shape.ID]time.Duration)}
}

// suspect says that a shape makes no progress at this moment, or does again.
func (g *guard) suspect(id shape.ID, is bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if is {
		g.suspects[id] = struct{}{}
	} else {
		delete(g.suspects, id)
	}
}

func (g *guard) isSuspect(id shape.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, is := g.suspects[id]
	return is
}

func (g *guard) suspected() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.suspects)
}

func (g *guard) strike(id shape.ID, now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.struck[id] = now
}

// sawActive notes how many shapes came to something in one flush.
func (g *guard) sawActive(n int, now, window time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n >= g.active || now-g.activeAt > window {
		g.active, g.activeAt = n, now
	}
}

// systemic says what looks like a fault of all, "" if nothing does: more shapes
// are stuck than a fault of their own explains. Those that came to nothing for
// lack of work do not count as healthy.
func (g *guard) systemic(now, window time.Duration) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, at := range g.struck {
		if now-at > window {
			delete(g.struck, id)
		}
	}
	stuck := len(g.suspects)
	for id := range g.struck {
		if _, both := g.suspects[id]; !both {
			stuck++
		}
	}
	active := stuck
	if now-g.activeAt <= window {
		active += g.active
	}
	if stuck <= max(fewShapes, active/5) {
		return ""
	}
	return fmt.Sprintf("%d of %d active shapes make no progress", stuck, active)
}

// ask waits for what becomes of a shape that has used its patience. It may take
// long, and forever while an alarm lasts: the budgets bound that.
func (g *guard) ask(id shape.ID, at wal.LSN, done <-chan struct{}) (evict bool) {
	t := &trial{id: id, at: at, verdict: make(chan bool, 1)}
	g.mu.Lock()
	g.condemned = append(g.condemned, t)
	g.mu.Unlock()
	select {
	case evict = <-t.verdict:
		return evict
	case <-done:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.condemned = slices.DeleteFunc(g.condemned, func(x *trial) bool { return x == t })
	return false
}

// calm says that there is no alarm, and that those that there was one for have had
// time to come after it.
func (g *guard) calm(now, window time.Duration) bool {
	relaxed := time.Duration(g.relaxed.Load())
	return g.alarm.Load() == nil && (relaxed == 0 || now-relaxed > window)
}

// judge gives the verdicts that are due: worst first and few a minute. Whoever
// waited while there was an alarm may try again after it.
func (g *guard) judge(now time.Duration) {
	alarm := g.alarm.Load() != nil
	g.mu.Lock()
	defer g.mu.Unlock()
	if alarm {
		for _, t := range g.condemned {
			t.pardon = true
		}
		return
	}
	g.granted = slices.DeleteFunc(g.granted, func(at time.Duration) bool { return now-at >= time.Minute })
	slices.SortFunc(g.condemned, func(a, b *trial) int { return cmp.Compare(a.at, b.at) })
	g.condemned = slices.DeleteFunc(g.condemned, func(t *trial) bool {
		if !t.pardon && len(g.granted) >= evictionsAMinute {
			return false
		}
		if !t.pardon {
			g.granted = append(g.granted, now)
		}
		t.verdict <- !t.pardon // it has room
		return true
	})
}
