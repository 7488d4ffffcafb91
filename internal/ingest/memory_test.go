package ingest_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/sim"
)

// What a shape costs in memory all in: registry, catalogue, router, consumer,
// definition, tracker, and whatever else the machinery keeps of it. The aim is 1.5
// KiB; on top of it comes what the disk in memory keeps of files that have grown
// or gone, about 430 bytes a shape by the heap profile (2026-11-25).
func TestMemoryOfAShape(t *testing.T) {
	const n, budget = 10_000, 1536 + 430
	bubble(t, 2, func(r *rig) {
		create := func(from, to int) {
			for k := from; k < to; k++ {
				r.create(fmt.Sprintf("i = %d", k))
				// A hundred at a time: a goroutine that has ended leaves its stack.
				if k%100 == 99 {
					r.until("all to be live", func() bool { return r.engine.Registry.Counts().Live == k+1 })
				}
			}
			r.released()
		}
		heap := func() int {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			// The disk in memory keeps what was synced besides what was written.
			return int(m.HeapAlloc) - 2*stored(r.conf.Disk, "/")
		}
		// What waits to be written to files comes and goes.
		least := func() int {
			low := heap()
			for range 10 {
				time.Sleep(3 * time.Second)
				low = min(low, heap())
			}
			return low
		}
		create(0, 1000)
		before := least()
		create(1000, 1000+n)
		per := (least() - before) / n
		t.Logf("%d bytes a shape", per)
		if per > budget {
			t.Errorf("%d bytes a shape, the budget is %d", per, budget)
		}
	})
}

// stored is how much there is in a directory, in bytes.
func stored(d *sim.Disk, dir string) (n int) {
	names, err := d.List(dir)
	if err != nil {
		return 0 // it has gone meanwhile
	}
	for _, name := range names {
		path := d.PathJoin(dir, name)
		info, err := d.Stat(path)
		switch {
		case err != nil: // gone
		case info.IsDir():
			n += stored(d, path)
		default:
			n += int(info.Size())
		}
	}
	return n
}
