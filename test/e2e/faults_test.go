package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The cases of flush-tracking §2, on the real binary and a real Postgres.

const stopSignal = syscall.SIGTERM

// tick changes rows of every shape in these tests.
const tick = "UPDATE items SET n = n + 1 WHERE id IN (1, 2, 3)"

// crowd is one shape that a fault is made for and others that must not notice.
type crowd struct {
	t       *testing.T
	db      *pgtest.DB
	victim  *follower
	others  []*follower
	wheres  []string // of the others
	service *service
}

func newCrowd(t *testing.T, settings ...string) *crowd {
	t.Helper()
	return crowdOf(t, pgtest.New(t), settings...)
}

func crowdOf(t *testing.T, db *pgtest.DB, settings ...string) *crowd {
	t.Helper()
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 300))
	c := &crowd{t: t, db: db, service: newFaulty(t, db.URL, settings...)}
	c.victim = newFollower(c.service.url, "table", "items")
	c.victim.until(t, 30*time.Second, "the first sync", func() error { return nil })
	// More than there are shards: some of them share the victim's worker.
	for _, where := range []string{"id < 200", "id > 0", "id = 2", "id IN (1, 3, 5)"} {
		f := newFollower(c.service.url, "table", "items", "where", where)
		f.until(t, 30*time.Second, "the first sync", func() error { return nil })
		c.others, c.wheres = append(c.others, f), append(c.wheres, " WHERE "+where)
	}
	return c
}

// well checks that the others have everything and were never rotated.
func (c *crowd) well(when string) {
	c.t.Helper()
	for i, f := range c.others {
		f.until(c.t, 30*time.Second, "another shape to equal SELECT "+when, func() error {
			return sameRows(f.items(), itemsOf(c.db, c.wheres[i]))
		})
		if f.rotations != 0 {
			c.t.Fatalf("another shape was rotated %s", when)
		}
	}
}

// recovers checks that the victim has everything, after so many rotations in all.
func (c *crowd) recovers(when string, rotations int) {
	c.t.Helper()
	c.victim.until(c.t, 30*time.Second, "the victim to equal SELECT "+when, func() error {
		return sameRows(c.victim.items(), itemsOf(c.db, ""))
	})
	if c.victim.rotations != rotations {
		c.t.Fatalf("%s: %d rotations of the victim, want %d", when, c.victim.rotations, rotations)
	}
}

// afresh checks that a client who begins now gets the rows and messages that the
// victim's got.
func (c *crowd) afresh(when string) {
	c.t.Helper()
	again := newFollower(c.service.url, "table", "items")
	again.until(c.t, 30*time.Second, "a new client to equal SELECT "+when, func() error {
		return sameRows(again.items(), itemsOf(c.db, ""))
	})
	if again.handle != c.victim.handle {
		c.t.Fatalf("%s: a new client gets handle %s, the old one has %s", when, again.handle, c.victim.handle)
	}
	if !slices.Equal(again.order, c.victim.order) {
		c.t.Errorf("%s: a new client is given %d messages, the old one got %d, or in another order", when, len(again.order), len(c.victim.order))
	}
}

// found waits until the status page shows the newest of n stalls, with the
// evidence.
func (c *crowd) found(n int, cause, stack string) {
	c.t.Helper()
	eventually(c.t, 20*time.Second, "the stall to be found", func() error {
		st := c.service.stand()
		if st.StallsTotal < n {
			return fmt.Errorf("%d stalls", st.StallsTotal)
		}
		got := st.Stalled[len(st.Stalled)-1]
		if got.Handle != c.victim.handle || !strings.Contains(got.Cause, cause) || !strings.Contains(got.Stack, stack) || !strings.HasPrefix(got.Stack, "goroutine ") {
			c.t.Fatalf("stall of %s: %+v; want shape %s, cause %q, a stack with %s", got.Handle, got, c.victim.handle, cause, stack)
		}
		return nil
	})
}

// F1, F2, F6: a consumer that waits or loops for ever. Postgres is not held back;
// the shape is found, named and restarted under its handle if that helps, and
// given up alone if not; who woke up late changes nothing.
func TestStuckConsumer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"block", "spin"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			s := c.service
			stack := "chaos.(*fault)." + kind
			w := watchAcks(t, c.db, tick)

			lift := s.fault(`{"fault":%q,"shape":%q,"times":1}`, kind, c.victim.handle)
			c.found(1, "no progress", stack)
			s.ghosts(1)
			w.quiet(func() {
				c.well("while one worker hangs")
				c.recovers("while its old worker hangs", 0)
			})
			lift()
			s.ghosts(0)
			w.quiet(func() {
				c.recovers("after the zombie woke", 0)
				c.afresh("after the zombie woke")
			})

			lift = s.fault(`{"fault":%q,"shape":%q}`, kind, c.victim.handle)
			c.found(2, "no progress", stack)
			w.quiet(func() { c.well("while the fault is on") })
			lift()
			w.quiet(func() {
				c.recovers("after the fault was lifted", 0)
				c.well("after the fault was lifted")
				c.afresh("after the fault was lifted")
			})
			s.ghosts(0)

			lift = s.fault(`{"fault":%q,"shape":%q}`, kind, c.victim.handle)
			eventually(t, 30*time.Second, "the shape to be given up", func() error {
				if r := s.stand().Removed; r["stalled"] != 1 || len(r) != 1 {
					return fmt.Errorf("removed: %v", r)
				}
				return nil
			})
			s.ghosts(4)                      // set aside once, and three strikes
			c.found(5, "no progress", stack) // the evidence outlives the shape
			w.quiet(func() {
				c.well("after the third strike")
				c.recovers("after the third strike", 1)
			})
			lift()
			s.ghosts(0)
			w.quiet(func() {
				c.well("at the end")
				c.recovers("at the end", 1)
				c.afresh("at the end")
			})
			w.promise()
		})
	}
}

// F4: a panic once costs a pause; a row that makes a consumer panic every time
// costs that shape its handle, once.
func TestPanickingConsumer(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	s := c.service
	w := watchAcks(t, c.db, tick)
	s.fault(`{"fault":"panic","shape":%q}`, c.victim.handle)
	c.found(1, "panic: chaos c1", "chaos.(*Faults).BeforeApply")
	w.quiet(func() {
		c.recovers("after a panic", 0)
		c.well("after a panic")
		c.afresh("after a panic")
	})
	s.fault(`{"fault":"panic-row","shape":%q,"key":%q}`, c.victim.handle, `"public"."items"/"77"`)
	c.db.Exec("UPDATE items SET n = -1 WHERE id = 77")
	eventually(t, 20*time.Second, "the shape to be given up", func() error {
		if r := s.stand().Removed; r["stalled"] != 1 || len(r) != 1 {
			return fmt.Errorf("removed: %v", r)
		}
		return nil
	})
	// One stall of before and three strikes at one place. The row may be met once
	// more on the way: when the shape comes back to its shard at a position before
	// the row, the count begins there.
	st := s.stand()
	last := st.Stalled[len(st.Stalled)-1]
	if st.StallsTotal < 4 || st.StallsTotal > 5 || last.Strikes != 3 || !strings.Contains(last.Cause, "panic: chaos c2") {
		t.Errorf("%d stalls, the last %+v", st.StallsTotal, last)
	}
	c.db.Exec("UPDATE items SET n = -2 WHERE id = 77")
	w.quiet(func() {
		c.recovers("after the row's third panic", 1)
		c.well("after the row's third panic")
		c.afresh("after the row's third panic")
	})
	s.ghosts(0)
	w.promise()
}

// F7: a snapshot that waits, for a lock or for an answer, holds nobody up, and
// its client waits or is told when to come again.
func TestBlockedSnapshot(t *testing.T) {
	t.Parallel()
	// A server of its own: while its lock is held, no slot can be made.
	c := crowdOf(t, pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}}))
	s := c.service
	c.db.Exec("CREATE TABLE locked (id int PRIMARY KEY, body text); INSERT INTO locked SELECT i, i FROM generate_series(1, 50) i")
	conn := c.db.Conn()
	if _, err := conn.PgConn().Exec(t.Context(), "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE").ReadAll(); err != nil {
		t.Fatal(err)
	}
	w := watchAcks(t, c.db, tick)
	rows := func(f *follower, want int) func() error {
		return func() error {
			if len(f.rows) != want {
				return fmt.Errorf("%d rows, want %d", len(f.rows), want)
			}
			return nil
		}
	}
	f := newFollower(s.url, "table", "locked")
	var asking sync.WaitGroup
	asking.Go(func() { f.until(t, 60*time.Second, "first rows behind a lock", rows(f, 51)) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*grace)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"?table=locked&offset=-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case ctx.Err() != nil: // it waits
	case err != nil:
		t.Errorf("while the table is locked: %v", err)
	default:
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("retry-after") == "" {
			t.Errorf("while the table is locked: %s, retry-after %q", resp.Status, resp.Header.Get("retry-after"))
		}
	}
	w.quiet(func() {
		c.well("while a table is locked")
		c.recovers("while a table is locked", 0)
	})
	if _, err := conn.PgConn().Exec(t.Context(), "INSERT INTO locked VALUES (51, 'late'); COMMIT").ReadAll(); err != nil {
		t.Fatal(err)
	}
	asking.Wait()

	lift := s.fault(`{"fault":"snapshot-hang"}`)
	f = newFollower(s.url, "table", "locked", "where", "id > 10")
	asking.Go(func() { f.until(t, 60*time.Second, "first rows that hang", rows(f, 41)) })
	eventually(t, 20*time.Second, "the snapshot to hang", func() error {
		var all []struct{ Hits int }
		s.chaos(http.MethodGet, "", "", &all)
		if len(all) != 1 || all[0].Hits == 0 || s.stand().Shapes.Snapshotting != 1 {
			return fmt.Errorf("faults %v, shapes %+v", all, s.stand().Shapes)
		}
		return nil
	})
	w.quiet(func() { c.well("while a snapshot hangs") })
	lift()
	asking.Wait()
	w.promise()
	s.nobodySuffered()
}

// F9: the process is frozen for longer than the grace, with work in hand.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	s := c.service
	pid := s.cmd.Process
	for range 3 {
		c.db.Exec("UPDATE items SET n = n + 1")
		if err := pid.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.db.Exec("UPDATE items SET n = n + 1")
		<-time.After(2*grace + grace/2) // the fault is that it lasts
		if err := pid.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		c.well("after a freeze")
		c.recovers("after a freeze", 0)
	}
	s.nobodySuffered()
}

// F8, F10: the journal's disk is full, or hangs. What is there is served, nothing
// is confirmed, nobody is given up, and it goes on by itself.
func TestJournalDisk(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	s := c.service
	confirmed := func() string {
		return c.db.Value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + "spillway_slot_" + streamID(t) + "'")
	}
	reached := func(lsn string) bool {
		return c.db.Value("SELECT '"+confirmed()+"'::pg_lsn >= '"+lsn+"'::pg_lsn") == "t"
	}
	for _, kind := range []string{"journal-full", "fsync-hang"} {
		lift := s.fault(`{"fault":%q}`, kind)
		before := itemsOf(c.db, "")
		c.db.Exec("UPDATE items SET n = n + 1")
		end := c.db.Value("SELECT pg_current_wal_lsn()")
		eventually(t, 20*time.Second, kind+": the state to be told", func() error {
			if st := s.stand(); st.Health != "degraded" || !strings.Contains(st.Reason, "journal") || st.Storage.State != map[string]string{"journal-full": "full", "fsync-hang": "stalled"}[kind] {
				return fmt.Errorf("health %s (%s), storage %s", st.Health, st.Reason, st.Storage.State)
			}
			return nil
		})
		if code, body := get(t, s.admin+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "degraded") {
			t.Errorf("%s: /readyz: %d %s", kind, code, body)
		}
		if code, body := get(t, strings.TrimSuffix(s.url, "shape")+"health"); code != http.StatusOK {
			t.Errorf("%s: clients can be served, but their health check says %d %s", kind, code, body)
		}
		// Longer than the grace, and the disk is no shape's fault.
		for end := time.Now().Add(2 * grace); time.Now().Before(end); {
			f := newFollower(s.url, "table", "items")
			f.until(t, 20*time.Second, kind+": what is there to be served", func() error { return sameRows(f.items(), before) })
			if f.handle != c.victim.handle {
				t.Fatalf("%s: handle %s instead of %s", kind, f.handle, c.victim.handle)
			}
		}
		if reached(end) {
			t.Errorf("%s: Postgres was told that %s is flushed, which cannot be written", kind, end)
		}
		lift()
		c.well("after " + kind)
		c.recovers("after "+kind, 0)
		eventually(t, 20*time.Second, kind+": to go on by itself", func() error {
			if st := s.stand(); st.Health != "active" || !reached(end) {
				return fmt.Errorf("health %s (%s), confirmed %s, want %s", st.Health, st.Reason, confirmed(), end)
			}
			return nil
		})
	}
	s.nobodySuffered()
}

// F11: an fsync of the journal fails. Nobody can know what is on the disk, so the
// process ends; the next one has everything.
func TestFsyncError(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	s := c.service
	c.db.Exec("UPDATE items SET n = n + 1")
	c.recovers("before the fault", 0)
	s.fault(`{"fault":"fsync-error"}`)
	c.db.Exec("UPDATE items SET n = n + 1")
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		t.Fatal("the process goes on after a failed fsync")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	contains(t, s.log.String(), "input/output error", "journal")
	s.start()
	c.recovers("after the restart", 0)
	c.well("after the restart")
	c.afresh("after the restart")
}

// F21: Postgres restarts; then the network goes silent, without a FIN, and comes
// back. Long-polls go on waiting, and nobody is given up.
func TestPostgresCutOff(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical", "wal_sender_timeout": "2s"}})
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 100))
	net := newWire(t, db.Server.Port())
	s := newFaulty(t, net.url(t, db.URL))
	f := newFollower(s.url, "table", "items")
	f.until(t, 30*time.Second, "the first sync", func() error { return nil })
	if err := db.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "Postgres to be back", func() error { return db.Try("SELECT 1") })
	db.Exec("UPDATE items SET n = n + 1")
	f.until(t, 30*time.Second, "what was written after a restart", func() error { return sameRows(f.items(), itemsOf(db, "")) })
	still := itemsOf(db, "")
	session := s.status()["sessions"]

	net.cut()
	db.Exec("UPDATE items SET n = n + 1")
	eventually(t, 30*time.Second, "the silence to be noticed", func() error {
		// What is there is served meanwhile.
		again := newFollower(s.url, "table", "items")
		again.until(t, 20*time.Second, "an answer while the network is silent", func() error { return sameRows(again.items(), still) })
		if st := s.stand(); st.Health == "active" {
			return fmt.Errorf("health %s", st.Health)
		}
		return nil
	})
	net.mend()
	f.until(t, 30*time.Second, "what was written while the network was silent", func() error { return sameRows(f.items(), itemsOf(db, "")) })
	if f.rotations != 0 {
		t.Errorf("%d rotations", f.rotations)
	}
	if now := s.status()["sessions"]; now == session {
		t.Errorf("still session %v", now)
	}
	s.nobodySuffered()
}

// A stop does not wait for who hangs.
func TestStopWithAGhost(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	s := c.service
	s.fault(`{"fault":"block","shape":%q,"times":1}`, c.victim.handle)
	c.db.Exec("UPDATE items SET n = n + 1")
	c.found(1, "no progress", "chaos.(*fault).block")
	s.fault(`{"fault":"block","shape":%q}`, c.victim.handle)
	c.db.Exec("UPDATE items SET n = n + 1")
	c.well("with workers that hang")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.start()
	c.recovers("after a restart", 0)
	c.well("after a restart")
	c.afresh("after a restart")
}
