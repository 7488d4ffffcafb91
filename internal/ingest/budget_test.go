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
