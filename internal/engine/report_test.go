package engine

import (
	"runtime"
	"testing"
)

// Ghosts get processors on top of those that we may use, and not of those that the
// machine has: beyond a container's limit all are stopped for the rest of each period.
func TestSpare(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "1") // it was said how many
	for _, c := range []struct{ ghosts, want int }{{1, 2}, {spared + 3, 1 + spared}, {0, 1}} {
		spare(1, c.ghosts)
		if got := runtime.GOMAXPROCS(0); got != c.want {
			t.Errorf("%d processors with %d ghosts, not %d", got, c.ghosts, c.want)
		}
	}
}
