package ingest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// What a shape costs in memory all in: registry, router, consumer, definition,
// tracker, and whatever else the machinery keeps of it. Pebble's memtables and caches
// are left out, which have a size of their own however many shapes there are, and so
// is the disk in memory.
func TestMemoryOfAShape(t *testing.T) {
	const n, budget = 10_000, 1536
	rate := runtime.MemProfileRate
	runtime.MemProfileRate = 1 // every allocation is noted with its stack
	defer func() { runtime.MemProfileRate = rate }()
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
		create(0, 1000)
		before := ours()
		create(1000, 1000+n)
		per := (ours() - before) / n
		t.Logf("%d bytes a shape", per)
		if per > budget {
			t.Errorf("%d bytes a shape, the budget is %d", per, budget)
		}
	})
}

// ours is how much memory is in use that neither Pebble nor the simulation has
// allocated, in bytes.
func ours() (bytes int64) {
	runtime.GC()
	runtime.GC() // a profile is as of the collection before
	var records []runtime.MemProfileRecord
	for n, ok := runtime.MemProfile(nil, false); !ok; {
		records = make([]runtime.MemProfileRecord, n+100)
		if n, ok = runtime.MemProfile(records, false); ok {
			records = records[:n]
		}
	}
	for i := range records {
		if !theirs(records[i].Stack()) {
			bytes += records[i].InUseBytes()
		}
	}
	return bytes
}

func theirs(stack []uintptr) bool {
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "cockroachdb/pebble") || strings.Contains(f.Function, "internal/sim.(*Disk)") {
			return true
		}
		if !more {
			return false
		}
	}
}
