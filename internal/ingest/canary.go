package ingest

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	canaryEvery = time.Second
	// canaryLate is when the canary is missed at the latest.
	canaryLate = 5 * time.Second
)

// canary writes and fsyncs a few bytes each second. While it is late, nobody who
// makes no progress is to blame for it: it is the disk.
type canary struct {
	write func() error
	late  time.Duration

	began atomic.Int64 // by clock, in ns; 0: none is under way
	last  atomic.Int64 // how long the last one took, in ns
	clock time.Time
}

// newCanary returns a canary that is missed within half a grace: before anybody
// is suspected.
func newCanary(write func() error, grace time.Duration) *canary {
	return &canary{write: write, late: min(grace/2, canaryLate), clock: time.Now()}
}

func (c *canary) run(ctx context.Context) error {
	if c.write == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	t := time.NewTicker(min(canaryEvery, c.late))
	defer t.Stop()
	// A write that hangs must not hold up the end of the process: it is left to
	// itself then, the one thing here that nobody waits for.
	jobs, done := make(chan struct{}), make(chan struct{}, 1)
	defer close(jobs)
	go func() {
		for range jobs {
			_ = c.write() // an error is no delay; those who keep data on the disk will meet it
			done <- struct{}{}
		}
	}()
	for {
		c.began.Store(int64(time.Since(c.clock)) + 1)
		select {
		case jobs <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-done:
			c.last.Store(int64(time.Since(c.clock)) + 1 - c.began.Load())
			c.began.Store(0)
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// took is how long the last write took, or the one under way if that is longer.
func (c *canary) took() time.Duration {
	took := time.Duration(c.last.Load())
	if began := c.began.Load(); began != 0 {
		took = max(took, time.Since(c.clock)+1-time.Duration(began))
	}
	return took
}
