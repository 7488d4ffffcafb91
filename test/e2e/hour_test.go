package e2e

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// Check-list 213, an hour of random writes, in numbers of requests: while nothing
// happens an hour takes 180 long polls of 20 s, or 60 streams of events of 60 s.
// Here a poll is held for 50 ms and a stream for 1.1 s (the client takes shorter
// ones for a proxy that buffers); 180 polls and 6 streams are waited for.
func TestOfficialClientForAnHour(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 1000))
	s := newService(t, db.URL, "SPILLWAY_LONG_POLL_TIMEOUT=50ms", "SPILLWAY_SSE_TIMEOUT=1100ms", "SPILLWAY_CHUNK_BYTES=20000")
	clients := map[string]*official{
		"polling": follow(t, s.url, map[string]any{"table": "items"}),
		"events":  follow(t, s.url, map[string]any{"table": "items"}, "sse"),
	}
	for name, c := range clients {
		eventually(t, 60*time.Second, name+": the first sync", func() error {
			return sameRows(heldBy(c.rows().Dump), itemsOf(db, ""))
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing sync.WaitGroup
	writing.Go(func() { writer(ctx, t, db, 213, math.MaxInt, 1200) })
	for name, requests := range map[string]int{"polling": 180, "events": 6} {
		first := clients[name].counts().Requests
		eventually(t, 120*time.Second, name+": an hour's requests", func() error {
			if n := clients[name].counts().Requests - first; n < requests {
				return fmt.Errorf("%d requests", n)
			}
			return nil
		})
	}
	cancel()
	writing.Wait()
	for name, c := range clients {
		eventually(t, 60*time.Second, name+" to equal SELECT", func() error {
			h := c.rows()
			if h.Refetches != 0 {
				t.Fatalf("%s had to start again %d times", name, h.Refetches)
			}
			return sameRows(heldBy(h.Dump), itemsOf(db, ""))
		})
	}
}
