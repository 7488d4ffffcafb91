package ingest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// A shape whose log cannot be continued is not continued by another worker either,
// however long it takes to write down that it has gone.
func TestGivenUpStaysGivenUp(t *testing.T) {
	for _, crash := range []bool{false, true} {
		bubble(t, 1, func(r *rig) {
			busy, release := r.holdQuarantine()
			given, a := r.follow("t::int4 > 0") // fails of a text that is no number
			_, b := r.follow("i >= 100")
			sick, _ := r.follow("i = 50")
			time.Sleep(time.Second) // all of it is durable
			var panics atomic.Bool
			r.apply(func(id shape.ID, _ *wal.Change) {
				if id == sick.ID() || id == 2 && panics.CompareAndSwap(true, false) {
					panic(errBoom)
				}
			})
			// One whose quarantine takes its time keeps the next who goes waiting.
			r.put("1", 50, 51)
			<-busy
			r.put("2", 0, 5)
			r.settle(a, b)
			tail := given.Tail()
			// It cannot be computed, and for its neighbour the worker is replaced.
			r.put("x", 200, 201)
			r.settle(b)
			panics.Store(true)
			r.put("3", 300, 301)
			r.put("4", 0, 5)
			r.settle(b)
			if _, err := a.Poll(r.engine.Registry); err != nil || given.Tail() != tail {
				r.Errorf("its log went on from %s to %s: %v", tail, given.Tail(), err)
			}
			if end := r.pg.End(); a.Seen+1 >= end {
				r.Errorf("its readers are told to have seen %s of %s", a.Seen, end)
			}
			if crash {
				time.Sleep(time.Second)
				time.AfterFunc(time.Second, func() { close(release) }) // what it does comes after the crash
				r.restart(true)
			} else {
				close(release)
			}
			// After a crash nobody tells who looks too late.
			if reason := r.gone(a); reason != shape.ReasonEvaluation && (reason != "" || !crash) {
				r.Errorf("it went for %q", reason)
			}
			r.settle(b)
			r.released()
		})
	}
}

// A shape that is removed while it is written down that it is ill goes.
func TestRemovedWhileQuarantined(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		busy, release := r.holdQuarantine()
		sick, a := r.follow("i = 50")
		r.apply(func(shape.ID, *wal.Change) { panic(errBoom) })
		r.put("1", 50, 51)
		<-busy
		r.engine.Ingest.Remove(sick, shape.ReasonSchema, "")
		close(release)
		if reason := r.gone(a); reason != shape.ReasonSchema {
			r.Errorf("it went for %q", reason)
		}
		if now := r.engine.Registry.ByHandle(a.Handle); now != nil {
			r.Errorf("it is there, %s", now.State())
		}
	})
}

// holdQuarantine starts anew, and has the first writing down of an illness wait until
// release is closed; busy is closed when it has come to that.
func (r *rig) holdQuarantine() (busy, release chan struct{}) {
	busy, release = make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	r.conf.BeforeQuarantine = func() {
		if once.CompareAndSwap(false, true) {
			close(busy)
			<-release
		}
	}
	r.restart(false)
	return busy, release
}
