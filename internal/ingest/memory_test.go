package ingest_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/internal/sim"
)

// What a shape costs in memory all in: registry, catalogue, router, consumer,
// definition, tracker, and whatever else the machinery keeps of it. The disk in memory
// is taken off, but for what it keeps of files that have gone. (2026-11-25: 1,200
// bytes, and 1,470 on the average of all, with what the maps grow by at once.)
func TestMemoryOfAShape(t *testing.T) {
	const n, blocks, budget = 3_000, 7, 1536
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
		create(0, 1000)
		// What waits to be written to files comes and goes, some MiB at a time: it
		// falls upon few of these.
		var all []int
		for k := range blocks {
			before := heap()
			create(1000+k*n, 1000+(k+1)*n)
			all = append(all, (heap()-before)/n)
		}
		slices.Sort(all)
		per := all[blocks/2]
		t.Logf("%d bytes a shape, of %d", per, all)
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
