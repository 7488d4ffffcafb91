package ingest_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/ingest"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/sim"
	"github.com/spillway-sync/spillway/internal/wal"
)

// blocked makes every consumer wait until the function that it returns is called.
func (r *rig) blocked() (lift func()) {
	gate := make(chan struct{})
	r.apply(func(shape.ID, *wal.Change) { <-gate })
	return func() {
		r.hook.Store(nil)
		close(gate)
	}
}

func (r *rig) crowd(n int) (all []*sim.Reader) {
	r.Helper()
	for i := range n {
		_, reader := r.follow(fmt.Sprintf("i > %d", i))
		all = append(all, reader)
	}
	return all
}

// A fault that hits all consumers costs nobody its place, whatever it lasts; it is
// told once; and all go on by themselves.
func TestFaultOfAll(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		readers := r.crowd(8)
		lift := r.blocked()
		r.put("a", 0, 20)
		r.until("the alarm", func() bool { return r.engine.Ingest.Status().Alarm != nil })
		time.Sleep(50 * grace)
		st := r.engine.Ingest.Status()
		if st.Alarm == nil || st.Alarms != 1 || !strings.Contains(st.Alarm.Why, "make no progress") {
			r.Errorf("alarm %+v, %d in all", st.Alarm, st.Alarms)
		}
		// Of each shard one, and once more on their own, before it shows that it is
		// not theirs alone.
		if len(st.Ghosts) > 6 {
			r.Errorf("%d workers were replaced", len(st.Ghosts))
		}
		lift()
		r.settle(readers...)
		r.until("the end of the alarm", func() bool { return r.engine.Ingest.Status().Alarm == nil })
		r.released()
		r.reread(readers...)
	})
}

// While the disk does not answer a stuck consumer is not blamed for it.
func TestLateCanary(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		readers := r.crowd(2)
		r.conf.Disk.Stick(true)
		r.until("the alarm", func() bool { return r.engine.Ingest.Status().Alarm != nil })
		if st := r.engine.Ingest.Status(); !strings.Contains(st.Alarm.Why, "write") || st.Canary < grace/2 {
			r.Errorf("alarm %q, canary %s", st.Alarm.Why, st.Canary)
		}
		lift := r.blocked()
		time.Sleep(20 * grace)
		lift()
		r.conf.Disk.Stick(false)
		r.until("the end of the alarm", func() bool { return r.engine.Ingest.Status().Alarm == nil })
		r.put("a", 0, 5)
		r.settle(readers...)
		if st := r.engine.Ingest.Status(); st.StallsTotal != 0 || st.Canary > time.Second {
			r.Errorf("%d stalls, canary %s", st.StallsTotal, st.Canary)
		}
	})
}

// With a fault of all the journal stays within its budget: it takes nothing more,
// and nobody goes for it.
func TestFaultOfAllWithinBudget(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		const budget, segment = 1 << 20, 64 << 10
		r.conf.JournalBudget, r.conf.SegmentBytes = budget, segment
		r.restart(false)
		readers := r.crowd(8)
		lift := r.blocked()
		r.put("a", 0, 20)
		r.until("the alarm", func() bool { return r.engine.Ingest.Status().Alarm != nil })
		text := strings.Repeat("x", 8<<10)
		for n := range 300 {
			r.put(text, n%20, n%20+1)
			time.Sleep(100 * time.Millisecond)
			if b := r.engine.Journal.Stats().Bytes; b > budget+segment {
				r.Fatalf("the journal has %d bytes", b)
			}
		}
		if st := r.engine.Journal.Stats(); st.State != journal.StateFull || !errors.Is(st.Err, journal.ErrHeld) || st.Bytes < budget/2 {
			r.Errorf("journal %+v", st)
		}
		lift()
		r.settle(readers...)
		r.released()
		r.reread(readers...)
	})
}

// Few may be given up within a minute; the others wait for their turn, and go on
// if what ailed them is over by then.
func TestGhostLimit(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		r.conf.GhostLimit = 2
		r.restart(false)
		sp, _ := r.follow("")
		gate := make(chan struct{})
		defer close(gate)
		r.apply(func(id shape.ID, _ *wal.Change) {
			if id == sp.ID() {
				<-gate
			}
		})
		r.put("a", 0, 1)
		select {
		case err := <-r.engine.Ended():
			if !errors.Is(err, ingest.ErrGhosts) {
				r.Errorf("it ended with %v", err)
			}
		case <-time.After(time.Hour):
			r.Errorf("it goes on with %d ghosts", len(r.engine.Ingest.Status().Ghosts))
		}
	})
}

// A count of strikes outlives the process.
func TestStrikesOutliveARestart(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		sp, reader := r.follow("")
		var strikes atomic.Int64
		gate := make(chan struct{})
		r.apply(func(shape.ID, *wal.Change) {
			if strikes.Add(1) > 2 {
				<-gate
				return
			}
			panic(errBoom)
		})
		r.put("a", 0, 1)
		r.until("two strikes", func() bool { return r.engine.Ingest.Status().StallsTotal == 2 })
		r.until("the strikes to be kept", func() bool {
			all, err := r.engine.Registry.Strikes()
			if err != nil {
				r.Fatal(err)
			}
			return all[sp.ID()] == registry.Strike{Place: all[sp.ID()].Place, Count: 2}
		})
		close(gate) // at the next start it panics again
		r.apply(func(shape.ID, *wal.Change) { panic(errBoom) })
		r.restart(true)
		r.gone(reader)
		if st := r.engine.Ingest.Status(); st.StallsTotal != 1 {
			r.Errorf("it took %d more strikes", st.StallsTotal)
		}
	})
}

// The journal is kept for a shape that leaves the stream until it is durable that
// it has: a crash before that brings it back, and it must not have a hole.
func TestHeldUntilItHasLeft(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		reached, gate := make(chan struct{}, 1), make(chan struct{})
		r.conf.BeforeQuarantine = func() {
			select {
			case reached <- struct{}{}:
			default:
			}
			<-gate
		}
		r.restart(false)
		sick, reader := r.follow("")
		_, well := r.follow("i > 5")
		stood := r.engine.Ingest.Boundary()
		r.apply(func(id shape.ID, _ *wal.Change) {
			if id == sick.ID() {
				panic(errBoom)
			}
		})
		r.put("a", 0, 20)
		select {
		case <-reached:
		case <-time.After(time.Minute):
			r.Fatal("it is not given up")
		}
		for n := range 20 {
			r.put("b", n, n+1)
			time.Sleep(time.Second)
		}
		r.settle(well)
		if b := r.engine.Ingest.Boundary(); b > r.pg.End() || b < stood || !r.engine.Ingest.Status().Held {
			r.Errorf("boundary %s, held %+v", b, r.engine.Ingest.Status())
		}
		if st := r.engine.Ingest.Status(); st.HeldBy != sick.ID() {
			r.Errorf("held by %d, want %d", st.HeldBy, sick.ID())
		}
		r.hook.Store(nil)
		close(gate)
		if reason := r.gone(reader); reason != shape.ReasonStalled {
			r.Errorf("gone for %q", reason)
		}
		r.released()
	})
}
