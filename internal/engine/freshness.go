package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// freshnessLook is how often it is looked whether a canary has come through. One that
// takes longer than the stall grace is late.
const freshnessLook = 10 * time.Millisecond

// freshness is how a quiet database is told from a stream that has stopped: from
// time to time Postgres is made to write a few bytes, and their position has to
// come through the slot, the journal and the spine. Shapes have no part in it: one
// that is stuck has a name of its own.
type freshness struct {
	took atomic.Int64           // ns of the last that came; 0: none has
	late atomic.Pointer[string] // what is said of one that does not come
}

// watchFreshness sends canaries as long as there is a session: without one, health
// says what is wrong already.
func (e *Engine) watchFreshness(ctx context.Context) {
	if e.cfg.CanaryEvery == 0 {
		return
	}
	t := time.NewTicker(e.cfg.CanaryEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if !e.streaming() {
			continue
		}
		limit, cancel := context.WithTimeout(ctx, auditLimit)
		at, err := e.db.EmitCanary(limit)
		cancel()
		if err != nil {
			e.log.Debug("send a canary", "err", err)
			continue
		}
		e.awaitCanary(ctx, at)
	}
}

// awaitCanary waits until a canary has come through, or the session has ended.
func (e *Engine) awaitCanary(ctx context.Context, at wal.LSN) {
	began, session := time.Now(), e.session.Load()
	t := time.NewTicker(freshnessLook)
	defer t.Stop()
	for e.stream.Load().ingest.Routed() < at {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if e.session.Load() != session {
			e.freshness.late.Store(nil)
			return
		}
		if passed := time.Since(began); passed > e.cfg.StallGrace && e.freshness.late.Load() == nil {
			what := fmt.Sprintf("the canary message that Postgres wrote at %s has not come through since %s", at, began.Format(time.TimeOnly))
			e.freshness.late.Store(&what)
			e.log.Warn("the stream is late", "why", what)
		}
	}
	if e.freshness.late.Swap(nil) != nil {
		e.log.Info("the stream has come through again", "after", time.Since(began))
	}
	e.freshness.took.Store(int64(time.Since(began)))
}

// freshnessStatus fills in how fresh the stream is.
func (e *Engine) freshnessStatus(st *Status) {
	if took := e.freshness.took.Load(); took > 0 {
		s := time.Duration(took).Seconds()
		st.Postgres.CanarySeconds = &s
	}
	if late := e.freshness.late.Load(); late != nil && st.Postgres.Audit == "" {
		st.Postgres.Audit = *late
	}
}
