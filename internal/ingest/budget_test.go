package ingest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// A consumer that drips, always faster than the watchdog's grace, is
// caught by the journal's budget in bytes. Its neighbour is not.
func TestDripFeederIsCaughtByTheBudget(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		const budget, segment = 1 << 20, 64 << 10
		r.conf.JournalBudget, r.conf.SegmentBytes = budget, segment
		r.restart(false)
		_, a := r.follow("")
		_, b := r.follow("i > 5")
		r.apply(func(id shape.ID, _ *wal.Change) {
			if id == 1 {
				time.Sleep(grace / 2)
			}
		})
		text := strings.Repeat("x", 8<<10)
		for n := range 200 {
			r.put(text, n, n+1)
		}
		if reason := r.gone(a); reason != shape.ReasonBudget {
			r.Errorf("rotated for %q", reason)
		}
		r.settle(b)
		if st := r.engine.Ingest.Status(); st.Suspects != 0 {
			r.Errorf("the watchdog took it for stuck: %+v", st.Stalls)
		}
		r.until("the journal to be given back", func() bool { return r.engine.Journal.Stats().Bytes < budget/2 })
	})
}

// A shape that was taken out leaves at the end of the open transaction, which may be far.
// Until then it holds the journal, and is not given up once more: its clients would lose
// what they are served until it is built anew.
func TestGoesOnceForTheBudget(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		const budget = 1 << 20
		r.conf.JournalBudget, r.conf.SegmentBytes = budget, 64<<10
		r.restart(false)
		sp, _ := r.follow("")
		r.conf.Database.Fail.Store(1000) // nobody takes its place
		r.apply(func(shape.ID, *wal.Change) { time.Sleep(grace / 2) })
		r.engine.Disconnect()
		r.offer(wal.Frame{Kind: wal.FrameReset})
		text := strings.Repeat("x", 8<<10)
		for n := range 100 {
			tx := r.pg.Begin()
			r.write(tx, text, n, n+1)
			tx.Finish()
			r.offer(tx.Frames(0)[2])
			time.Sleep(10 * time.Millisecond)
		}
		open := r.pg.Begin()
		r.write(open, text, 0, 20)
		open.Finish()
		halves := open.Frames(18) // near the budget
		r.offer(halves[1])
		r.until("the shape to go", func() bool {
			_, ill := sp.Illness()
			return ill
		})
		time.Sleep(time.Minute)
		if reason, gone := sp.Removed(); gone {
			r.Errorf("its log is gone: %s", reason)
		}
		r.offer(halves[2])
		r.released()
	})
}
