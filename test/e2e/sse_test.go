package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The official client on streams of events, each of which ends after a second and
// a half: it sees every change of every transaction once, although it only knows
// the transactions' numbers.
func TestOfficialClientStreams(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key, name text not null)")
	s := newService(t, pg.URL, "SPILLWAY_SSE_TIMEOUT=1500ms")
	client := follow(t, s.url, map[string]any{"table": "boats"}, "sse")
	eventually(t, 30*time.Second, "the first sync", func() error {
		if client.rows().UpToDates == 0 {
			return fmt.Errorf("not up to date")
		}
		return nil
	})
	const rows = 5 // of each transaction
	before, written := client.rows(), 0
	for began := time.Now(); time.Since(began) < 5*time.Second; { // over several streams
		pg.Exec(fmt.Sprintf("insert into boats select i, 'x' from generate_series(%d, %d) i", written+1, written+rows))
		written += rows
		eventually(t, 30*time.Second, "the rows", func() error {
			if h := client.rows(); len(h.Dump) != written {
				return fmt.Errorf("%d rows of %d", len(h.Dump), written)
			}
			return nil
		})
	}
	h := client.rows()
	// An up-to-date counts as a message too.
	if changes := h.Messages - before.Messages - (h.UpToDates - before.UpToDates); changes != written || h.Refetches != 0 {
		t.Errorf("%d messages for %d changes, %d refetches", changes, written, h.Refetches)
	}
}
