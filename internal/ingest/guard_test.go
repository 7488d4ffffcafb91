package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestSystemic(t *testing.T) {
	const window = 8 * time.Second
	for _, tt := range []struct {
		what               string
		suspects, struck   int
		active             int
		activeAt, struckAt time.Duration
		want               bool
	}{
		{what: "nobody", active: 100},
		{what: "three of few", suspects: 3},
		{what: "four of few", suspects: 4, want: true},
		{what: "suspects and struck ones together", suspects: 2, struck: 2, want: true},
		{what: "four of many", suspects: 4, active: 100},
		{what: "a fifth", suspects: 25, active: 100},
		{what: "more than a fifth", suspects: 26, active: 100, want: true},
		{what: "many were active long ago", suspects: 4, active: 100, activeAt: -10 * time.Second, want: true},
		{what: "struck long ago", suspects: 3, struck: 5, struckAt: -10 * time.Second},
	} {
		g := newGuard()
		now := time.Hour
		for i := range tt.suspects {
			g.suspect(shape.ID(i+1), true)
		}
		for i := range tt.struck {
			g.strike(shape.ID(100+i), now+tt.struckAt)
		}
		g.sawActive(tt.active, now+tt.activeAt, window)
		if why := g.systemic(now, window); (why != "") != tt.want {
			t.Errorf("%s: %q", tt.what, why)
		} else if tt.want && !strings.Contains(why, "make no progress") {
			t.Errorf("%s: does not say why: %q", tt.what, why)
		}
	}
}

// A shape that is suspected and was struck counts once.
func TestSystemicCountsOnce(t *testing.T) {
	g := newGuard()
	for i := range 3 {
		g.suspect(shape.ID(i), true)
		g.strike(shape.ID(i), 0)
	}
	if why := g.systemic(0, time.Second); why != "" {
		t.Error(why)
	}
}

func TestVerdicts(t *testing.T) {
	g := newGuard()
	condemn := func(at wal.LSN) {
		g.condemned = append(g.condemned, &trial{id: shape.ID(at), at: at, verdict: make(chan bool, 1)})
	}
	judge := func(now time.Duration) (evicted, pardoned []wal.LSN) {
		all := append([]*trial{}, g.condemned...)
		g.judge(now)
		for _, x := range all {
			select {
			case yes := <-x.verdict:
				if yes {
					evicted = append(evicted, x.at)
				} else {
					pardoned = append(pardoned, x.at)
				}
			default:
			}
		}
		return evicted, pardoned
	}
	for _, at := range []wal.LSN{50, 10, 40, 20, 30} {
		condemn(at)
	}
	evicted, pardoned := judge(0)
	if len(evicted) != evictionsAMinute || len(pardoned) != 0 {
		t.Fatalf("evicted %v, pardoned %v", evicted, pardoned)
	}
	for _, at := range evicted {
		if at > 30 {
			t.Errorf("%v went before worse ones", at)
		}
	}
	if evicted, _ := judge(59 * time.Second); len(evicted) != 0 {
		t.Errorf("%v within a minute", evicted)
	}
	if evicted, _ := judge(60 * time.Second); len(evicted) != 2 {
		t.Errorf("%v after a minute", evicted)
	}
	condemn(60)
	g.alarm.Store(&Alarm{})
	if evicted, pardoned := judge(10 * time.Minute); len(evicted)+len(pardoned) != 0 {
		t.Errorf("during an alarm: evicted %v, pardoned %v", evicted, pardoned)
	}
	condemn(70)
	g.alarm.Store(nil)
	evicted, pardoned = judge(10 * time.Minute)
	if len(evicted) != 1 || evicted[0] != 70 || len(pardoned) != 1 || pardoned[0] != 60 {
		t.Errorf("after an alarm: evicted %v, pardoned %v", evicted, pardoned)
	}
}

func TestStrikesCountUntilItGetsFurther(t *testing.T) {
	s := strikes{of: make(map[shape.ID]registry.Strike)}
	for n, step := range []struct {
		place wal.LSN
		want  int
	}{{100, 1}, {100, 2}, {90, 3}, {110, 1}, {110, 2}, {105, 3}} {
		if k := s.add(7, step.place); k.Count != step.want {
			t.Errorf("step %d: strike %d, want %d", n, k.Count, step.want)
		}
	}
	if k := s.add(8, 110); k.Count != 1 {
		t.Errorf("another shape has strike %d", k.Count)
	}
	s.forget(7)
	if k := s.add(7, 105); k.Count != 1 {
		t.Errorf("strike %d after it was forgotten", k.Count)
	}
}

// Time in which the watchdog's own ticks did not run on schedule does not count.
func TestObservedTime(t *testing.T) {
	d := &watchdog{every: time.Second}
	for passed, want := range map[time.Duration]time.Duration{
		900 * time.Millisecond: 900 * time.Millisecond, 2 * time.Second: 2 * time.Second, time.Hour: 2 * time.Second,
	} {
		if got := d.observed(passed); got != want {
			t.Errorf("of %s count %s, want %s", passed, got, want)
		}
	}
}

// Whoever an alarm held up has time to come after it before somebody goes for the
// journal's budget.
func TestCalm(t *testing.T) {
	g, window := newGuard(), time.Minute
	if !g.calm(time.Second, window) {
		t.Error("not calm at the start")
	}
	g.alarm.Store(&Alarm{})
	if g.calm(time.Hour, window) {
		t.Error("calm in an alarm")
	}
	g.alarm.Store(nil)
	g.relaxed.Store(int64(time.Hour))
	if g.calm(time.Hour+window, window) || !g.calm(time.Hour+window+1, window) {
		t.Error("not calm after a window")
	}
}
