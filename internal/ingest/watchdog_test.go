package ingest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// Who waits for the garbage collector is not set aside for it; who stands still for
// another reason is, even if it waited for the collector before.
func TestCollectorIsNobodysFault(t *testing.T) {
	const assist = "goroutine 7 [GC assist wait]:\nspillway/internal/consume.(*Encoders).room(...)\n\tencoder.go:220"
	for name, tc := range map[string]struct {
		stack string
		aside bool
	}{
		"assist":  {assist, false},
		"marking": {"goroutine 7 [GC assist marking]:\nmain.f()\n", false},
		"yielded": {"goroutine 7 [runnable]:\nruntime.Gosched(...)\n\truntime/proc.go:391\nmain.f()\n", false},
		"loop":    {"goroutine 7 [runnable]:\nmain.f()\n\tGC assist\nruntime.Gosched(...)\n", true},
		"running": {"goroutine 7 [running]:\n\tgoroutine running on other thread; stack unavailable\n", true},
		"channel": {"goroutine 7 [chan receive]:\nmain.f()\n", true},
		"none":    {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			const grace = 8 * time.Second
			p := &pulse{}
			p.posted.Store(1)
			p.current.Store(5)
			sh := &shard{}
			sh.pulse.Store(p)
			in := &Ingest{opts: Options{Grace: grace}, guard: &guard{}, shards: []*shard{sh}, commands: make(chan command, 1)}
			d := newWatchdog(in)
			asked := 0
			d.stack = func(int64) string { asked++; return tc.stack }
			passed := time.Duration(0)
			tick := func(until time.Duration) (aside bool) {
				for ; passed < until && len(in.commands) == 0; passed += d.every {
					d.look(0, d.every)
				}
				return len(in.commands) == 1
			}
			if aside := tick(grace / 2); aside != tc.aside {
				t.Fatalf("set aside after %s: %v", passed, aside)
			}
			if most := int(passed/handOverAfter) + 1; asked > most {
				t.Errorf("%d looks at all stacks in %s, want %d at the most", asked, passed, most)
			}
			if tc.aside {
				return
			}
			d.stack = func(int64) string { return "goroutine 7 [select]:\nmain.f()\n" }
			if from := passed; !tick(grace) || passed-from > 2*handOverAfter {
				t.Errorf("no longer the collector: not set aside within %s", passed-from)
			}
		})
	}
}

// While everybody is stuck all are restarted at once, and suspect again a grace after their
// fresh workers have come to them: it is one alarm.
func TestAlarmOutlastsRestarts(t *testing.T) {
	const grace = 8 * time.Second
	in := &Ingest{
		opts:  Options{Grace: grace, Logger: slog.New(slog.DiscardHandler)},
		guard: newGuard(), canary: newCanary(nil, grace), began: time.Now(),
	}
	d := newWatchdog(in)
	stuck := func(yes bool) {
		for id := range shape.ID(2 * fewShapes) {
			in.guard.suspect(id+1, yes)
		}
	}
	tick := func(passed time.Duration) {
		for ; passed > 0; passed -= d.every {
			d.lookAtAll(d.every)
		}
	}
	stuck(true)
	tick(d.every)
	for range 3 {
		stuck(false)
		tick(grace + grace/4)
		stuck(true)
		tick(grace / 4)
		if in.guard.alarm.Load() == nil || in.guard.alarms.Load() != 1 {
			t.Fatalf("alarm %v, %d so far", in.guard.alarm.Load(), in.guard.alarms.Load())
		}
	}
	stuck(false)
	tick(2 * grace)
	if a := in.guard.alarm.Load(); a != nil {
		t.Errorf("nobody is stuck, and there is an alarm: %s", a.Why)
	}
}
