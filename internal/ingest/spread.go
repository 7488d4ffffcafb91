package ingest

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// spread is the route.Spread of all indexes: a goroutine for each processor but
// the caller's, for the time of one change. Clauses that the index cannot look
// up are few in most deployments; where there are ten thousand, evaluating them
// is what the spine does, and starting goroutines costs a thousandth of it.
func spread(parts int, do func(part int)) {
	var next atomic.Int32
	work := func() {
		for p := int(next.Add(1)) - 1; p < parts; p = int(next.Add(1)) - 1 {
			do(p)
		}
	}
	var others sync.WaitGroup
	failures := make([]any, min(parts, runtime.GOMAXPROCS(0))-1)
	for i := range failures {
		others.Go(func() {
			// What panics must do so where the spine, or a worker, deals with it.
			defer func() { failures[i] = recover() }()
			work()
		})
	}
	func() {
		defer others.Wait()
		work()
	}()
	for _, f := range failures {
		if f != nil {
			panic(f)
		}
	}
}
