package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The official client with events and without: a quiet start makes three
// requests and no more while nothing happens (216), one that does not subscribe
// stops when it is up to date (214), a crash goes unnoticed, and a rotation,
// whose 409 has a reason that the client does not know, is one start anew.
func TestOfficialClientEvents(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 200))
	s := newService(t, db.URL, "SPILLWAY_LONG_POLL_TIMEOUT=3s")
	shape := map[string]any{"table": "items"}
	once := follow(t, s.url, shape, "once")
	clients := map[string]*official{"events": follow(t, s.url, shape, "sse"), "poll": follow(t, s.url, shape)}
	equal := func(what string) {
		t.Helper()
		for name, c := range clients {
			eventually(t, 60*time.Second, name+": "+what, func() error { return sameRows(heldBy(c.rows().Dump), itemsOf(db, "")) })
		}
	}
	equal("the first sync")
	eventually(t, 30*time.Second, "the live request", func() error {
		if n := clients["events"].rows().Requests; n != 3 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	first := itemsOf(db, "")
	db.Exec("UPDATE items SET n = n + 1 WHERE id < 50; DELETE FROM items WHERE id = 60")
	equal("changes")
	if n := clients["events"].rows().Requests; n != 3 {
		t.Errorf("%d requests with events, want 3", n)
	}
	if h := once.rows(); h.Requests != 2 || sameRows(heldBy(h.Dump), first) != nil {
		t.Errorf("the client that does not subscribe made %d requests and holds %d rows", h.Requests, len(h.Dump))
	}
	s.crash()
	s.start()
	db.Exec("UPDATE items SET n = n + 1 WHERE id < 20")
	equal("a crash")
	for name, c := range clients {
		if n := c.rows().Refetches; n != 0 {
			t.Errorf("%s: %d rotations by a crash", name, n)
		}
	}
	db.Exec(fmt.Sprintf("TRUNCATE items; "+itemsRow, 100, 150))
	equal("a rotation")
	for name, c := range clients {
		if n := c.rows().Refetches; n != 1 {
			t.Errorf("%s: %d rotations, want 1", name, n)
		}
	}
}
