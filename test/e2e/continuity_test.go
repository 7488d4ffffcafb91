package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// Whatever happens to slot and publication behind our back: a log with a hole is
// never served, every shape rotates, and the new ones equal SELECT.
func TestContinuity(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 20))
	s := newService(t, db.URL)
	slot := "spillway_slot_" + streamID(t)
	f := newFollower(s.url, "table", "items")
	next := 100
	equal := func(what string, rotations int) {
		t.Helper()
		before := f.rotations
		f.until(t, 60*time.Second, what, func() error {
			if f.rotations-before < rotations {
				return fmt.Errorf("no rotation after: %s", what)
			}
			return sameRows(f.items(), itemsOf(db, ""))
		})
		if got := f.rotations - before; got != rotations {
			t.Errorf("%s: %d rotations, want %d", what, got, rotations)
		}
		next++
		db.Exec(fmt.Sprintf(itemsRow, next, next))
		f.until(t, 60*time.Second, "a change after: "+what, func() error { return sameRows(f.items(), itemsOf(db, "")) })
	}
	// released waits until nobody reads the slot any more.
	released := func() {
		t.Helper()
		eventually(t, 20*time.Second, "the slot to be free", func() error {
			return db.Try(`SELECT 1/count(*) FROM pg_replication_slots WHERE slot_name = '` + slot + `' AND NOT active`)
		})
	}
	equal("the start", 0)

	s.stop()
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next))
	s.start()
	equal("a restart with changes in between", 0)

	s.stop()
	released()
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next))
	db.Exec(`SELECT pg_drop_replication_slot('` + slot + `')`)
	s.start()
	equal("the slot dropped while we were away", 1)

	s.stop()
	released()
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next))
	db.Exec(`SELECT pg_replication_slot_advance('` + slot + `', pg_current_wal_lsn())`)
	s.start()
	equal("the slot advanced while we were away", 1)

	eventually(t, 20*time.Second, "the slot to be dropped under our feet", func() error {
		db.Exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '` + slot + `' AND active`)
		return db.Try(`SELECT pg_drop_replication_slot('` + slot + `')`)
	})
	equal("the slot dropped while we were connected", 1)

	db.Exec(`DROP PUBLICATION spillway_publication_` + streamID(t))
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next)) // the stream ends with an error here
	equal("the publication dropped", 1)

	db.Exec(`DROP PUBLICATION spillway_publication_` + streamID(t))
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next))
	db.Exec(`CREATE PUBLICATION spillway_publication_` + streamID(t) + ` FOR TABLE items`)
	equal("the publication dropped and made anew", 1)

	db.Exec(`ALTER PUBLICATION spillway_publication_` + streamID(t) + ` RENAME TO other_` + streamID(t))
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next))
	db.Exec(`ALTER PUBLICATION other_` + streamID(t) + ` RENAME TO spillway_publication_` + streamID(t))
	equal("the publication renamed for a while", 1)

	s.stop()
	db.Exec(`ALTER PUBLICATION spillway_publication_` + streamID(t) + ` DROP TABLE items`)
	next++
	db.Exec(fmt.Sprintf(itemsRow, next, next))
	db.Exec(`ALTER PUBLICATION spillway_publication_` + streamID(t) + ` ADD TABLE items`)
	s.start()
	equal("the table not published while we were away", 1)

	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.launch()
	s.kill() // at any moment of the start
	s.start()
	equal("a crash while starting", 0)
}
