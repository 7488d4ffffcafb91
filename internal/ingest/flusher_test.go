package ingest_test

import (
	"strings"
	"testing"
	"time"
)

// A few changes are not worth a flush of their own; many are, and so is the time that
// they have waited.
func TestFlushWhenWorthIt(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		r.conf.FlushAtLatest = 20 * time.Second
		r.restart(false)
		_, reader := r.follow("")
		released := func() bool { return !r.engine.Ingest.Status().Held }
		flushes := func() int64 { return r.engine.Log.Stats().Flushes }
		r.until("rest", released)

		before := flushes()
		began := time.Now()
		r.put("x", 0, 5)
		r.settle(reader)
		time.Sleep(12 * time.Second)
		if released() || flushes() != before {
			t.Errorf("%d flushes for five changes", flushes()-before)
		}
		r.until("the changes to be durable", released)
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("durable after %s", took)
		}

		began = time.Now()
		r.put(strings.Repeat("y", 1<<20), 0, 1)
		first := r.pg.End()
		for i := range 12 { // a look may fall among them
			r.put(strings.Repeat("z", 1<<20), i, i+1)
		}
		r.settle(reader)
		r.until("the first of 13 MB to be durable", func() bool { return r.engine.Ingest.Boundary() >= first })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the first of 13 MB is durable after %s", took)
		}
	})
}
