package pgquery

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Who reads first rows and cannot is named with the one in his way, whatever the name
// of the table.
func TestLockWaits(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create table "Mixed Case" (i int)`)
	db := open(t, pg, func(c *Config) { c.LockLimit = firstRowLimit })
	def := all(table(t, db, "Mixed Case"))
	conn := session(t, pg, `begin; lock table "Mixed Case"`)
	done := make(chan error, 1)
	go func() {
		done <- db.Snapshot(t.Context(), def, func(wal.Snapshot, []Edge) error { return nil }, func(wal.Tuple) error { return nil })
	}()
	eventually(t, "the snapshot waits for the table", func() bool {
		waits, err := db.LockWaits(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(waits) == 1 && waits[0] == LockWait{Relation: def.Table.OID, Blocker: int32(conn.PgConn().PID())}
	})
	run(t, conn, "commit")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
