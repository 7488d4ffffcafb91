package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// gcPercent is how much the heap may grow before it is collected: memory is what
	// many shapes and a large transaction cost.
	gcPercent = 50
	// memoryFloor is what the runtime may take before it collects more often than
	// that, in bytes: a burst must not leave a few hundred MiB of garbage behind.
	memoryFloor = 160 << 20
	memoryLook  = 200 * time.Millisecond
)

// frugal keeps the process small, unless GOGC or GOMEMLIMIT say what is wanted. It
// returns how to end it.
func frugal(ctx context.Context) (end func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryFloor)
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		t := time.NewTicker(memoryLook)
		defer t.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			// What is alive must never come near the limit.
			metrics.Read(live)
			debug.SetMemoryLimit(max(memoryFloor, 3*int64(live[0].Value.Uint64())/2))
		}
	})
	return func() {
		cancel()
		watch.Wait()
	}
}
