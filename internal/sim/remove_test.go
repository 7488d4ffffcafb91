package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// F18: a shape is removed while it owes, and the process is killed, or power is
// cut, before each single operation on the disk from then on, until the journal is
// given back and beyond. It is gone for good, or it is there without a hole.
func TestRemovedWithACrashAtEveryStep(t *testing.T) {
	for what, percent := range map[string]int{"kill": 100, "power cut": 0} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			points := 0
			for there := true; there && !t.Failed(); points++ {
				t.Run(fmt.Sprintf("point=%d", points+1), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { there = removed(t, points+1, percent) })
				})
			}
			if points < 20 {
				t.Errorf("there were %d points only", points)
			}
		})
	}
}

// removed reports whether the point was there.
func removed(t *testing.T, point, percent int) bool {
	w := newWorld(t, 18)
	w.conf.Shards, w.conf.Grace, w.conf.SegmentBytes = 2, 3*time.Second, 1000
	defer func() {
		if t.Failed() {
			w.tell()
		}
		w.close()
	}()
	w.start()
	for range 6 {
		w.create()
		w.storm()
	}
	w.settle()
	c := w.peers[0]
	sp := w.engine.Registry.ByHandle(c.Handle)
	w.twins(c.Handle, func(c *client) { c.hurt, c.removed = true, true })
	w.faults.add(sp.ID(), &fault{left: 1000})
	for range 3 {
		w.storm()
	}
	type moment struct {
		boundary wal.LSN
		left     *Disk
	}
	dead := make(chan moment, 1)
	w.conf.Disk.Before(point, func() {
		b := w.engine.Ingest.Boundary()
		dead <- moment{b, w.engine.die(percent, rand.New(rand.NewPCG(uint64(point), 18)))}
	})
	w.engine.Ingest.Remove(sp, shape.ReasonDeleted, "")
	w.storm()
	time.Sleep(5 * time.Second)
	w.storm()
	time.Sleep(3 * time.Second)
	w.conf.Disk.Before(0, nil)
	var m moment
	select {
	case m = <-dead:
	default:
		if got := w.engine.Registry.ByHandle(c.Handle); got != nil {
			t.Error("the shape is still there")
		}
		w.settle()
		return false
	}
	w.faults.heal()
	w.broken()
	if err := w.engine.Stop(); err != nil {
		t.Fatal(err)
	}
	w.conf.Disk = m.left
	w.again(m.boundary)
	w.settle()
	return true
}
