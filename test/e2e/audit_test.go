package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// F19: whatever is done to slot and publication behind a running service's back
// is found, also on a quiet database; readiness says so with the cause; every
// shape rotates.
func TestAudit(t *testing.T) {
	t.Parallel()
	for name, sabotage := range map[string]string{
		"dropped":     `SELECT pg_drop_replication_slot('%[1]s')`,
		"recreated":   `SELECT pg_drop_replication_slot('%[1]s'), pg_create_logical_replication_slot('%[1]s', 'pgoutput')`,
		"advanced":    `SELECT pg_replication_slot_advance('%[1]s', pg_current_wal_lsn())`,
		"publication": `DROP PUBLICATION %[2]s`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 20))
			s := newService(t, db.URL)
			f := newFollower(s.url, "table", "items")
			f.until(t, 30*time.Second, "the first sync", func() error { return nil })
			id := streamID(t)
			sql := fmt.Sprintf(sabotage, "spillway_slot_"+id, "spillway_publication_"+id)
			if name == "publication" {
				db.Exec(sql)
			} else {
				// The process sleeps, so that its walsender can be sent away and the
				// slot be changed before it is back.
				s.freeze(func() {
					db.Exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'spillway_slot_` + id + `' AND active`)
					eventually(t, 20*time.Second, "the slot to be free", func() error {
						return db.Try(`SELECT 1/count(*) FROM pg_replication_slots WHERE slot_name = 'spillway_slot_` + id + `' AND NOT active`)
					})
					db.Exec(fmt.Sprintf(itemsRow, 100, 100))
					db.Exec(sql)
				})
			}
			eventually(t, 15*time.Second, "the shapes to be rotated", func() error {
				if n := s.stand().Removed["continuity_lost"]; n != 1 {
					return fmt.Errorf("%d removed", n)
				}
				return nil
			})
			f.until(t, 30*time.Second, "the client to equal SELECT", func() error { return sameRows(f.items(), itemsOf(db, "")) })
			if f.rotations != 1 {
				t.Errorf("%d rotations", f.rotations)
			}
			eventually(t, 15*time.Second, "to be ready again", func() error {
				if code, body := get(t, s.admin+"/readyz"); code != http.StatusOK {
					return fmt.Errorf("%d %s", code, body)
				}
				return nil
			})
			if log := s.log.String(); !strings.Contains(log, "continuity cannot be proven") {
				t.Error("the log does not say why")
			}
		})
	}
}

// F20: a long transaction elsewhere holds restart_lsn. Nobody is given up, and the
// status names the one who does.
func TestRestartHolder(t *testing.T) {
	t.Parallel()
	// A server of its own: while its transaction is open, no slot can be made.
	c := crowdOf(t, pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}}))
	conn := c.db.Conn()
	if _, err := conn.PgConn().Exec(t.Context(), "SET application_name = 'sleeper'; BEGIN; CREATE TABLE unfinished (secret text DEFAULT 'hush'); INSERT INTO unfinished VALUES ('geheim')").ReadAll(); err != nil {
		t.Fatal(err)
	}
	pid := conn.PgConn().PID()
	c.db.Exec("CREATE TABLE noise (b text)")
	w := watchAcks(t, c.db, tick)
	eventually(t, 60*time.Second, "the holder to be named", func() error {
		c.db.Exec("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
		c.db.Exec("CHECKPOINT")
		held := c.service.stand().Postgres.HeldBy
		if !strings.Contains(held, fmt.Sprintf("pid %d", pid)) {
			return fmt.Errorf("held by %q", held)
		}
		for _, part := range []string{"sleeper", "for ", "CREATE TABLE unfinished"} {
			if !strings.Contains(held, part) {
				t.Errorf("%q does not tell %q", held, part)
			}
		}
		if strings.Contains(held, "geheim") {
			t.Errorf("%q tells a value", held)
		}
		return nil
	})
	w.quiet(func() {
		c.well("while a long transaction is open")
		c.recovers("while a long transaction is open", 0)
	})
	// A second instance cannot even make its slot, and says why.
	late := prepareService(t, c.db.URL, "SPILLWAY_STREAM_ID=late")
	late.launch()
	eventually(t, 30*time.Second, "the one that a new slot waits for to be named", func() error {
		if !strings.Contains(late.log.String(), "spillway: operators on") {
			return errors.New("it does not listen yet")
		}
		if code, body := get(t, late.admin+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, fmt.Sprintf("pid %d", pid)) {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	if _, err := conn.PgConn().Exec(t.Context(), "ROLLBACK").ReadAll(); err != nil {
		t.Fatal(err)
	}
	c.service.nobodySuffered()
	w.promise()
}

// The WAL that Postgres keeps for us has a budget of its own: either it is told,
// or, if the operator chose so, the slot goes before Postgres's disk does.
func TestWALBudget(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"hold", "drop-slot"} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, "SPILLWAY_WAL_BUDGET=16MiB", "SPILLWAY_ON_WAL_BUDGET="+choice)
			s := c.service
			c.db.Exec("CREATE TABLE noise (b text)")
			lift := s.fault(`{"fault":"journal-full"}`)
			told := false
			write := func() {
				c.db.Exec(tick)
				c.db.Exec("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 500)")
			}
			eventually(t, 90*time.Second, "the budget to be told of", func() error {
				write()
				st := s.stand()
				if choice == "hold" {
					told = strings.Contains(st.Postgres.Audit, "budget") && st.Health == "degraded"
				} else {
					told = strings.Contains(s.log.String(), "the slot is dropped")
				}
				if !told {
					return fmt.Errorf("audit %q, retained %d", st.Postgres.Audit, *orZero(st.Postgres.RetainedBytes))
				}
				return nil
			})
			lift()
			rotations := 0
			if choice == "drop-slot" {
				rotations = 1
			}
			c.recovers("after the budget was reached", rotations)
			for i, f := range c.others {
				f.until(t, 30*time.Second, "another shape to equal SELECT", func() error { return sameRows(f.items(), itemsOf(c.db, c.wheres[i])) })
				if f.rotations != rotations {
					t.Errorf("another shape: %d rotations, want %d", f.rotations, rotations)
				}
			}
			eventually(t, 30*time.Second, "the service to be well", func() error {
				if st := s.stand(); st.Health != "active" || st.Postgres.Audit != "" || *orZero(st.Postgres.RetainedBytes) > 16<<20 {
					return fmt.Errorf("%s, audit %q, retained %d", st.Health, st.Postgres.Audit, *orZero(st.Postgres.RetainedBytes))
				}
				return nil
			})
		})
	}
}

func orZero(p *int64) *int64 {
	if p == nil {
		return new(int64)
	}
	return p
}

// On a quiet database a canary message proves that the stream flows, and tells when
// it does not.
func TestFreshness(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	s := newFaulty(t, db.URL, "SPILLWAY_CANARY_EVERY=200ms")
	came := func() error {
		if p := s.stand().Postgres; p.CanarySeconds == nil || p.Audit != "" {
			return fmt.Errorf("canary %v, audit %q", p.CanarySeconds, p.Audit)
		}
		return nil
	}
	eventually(t, 20*time.Second, "a canary", came)
	lift := s.fault(`{"fault":"fsync-hang"}`)
	eventually(t, 30*time.Second, "the stream to be late", func() error {
		if a := s.stand().Postgres.Audit; !strings.Contains(a, "has not come through") {
			return fmt.Errorf("audit %q", a)
		}
		return nil
	})
	lift()
	eventually(t, 30*time.Second, "another canary", came)
}
