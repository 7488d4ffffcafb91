package admin

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/engine"
)

var quiet = slog.New(slog.DiscardHandler)

func TestHumanBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1 MiB", 100<<20 + 1: "100 MiB", 4 << 30: "4 GiB",
		1234567: "1.2 MiB", math.MaxInt64: "8 EiB", -2048: "-2 KiB",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", math.MinInt64: "-9,223,372,036,854,775,808"} {
		if got := exact(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestHumanTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 20 * time.Millisecond: "20 ms", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s",
		15 * time.Minute: "15 min", 61 * time.Second: "1 min 1 s", 3*time.Hour + 5*time.Minute: "3 h 5 min", 72 * time.Hour: "3 days",
	} {
		if got := humanTime(d); got != want {
			t.Errorf("%s is %q, want %q", time.Duration(d).String(), got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		used, budget int64
		want         string
	}{{1, 0, ""}, {0, 10, "0 %"}, {1, 1 << 40, "under 0.1 %"}, {5, 200, "2.5 %"}, {1, 2, "50 %"}, {30, 10, "300 %"}} {
		if got := percent(c.used, c.budget); got != c.want {
			t.Errorf("%d of %d is %q, want %q", c.used, c.budget, got, c.want)
		}
	}
}

// A position that is not known does not hide the lag of those behind it, and
// one that is ahead of the step before has none.
func TestSteps(t *testing.T) {
	st := engine.Status(busy())
	st.Positions.Received.LSN, st.Positions.Acked.LSN = 0, 0
	st.Positions.Applied.LSN = st.Positions.Routed.LSN + 1
	got := map[string]step{}
	for _, s := range steps(st) {
		got[s.Name] = s
	}
	if got["received"].Known || got["acked"].Known || got["routed"].Lag != 256 || got["applied"].Lag != 0 {
		t.Errorf("%+v", got)
	}
	st.Journal.BudgetBytes = 300
	for _, s := range steps(st) {
		if s.Name == "routed" && s.Tone != "bad" || s.Name == "trimmed" && s.Tone != "ok" {
			t.Errorf("%s is %s", s.Name, s.Tone)
		}
	}
	for lag, want := range map[int64]int{0: 0, 1023: 0, 1024: 2, 4 << 30: 100, math.MaxInt64: 100} {
		if got := (step{Lag: lag}).Width(); got != want {
			t.Errorf("the bar of %d bytes is %d, want %d", lag, got, want)
		}
	}
}

func TestPlot(t *testing.T) {
	now := time.Unix(1e9, 0)
	var all []moment
	for i := 40; i >= 0; i-- {
		m := moment{at: now.Add(-time.Duration(i) * time.Second), retained: -1, journal: int64(i) << 20}
		if i < 10 || i > 20 {
			m.retained = 1 << 20
		}
		all = append(all, m)
	}
	p := newPlot("p", "P", all, now, func(m moment) int64 { return m.retained }, 1<<40)
	if got := strings.Count(p.Line, "M"); got != 2 || strings.Count(p.Area, "Z") != 2 {
		t.Errorf("a gap in what is known: %d lines: %s", got, p.Line)
	}
	if p.Now != "1 MiB" || p.BudgetY != 0 || p.From != "1 min" || p.Tone != "ok" {
		t.Errorf("%+v", p)
	}
	p = newPlot("p", "P", all, now, func(m moment) int64 { return m.journal }, 64<<20)
	if p.BudgetY <= 0 || p.BudgetY >= plotHeight || strings.Contains(p.Line, "NaN") {
		t.Errorf("the budget is near and its line is at %v: %s", p.BudgetY, p.Line)
	}
	p = newPlot("p", "P", nil, now, func(m moment) int64 { return m.journal }, 0)
	if p.Now != "not known" || p.Line != "" || p.Budget != "" {
		t.Errorf("without samples: %+v", p)
	}
	old := append([]moment{{at: now.Add(-time.Hour)}}, all...)
	if p := newPlot("p", "P", old, now, func(m moment) int64 { return m.journal }, 0); p.From != "15 min" {
		t.Errorf("the axis of an old service begins %s ago", p.From)
	}
	for _, n := range []int64{0, 1, 4096, 4097, 1 << 62, math.MaxInt64} {
		if top := roundUp(n); top < n {
			t.Errorf("%d is above its axis %d", n, top)
		}
	}
}

// The text says what the page says, on lines of its own whatever it is given.
func TestWriteText(t *testing.T) {
	st := engine.Status(busy())
	st.Reason = "a\nb\x1b[2J\u009b"
	var b strings.Builder
	if err := WriteText(&b, st); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"degraded: a b [2J", "received", "1/700", "256 B behind", "in step", "123 B of 4 GiB (under 0.1 %)",
		"held by", "777 B of 999 B", "3: 2 live, 1 reading first rows", "13 quarantined, 14 parked", "5 stalls", "26 alarms", "alarm: everybody", "audit: the slot is gone", "canary message  ", "came through in 125 ms", "transaction of pid 7",
		"parked: h-2, stalled: it hangs", "waiting for lock of pid 8", "canary 2500.0 ms", "stalled: h-1", "ghost: h-1", "replaced 3.0 s ago"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &b)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\u009b") {
		t.Error("a terminal could be steered by it")
	}
	b.Reset()
	if err := WriteText(&b, engine.Status{Health: engine.HealthStarting}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "not known") || strings.Contains(b.String(), "held by") {
		t.Errorf("of a service that has just begun it says\n%s", &b)
	}
}
