package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// Shapes are created while others write, some in transactions that stay open
// over the creation: no row is lost and none is doubled.
func TestShapesUnderWrites(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 2000))
	s := newService(t, db.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for w := range 3 {
		load.Go(func() {
			for n := uint64(0); ctx.Err() == nil; n++ {
				writer(ctx, t, db, uint64(w)*1000+n, 20, 2500)
			}
		})
	}
	load.Go(func() { holdOpen(ctx, t, db) })
	const shapes = 24
	followers := make([]*follower, shapes)
	where := func(i int) string { return fmt.Sprintf("n <> %d AND id > %d", i, i*10) }
	var creating sync.WaitGroup
	for i := range followers {
		f := newFollower(s.url, "table", "items", "where", where(i))
		followers[i] = f
		creating.Go(func() {
			f.until(t, 60*time.Second, "the first sync", func() error { return nil })
			f.until(t, 60*time.Second, "a live answer", func() error { return nil })
		})
	}
	creating.Wait()
	cancel()
	load.Wait()
	for i, f := range followers {
		f.until(t, 60*time.Second, fmt.Sprintf("shape %d to equal SELECT", i), func() error {
			return sameRows(f.items(), itemsOf(db, " WHERE "+where(i)))
		})
		if f.rotations != 0 {
			t.Errorf("shape %d was rotated %d times", i, f.rotations)
		}
	}
}

// holdOpen writes in transactions that stay open for a while, on rows that the
// others leave alone.
func holdOpen(ctx context.Context, t *testing.T, db *pgtest.DB) {
	conn := db.Conn()
	for i := 3001; ctx.Err() == nil; i++ {
		sql := fmt.Sprintf("BEGIN; "+itemsRow, i, i)
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Errorf("write: %v", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(150 * time.Millisecond):
		}
		if _, err := conn.PgConn().Exec(t.Context(), fmt.Sprintf("UPDATE items SET body = 'late' WHERE id = %d; COMMIT", i)).ReadAll(); err != nil {
			t.Errorf("commit: %v", err)
			return
		}
	}
}

// What breaks a shape rotates it, also beside others that go on, and the new one
// equals SELECT.
func TestRotations(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 50))
	s := newService(t, db.URL)
	all := newFollower(s.url, "table", "items")
	some := newFollower(s.url, "table", "items", "columns", "id,n,body,flag,amount,at", "where", "n < 90")
	check := func(what string, rotates bool) {
		t.Helper()
		was := all.rotations
		all.until(t, 60*time.Second, what, func() error {
			if rotates && all.rotations == was {
				return fmt.Errorf("no rotation after: %s", what)
			}
			return sameRows(all.items(), itemsOf(db, ""))
		})
		if !rotates && all.rotations != was {
			t.Errorf("%s: rotated", what)
		}
	}
	follow := func(what string) {
		t.Helper()
		some.until(t, 60*time.Second, what, func() error { return sameRows(some.items(), itemsOf(db, " WHERE n < 90")) })
	}
	check("the first sync", false)
	follow("the first sync")
	for _, c := range []struct {
		what, sql string
		all, some int // rotations
	}{
		{"a change", "UPDATE items SET n = n + 1 WHERE id < 10", 0, 0},
		{"a key change", "UPDATE items SET id = id + 1000 WHERE id < 5", 0, 0},
		{"TRUNCATE among writes", "BEGIN; INSERT INTO items VALUES (900, 1); TRUNCATE items; INSERT INTO items VALUES (901, 2); COMMIT; INSERT INTO items VALUES (902, 3)", 1, 1},
		{"a column added", "ALTER TABLE items ADD COLUMN extra int; INSERT INTO items (id, n) VALUES (903, 4)", 1, 0},
		{"an unused column dropped", "ALTER TABLE items DROP COLUMN extra; INSERT INTO items (id, n) VALUES (904, 4)", 1, 0},
		{"a column retyped", "ALTER TABLE items ALTER n TYPE bigint; INSERT INTO items (id, n) VALUES (905, 4)", 1, 1},
		{"NOT NULL set", "ALTER TABLE items ALTER n SET NOT NULL; INSERT INTO items (id, n) VALUES (906, 4)", 0, 0},
		{"the table made anew", "DROP TABLE items;" + itemsTable + "INSERT INTO items (id, n) VALUES (1, 4)", 1, 1},
	} {
		before := some.rotations
		db.Exec(c.sql)
		check(c.what, c.all == 1)
		some.until(t, 60*time.Second, c.what, func() error {
			if some.rotations-before != c.some {
				return fmt.Errorf("%s: %d rotations of the shape with named columns, want %d", c.what, some.rotations-before, c.some)
			}
			return sameRows(some.items(), itemsOf(db, " WHERE n < 90"))
		})
	}
}

// Keys of every form, and replica modes.
func TestKeysAndReplicaModes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(`CREATE SCHEMA "Big Fleet";
		CREATE TABLE "Big Fleet"."Boats/1" (b text, a int, "Crew ü" int, PRIMARY KEY (b, a));
		INSERT INTO "Big Fleet"."Boats/1" VALUES ('x/y', 1, 5), ('', 2, NULL);
		CREATE TABLE nokey (a int, b text); INSERT INTO nokey VALUES (1, NULL), (2, 'two')`)
	s := newService(t, db.URL)
	boats := newFollower(s.url, "table", `"Big Fleet"."Boats/1"`, "replica", "full")
	nokey := newFollower(s.url, "table", "nokey")
	keys := func(f *follower, want ...string) func() error {
		return func() error {
			if len(f.rows) != len(want) {
				return fmt.Errorf("%d rows, want %d", len(f.rows), len(want))
			}
			for _, k := range want {
				if f.rows[k] == nil {
					return fmt.Errorf("no row %s", k)
				}
			}
			return nil
		}
	}
	boats.until(t, 30*time.Second, "the boats", keys(boats, `"Big Fleet"."Boats//1"/"x//y"/"1"`, `"Big Fleet"."Boats//1"/""/"2"`))
	nokey.until(t, 30*time.Second, "the rows without key", keys(nokey, `"public"."nokey"/"1"/_`, `"public"."nokey"/"2"/"two"`))
	db.Exec(`UPDATE "Big Fleet"."Boats/1" SET a = 3 WHERE a = 1; UPDATE "Big Fleet"."Boats/1" SET "Crew ü" = 9 WHERE a = 2;
		UPDATE nokey SET b = 'b' WHERE a = 1; DELETE FROM nokey WHERE a = 2`)
	boats.until(t, 30*time.Second, "changed keys", keys(boats, `"Big Fleet"."Boats//1"/"x//y"/"3"`, `"Big Fleet"."Boats//1"/""/"2"`))
	nokey.until(t, 30*time.Second, "changed rows", keys(nokey, `"public"."nokey"/"1"/"b"`))
	if boats.rotations+nokey.rotations != 0 {
		t.Error("rotated")
	}
}

// Many requests for one definition share one shape; the rows of a large table
// are served while they are still being read.
func TestSharedAndStreamed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE big (id int PRIMARY KEY, body text); INSERT INTO big SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i`)
	// Reading stops in the middle.
	net := newWire(t, db.Server.Port())
	net.first, net.release = 10<<20, make(chan struct{})
	release := sync.OnceFunc(func() { close(net.release) })
	t.Cleanup(release) // before the wire waits for its connections
	s := newService(t, db.URL, "SPILLWAY_POOLED_DATABASE_URL="+net.url(t, db.URL), "SPILLWAY_CHUNK_BYTES=1000000")
	handles := make([]string, 20)
	var all sync.WaitGroup
	for i := range handles {
		all.Go(func() {
			resp, err := http.Get(s.url + "?table=big&offset=-1")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			handles[i] = resp.Header.Get("electric-handle")
			var rows []json.RawMessage
			b, err := io.ReadAll(resp.Body)
			if err != nil || json.Unmarshal(b, &rows) != nil || len(rows) < 500 {
				t.Errorf("request %d: %s, %d rows, %v: %.200s", i, resp.Status, len(rows), err, b)
			}
		})
	}
	all.Wait()
	if n := s.status()["shapes"].(map[string]any)["snapshotting"]; n != 1.0 {
		t.Errorf("the first chunk came when %v snapshots were being read: it waited for the last row", n)
	}
	for _, h := range handles {
		if h != handles[0] || h == "" {
			t.Fatalf("different shapes: %q", handles)
		}
	}
	release()
	f := newFollower(s.url, "table", "big")
	f.until(t, 60*time.Second, "all rows", func() error {
		if len(f.rows) != 30000 {
			return fmt.Errorf("%d rows", len(f.rows))
		}
		return nil
	})
	// The last row is read a moment before that is told.
	eventually(t, 10*time.Second, "one shape to be created", func() error {
		if n := strings.Count(s.log.String(), "shape created"); n != 1 {
			return fmt.Errorf("%d shapes were created", n)
		}
		return nil
	})
}

// Who is told to be up to date has whole transactions, and one of a thousand rows
// whole or not at all (case 156), with chunks that are much smaller.
func TestWholeTransactions(t *testing.T) {
	t.Parallel()
	const rows, transactions = 1000, 30
	db := pgtest.New(t)
	db.Exec(fmt.Sprintf("CREATE TABLE many (id int PRIMARY KEY, n int); INSERT INTO many SELECT i, 0 FROM generate_series(1, %d) i", rows))
	s := newService(t, db.URL, "SPILLWAY_CHUNK_BYTES=10000")
	f := newFollower(s.url, "table", "many")
	var load sync.WaitGroup
	load.Go(func() {
		for range transactions {
			if err := db.Try("UPDATE many SET n = n + 1"); err != nil {
				t.Error(err)
			}
		}
	})
	seen := map[string]bool{}
	f.until(t, 60*time.Second, "the last transaction", func() error {
		now := map[string]int{}
		for _, row := range f.rows {
			now[*row["n"]]++
		}
		if len(now) != 1 || len(f.rows) != rows {
			t.Fatalf("parts of transactions: so many rows of each: %v", now)
		}
		for n := range now {
			seen[n] = true
		}
		if !seen[fmt.Sprint(transactions)] {
			return fmt.Errorf("there is still %v", now)
		}
		return nil
	})
	load.Wait()
	t.Logf("up to date after %d of %d transactions", len(seen), transactions)
}
