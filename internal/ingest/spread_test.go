package ingest

import (
	"sync/atomic"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, parts := range []int{1, 2, 3, 100} {
		done := make([]atomic.Int32, parts)
		spread(parts, func(p int) { done[p].Add(1) })
		for p := range done {
			if n := done[p].Load(); n != 1 {
				t.Errorf("part %d of %d was done %d times", p, parts, n)
			}
		}
	}
}

// A panic in any goroutine is the caller's.
func TestSpreadPanics(t *testing.T) {
	for bad := range 8 {
		func() {
			defer func() {
				if got := recover(); got != bad {
					t.Errorf("part %d panicked, the caller with %v", bad, got)
				}
			}()
			spread(8, func(p int) {
				if p == bad {
					panic(p)
				}
			})
		}()
	}
}
