package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// F14, in small if there is little time: one transaction of many rows over many shapes. It is seen whole,
// and takes a bounded part of the memory.
func TestHugeTransaction(t *testing.T) {
	// Not beside other tests: what it measures is the memory of one service.
	rows, shapes := 200_000, 20
	if long {
		rows, shapes = 1_000_000, 100
	}
	db := pgtest.New(t)
	db.Exec("CREATE TABLE big (id int PRIMARY KEY, g int, body text)")
	s := newService(t, db.URL, "SPILLWAY_CHUNK_BYTES=1MiB")
	followers := make([]*follower, shapes)
	for g := range followers {
		f := newFollower(s.url, "table", "big", "where", fmt.Sprintf("g = %d", g))
		f.until(t, 30*time.Second, "the empty shape", func() error { return nil })
		followers[g] = f
	}
	var all sync.WaitGroup
	for _, f := range followers {
		all.Go(func() {
			f.until(t, 60*time.Second, "the transaction", func() error {
				switch len(f.rows) {
				case 0:
					return fmt.Errorf("nothing yet")
				case rows / shapes:
					return nil
				}
				t.Errorf("up to date with %d rows: a part of a transaction", len(f.rows))
				return nil
			})
		})
	}
	start := time.Now()
	db.Exec(fmt.Sprintf("INSERT INTO big SELECT i, i %% %d, repeat('x', 60) FROM generate_series(1, %d) i", shapes, rows))
	committed := time.Since(start)
	all.Wait()
	t.Logf("committed after %s, with all clients after %s; at most %d MiB in memory", committed.Round(time.Millisecond),
		time.Since(start).Round(time.Millisecond), peak(t, s.cmd.Process.Pid)>>20)
	if p := peak(t, s.cmd.Process.Pid); p >= 256<<20 {
		t.Errorf("it took %d MiB of memory", p>>20)
	}
}

// peak is the most memory that a process had, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// F15: while others write in the same database and cluster, Postgres is told to
// keep nothing for us; nobody counts as stalled.
func TestIdle(t *testing.T) {
	t.Parallel()
	// A server of its own: other tests' WAL would be counted too.
	c := crowdOf(t, pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}}))
	s := c.service
	c.db.Exec("CREATE TABLE strange (id serial PRIMARY KEY, body text)")
	start := c.db.Value("SELECT pg_current_wal_lsn()")
	for range 6 {
		c.db.Exec("INSERT INTO strange (body) SELECT md5(i::text) FROM generate_series(1, 5000) i") // some 700 kB
		end := c.db.Value("SELECT pg_current_wal_lsn()")
		eventually(t, 20*time.Second, "WAL that does not concern us to be confirmed", func() error {
			if n := c.db.Value("SELECT confirmed_flush_lsn - '" + end + "'::pg_lsn FROM pg_replication_slots WHERE slot_name = 'spillway_slot_" + streamID(t) + "'"); strings.HasPrefix(n, "-") {
				return fmt.Errorf("%s bytes are missing", n[1:])
			}
			return nil
		})
	}
	c.db.Exec("CHECKPOINT")
	// restart_lsn follows with the records of running transactions that Postgres
	// writes by itself, every 15 s or at a checkpoint.
	eventually(t, 40*time.Second, "Postgres to keep nothing for us", func() error {
		if c.db.Value("SELECT restart_lsn > '"+start+"' FROM pg_replication_slots WHERE slot_name = 'spillway_slot_"+streamID(t)+"'") != "t" {
			return fmt.Errorf("restart_lsn is not behind %s", start)
		}
		return nil
	})
	s.nobodySuffered()
	c.well("after an idle time")
	c.recovers("after an idle time", 0)
}

// F17: a shape that filters out all that is routed to it owes nothing, and holds
// the journal for no moment: it need not wait for the next flush.
func TestFilteredOut(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 20))
	s := newFaulty(t, db.URL)
	f := newFollower(s.url, "table", "items", "where", "n = 5 AND body = 'never'")
	f.until(t, 30*time.Second, "the empty shape", func() error { return nil })
	behind := func(position, lsn string) func() error {
		return func() error {
			if at := s.stand().Positions[position]; db.Value("SELECT '"+at+"'::pg_lsn >= '"+lsn+"'::pg_lsn") != "t" {
				return fmt.Errorf("%s is %s, want %s", position, at, lsn)
			}
			return nil
		}
	}
	commit := func() string {
		before := db.Value("SELECT pg_current_wal_insert_lsn()")
		db.Exec("UPDATE items SET amount = amount + 1, n = 5")
		return before
	}
	eventually(t, 20*time.Second, "its beginning to be durable", behind("durable", commit()))
	var took []time.Duration
	for range 5 {
		lsn := commit()
		start := time.Now()
		eventually(t, 20*time.Second, "the routed to be durable", behind("durable", lsn))
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("durable after %s", took)
	// The shape log is flushed every two seconds: with waiting for it half of
	// them would take longer than one.
	if took[len(took)-2] > time.Second {
		t.Errorf("durable after %s: it waits for something", took)
	}
	if st := s.stand(); st.Journal.HeldBy != nil {
		t.Errorf("the journal is held by %+v", st.Journal.HeldBy)
	}
}

// F3, F5: who handles a flood of its own goes on; who advances too slowly for its
// stream, though the clock finds no fault with it, is given up by the budget in
// bytes. The others notice neither.
func TestSlowConsumers(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, "SPILLWAY_JOURNAL_BUDGET=16MiB")
	s := c.service
	w := watchAcks(t, c.db, tick)
	lift := s.fault(`{"fault":"flood","shape":%q}`, c.victim.handle)
	for range 10 {
		c.db.Exec("UPDATE items SET n = n + 1 WHERE id < 50")
	}
	w.quiet(func() {
		c.well("while another is flooded")
		c.recovers("though it is flooded", 0)
	})
	lift()
	s.nobodySuffered()

	lift = s.fault(`{"fault":"drip","shape":%q}`, c.victim.handle)
	eventually(t, 60*time.Second, "the dripping shape to be given up", func() error {
		c.db.Exec("UPDATE items SET body = repeat(md5(id::text || n), 40)") // some 400 kB
		if r := s.stand().Removed; r["journal_budget"] != 1 {
			return fmt.Errorf("removed: %v", r)
		}
		return nil
	})
	w.quiet(func() { c.well("after another was given up") })
	lift()
	w.quiet(func() { c.recovers("after it was given up", 1) })
	if st := s.stand(); len(st.Removed) != 1 || st.Removed["journal_budget"] != 1 {
		t.Errorf("removed: %v", st.Removed)
	}
	w.promise()
}
