package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

const partitionedTable = `
CREATE TABLE root (id int, region text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE eu PARTITION OF root FOR VALUES IN ('eu');
CREATE TABLE us (v text, x int, region text NOT NULL, id int NOT NULL);
ALTER TABLE us DROP x; ALTER TABLE us ADD PRIMARY KEY (region, id); ALTER TABLE root ATTACH PARTITION us FOR VALUES IN ('us');
CREATE TABLE asia PARTITION OF root FOR VALUES IN ('jp', 'in') PARTITION BY LIST (region);
CREATE TABLE jp PARTITION OF asia FOR VALUES IN ('jp');
INSERT INTO root VALUES (1, 'eu', 'a'), (2, 'us', 'b'), (3, 'jp', 'c');`

// Shapes on a partitioned table, on a part of it that is partitioned itself, and on
// partitions: each gets its rows under its own name, whatever happens to the
// partitions (shape-semantics §10.9, cases 205 to 215).
func TestPartitions(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(partitionedTable)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	shapes := map[string]*follower{}
	for _, name := range []string{"root", "asia", "eu", "us", "jp"} {
		shapes[name] = newFollower(s.url, "table", name)
	}
	shapes["where"] = newFollower(s.url, "table", "root", "where", "v <> 'out'")
	check := func(what string, rotated ...string) {
		t.Helper()
		for _, name := range slices.Sorted(maps.Keys(shapes)) {
			f, table, where := shapes[name], "public."+name, "true"
			if name == "where" {
				table, where = "public.root", "v <> 'out'"
			}
			f.until(t, 60*time.Second, what+": "+name, func() error {
				want := 0
				if slices.Contains(rotated, name) {
					want = 1
				}
				if f.rotations != want {
					return fmt.Errorf("%d rotations, want %d", f.rotations, want)
				}
				return keyed(db, f, table, where)
			})
			f.rotations = 0
		}
	}
	check("first rows")
	for _, c := range []struct {
		what, sql string
		rotated   []string
	}{
		{"205, 206, 211: inserts in each", "INSERT INTO root VALUES (11, 'eu', 'A'), (12, 'us', 'B'), (13, 'jp', 'C')", nil},
		{"212: updates and deletes in each", "UPDATE root SET v = v || '!'; DELETE FROM root WHERE id > 11", nil},
		{"208: rows that move", "UPDATE root SET region = 'us', v = 'moved' WHERE id = 1; UPDATE root SET region = 'jp' WHERE id = 2", nil},
		{"213: out of the clause and in again, across partitions", "UPDATE root SET v = 'out', region = 'eu' WHERE id = 1; UPDATE root SET v = 'in', region = 'us' WHERE id = 1", nil},
		{"207: a new partition and its rows in one transaction", "BEGIN; CREATE TABLE br PARTITION OF root FOR VALUES IN ('br'); INSERT INTO root VALUES (20, 'br', 'n'); INSERT INTO br VALUES (21, 'br', 'm'); COMMIT", nil},
		{"207: a new partition at the second level", "CREATE TABLE india PARTITION OF asia FOR VALUES IN ('in'); INSERT INTO root VALUES (22, 'in', 'o'); INSERT INTO root VALUES (23, 'eu', 'p')", nil},
		{"212: updates in the new ones, once their identity is set", "", nil},
		{"210: TRUNCATE of one partition", "TRUNCATE eu; INSERT INTO root VALUES (30, 'eu', 'q')", []string{"root", "where", "eu"}},
		{"209: TRUNCATE of all", "TRUNCATE root; INSERT INTO root VALUES (31, 'eu', 'r'), (32, 'jp', 's')", []string{"root", "where", "eu", "us", "asia", "jp"}},
		{"215: ATTACH of a filled table", "CREATE TABLE za (LIKE root); INSERT INTO za VALUES (40, 'za', 't'); ALTER TABLE root ATTACH PARTITION za FOR VALUES IN ('za')", []string{"root", "where"}},
		{"215: its rows from then on", "INSERT INTO root VALUES (42, 'za', 'x'); UPDATE root SET v = 'y' WHERE id = 40", nil},
		{"215: the same in one transaction", "BEGIN; CREATE TABLE au (LIKE root); INSERT INTO au VALUES (41, 'au', 'u'); ALTER TABLE root ATTACH PARTITION au FOR VALUES IN ('au'); COMMIT", []string{"root", "where"}},
		{"215: and its rows", "INSERT INTO root VALUES (43, 'au', 'z'); UPDATE root SET v = 'w' WHERE id = 41", nil},
		{"215: DETACH", "ALTER TABLE root DETACH PARTITION za", []string{"root", "where"}},
		{"a partition dropped at the second level", "DROP TABLE india", []string{"root", "where", "asia"}},
		// While it was detached it was not published: nobody tells of the row.
		{"DETACH and ATTACH between two looks", "ALTER TABLE root DETACH PARTITION us; INSERT INTO us (id, region, v) VALUES (70, 'us', 'unseen'); ALTER TABLE root ATTACH PARTITION us FOR VALUES IN ('us')", []string{"root", "where", "us"}},
		{"the same at the second level, of what holds no rows itself", "ALTER TABLE root DETACH PARTITION asia; INSERT INTO asia VALUES (71, 'jp', 'unseen'); ALTER TABLE root ATTACH PARTITION asia FOR VALUES IN ('jp', 'in')", []string{"root", "where", "asia", "jp"}},
		{"214: a table attached with its columns in another order", "INSERT INTO root VALUES (50, 'us', 'v')", nil},
	} {
		if c.sql == "" {
			eventually(t, 30*time.Second, "FULL identity of all partitions", func() error {
				if n := db.Value("SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relispartition AND relkind = 'r' AND relreplident <> 'f'"); n != "" {
					return fmt.Errorf("not FULL: %s", n)
				}
				return nil
			})
			c.sql = "UPDATE root SET v = v || '?'; DELETE FROM root WHERE id = 21"
		}
		db.Exec(c.sql)
		check(c.what, c.rotated...)
	}
	// After a crash the journal is read again, and it is known whose rows they are.
	s.crash()
	db.Exec("INSERT INTO root VALUES (60, 'jp', 'w'); CREATE TABLE cl PARTITION OF root FOR VALUES IN ('cl'); INSERT INTO root VALUES (61, 'cl', 'x')")
	s.start()
	check("a restart")
}

func keyed(db *pgtest.DB, f *follower, table, where string) error {
	name := `"` + strings.ReplaceAll(table, ".", `"."`) + `"`
	want := strings.Fields(db.Value(fmt.Sprintf(
		`SELECT coalesce(string_agg('%s/"' || region || '"/"' || id || '"=' || v, ' '), '') FROM %s WHERE %s`, name, table, where)))
	var got []string
	for key, row := range f.rows {
		got = append(got, key+"="+*row["v"])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: got %v, want %v", table, got, want)
	}
	return nil
}

// A sender that has just been connected meets a partition for the first time while that
// is detached. Before version 15 it would take it for a table that is not published as
// long as it lives, whatever it is attached to later.
func TestPartitionFirstMetDetached(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(partitionedTable)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	f := newFollower(s.url, "table", "root")
	f.until(t, 30*time.Second, "first rows", func() error { return keyed(db, f, "public.root", "true") })
	sender := "SELECT coalesce((SELECT active_pid FROM pg_replication_slots WHERE database = current_database() AND active), 0)"
	was := db.Value(sender)
	db.Exec("SELECT pg_terminate_backend(" + was + ")")
	eventually(t, 20*time.Second, "another sender", func() error {
		if is := db.Value(sender); is == was || is == "0" {
			return fmt.Errorf("the sender was %s and is %s", was, is)
		}
		return nil
	})
	db.Exec("ALTER TABLE root DETACH PARTITION us; INSERT INTO us (id, region, v) VALUES (70, 'us', 'unseen'); ALTER TABLE root ATTACH PARTITION us FOR VALUES IN ('us')")
	f.until(t, 30*time.Second, "the shape anew", func() error {
		if f.rotations != 1 {
			return fmt.Errorf("%d rotations", f.rotations)
		}
		return keyed(db, f, "public.root", "true")
	})
	db.Exec("INSERT INTO root VALUES (50, 'us', 'v')")
	f.until(t, 30*time.Second, "a row of it", func() error { return keyed(db, f, "public.root", "true") })
}

// A table that has had rows is attached after the publication was looked at for a new
// shape, and before its first rows are read. They are those of a family whose changes
// may not be sent.
func TestAttachBeforeFirstRows(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(partitionedTable)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=10m")
	f := newFollower(s.url, "table", "root")
	f.until(t, 30*time.Second, "first rows", func() error { return keyed(db, f, "public.root", "true") })
	db.Exec("CREATE TABLE za (LIKE root); ALTER TABLE za REPLICA IDENTITY FULL; INSERT INTO za VALUES (40, 'za', 't')")
	writer := db.Conn()
	if _, err := writer.PgConn().Exec(t.Context(), "BEGIN; INSERT INTO eu VALUES (41, 'eu', 'u')").ReadAll(); err != nil {
		t.Fatal(err)
	}
	where := newFollower(s.url, "table", "root", "where", "v <> 'out'")
	same := func() error { return keyed(db, where, "public.root", "v <> 'out'") }
	began := make(chan error, 1)
	go func() {
		_, err := where.step(t.Context())
		began <- err
	}()
	eventually(t, 20*time.Second, "the shape to wait for the writer", func() error {
		if log := s.log.String(); !strings.Contains(log, "a new shape waits for transactions that write to its table") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	db.Exec("ALTER TABLE root ATTACH PARTITION za FOR VALUES IN ('za')")
	if _, err := writer.PgConn().Exec(t.Context(), "COMMIT").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if err := <-began; err != nil {
		t.Log("the first answer:", err)
	}
	where.until(t, 30*time.Second, "first rows", same)
	db.Exec("INSERT INTO root VALUES (42, 'za', 'x'), (43, 'eu', 'y')")
	where.until(t, 30*time.Second, "rows of the new partition", same)
}

// A partition that is being detached CONCURRENTLY is no part of its root for SELECT as
// soon as that has begun, however long it takes to end.
func TestDetachConcurrently(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(partitionedTable)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	root, us := newFollower(s.url, "table", "root"), newFollower(s.url, "table", "us")
	check := func(what string) {
		t.Helper()
		root.until(t, 30*time.Second, what, func() error { return keyed(db, root, "public.root", "true") })
		us.until(t, 30*time.Second, what, func() error { return keyed(db, us, "public.us", "true") })
	}
	check("first rows")
	reader, ddl := db.Conn(), db.Conn()
	if _, err := reader.PgConn().Exec(t.Context(), "BEGIN; SELECT * FROM root").ReadAll(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := ddl.PgConn().Exec(t.Context(), "ALTER TABLE root DETACH PARTITION us CONCURRENTLY").ReadAll()
		done <- err
	}()
	eventually(t, 20*time.Second, "it to be under way", func() error {
		if n := db.Value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"); n != "1" {
			return fmt.Errorf("%s pending", n)
		}
		return nil
	})
	check("while it is under way")
	db.Exec("INSERT INTO us (id, region, v) VALUES (90, 'us', 'x'); INSERT INTO root VALUES (91, 'eu', 'y'); UPDATE us SET v = 'z'")
	check("changes while it is under way")
	if _, err := reader.PgConn().Exec(t.Context(), "COMMIT").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	db.Exec("INSERT INTO us (id, region, v) VALUES (92, 'us', 'x'); INSERT INTO root VALUES (93, 'eu', 'y')")
	check("after it")
}

// The stream tells of a new column by the name of a partition. The next shape on the
// root is made of the table as it is now, and not refused once more.
func TestColumnOfAllPartitions(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(partitionedTable)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=10m")
	f := newFollower(s.url, "table", "root")
	f.until(t, 30*time.Second, "first rows", func() error { return keyed(db, f, "public.root", "true") })
	db.Exec("ALTER TABLE root ADD COLUMN w int; INSERT INTO root VALUES (4, 'jp', 'd', 7)")
	f.until(t, 30*time.Second, "the new column", func() error {
		if w := f.rows[`"public"."root"/"jp"/"4"`]["w"]; w == nil || *w != "7" {
			return fmt.Errorf("it is %s", show(w))
		}
		return nil
	})
	if f.rotations != 1 {
		t.Errorf("%d rotations", f.rotations)
	}
}

// Inheritance children are followed as partitions are; a new one rotates.
func TestInheritance(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE base (id int PRIMARY KEY, region text, v text); CREATE TABLE child (extra int) INHERITS (base);
		INSERT INTO base VALUES (1, 'a', 'x'); INSERT INTO child VALUES (2, 'b', 'y', 7)`)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	f := newFollower(s.url, "table", "base")
	check := func(what string, rotations int) {
		t.Helper()
		f.until(t, 60*time.Second, what, func() error {
			if f.rotations != rotations {
				return fmt.Errorf("%d rotations, want %d", f.rotations, rotations)
			}
			if got, want := fmt.Sprint(len(f.rows)), db.Value("SELECT count(*) FROM base"); got != want {
				return fmt.Errorf("%s rows, want %s", got, want)
			}
			return nil
		})
	}
	check("first rows", 0)
	db.Exec("INSERT INTO child VALUES (3, 'b', 'z', 8); UPDATE base SET v = 'new'; DELETE FROM child WHERE id = 2")
	check("changes of a child", 0)
	db.Exec("CREATE TABLE second () INHERITS (base); INSERT INTO second VALUES (9, 'c', 'w')")
	check("a new child", 1)
}

// A shape's WHERE is no secret to partitions that were made before it: many shapes
// on one partitioned table each get their rows, also of a partition made meanwhile.
func TestManyShapesOnPartitions(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE root (id int, region text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region); CREATE TABLE p0 PARTITION OF root FOR VALUES IN ('r0')")
	s := newService(t, db.URL)
	const n = 40
	for i := range n {
		resp, err := http.Get(s.url + "?" + url.Values{"table": {"root"}, "offset": {"-1"}, "where": {fmt.Sprintf("v = '%d'", i)}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for p := 1; p < 6; p++ {
		db.Exec(fmt.Sprintf("CREATE TABLE p%d PARTITION OF root FOR VALUES IN ('r%d'); INSERT INTO root SELECT g, 'r%d', g FROM generate_series(0, %d) g", p, p, p, n-1))
	}
	for i := range n {
		f := newFollower(s.url, "table", "root", "where", fmt.Sprintf("v = '%d'", i))
		f.until(t, 60*time.Second, "all partitions' rows", func() error {
			return keyed(db, f, "public.root", fmt.Sprintf("v = '%d'", i))
		})
		if f.rotations != 0 {
			t.Errorf("shape %d was rotated %d times", i, f.rotations)
		}
	}
}

// Replication tells of a commit before queries see it, as long as a synchronous
// standby keeps it waiting. A partition that was made by it is not taken for a table
// that is nobody's partition.
func TestPartitionNotYetVisible(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	db.Exec("CREATE TABLE root (id int, region text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region); CREATE TABLE p0 PARTITION OF root FOR VALUES IN ('r0'); INSERT INTO root VALUES (0, 'r0', 'a')")
	s := newService(t, db.URL)
	f := newFollower(s.url, "table", "root")
	f.until(t, 30*time.Second, "first rows", func() error { return keyed(db, f, "public.root", "true") })
	standby := func(name string) {
		db.Exec("ALTER SYSTEM SET synchronous_standby_names = '" + name + "'")
		db.Exec("SELECT pg_reload_conf()")
		eventually(t, 10*time.Second, "the setting", func() error {
			if got := db.Value("SHOW synchronous_standby_names"); got != name {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
	}
	standby("nobody")
	done := make(chan error, 1)
	conn := db.Conn()
	go func() {
		_, err := conn.PgConn().Exec(t.Context(), "CREATE TABLE p1 PARTITION OF root FOR VALUES IN ('r1'); INSERT INTO root VALUES (1, 'r1', 'b')").ReadAll()
		done <- err
	}()
	eventually(t, 10*time.Second, "the commit to wait", func() error {
		if n := db.Value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); n != "1" {
			return fmt.Errorf("%s commits wait", n)
		}
		return nil
	})
	<-time.After(500 * time.Millisecond) // the fault is that it lasts
	standby("")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.until(t, 30*time.Second, "the row of the new partition", func() error { return keyed(db, f, "public.root", "true") })
	if f.rotations != 0 {
		t.Errorf("%d rotations", f.rotations)
	}
}

// A partition came, was written to and left while we were away: when its rows come it is
// nobody's any more. Clients of its root would be given what was committed between, and
// not its rows, which no SELECT ever returned.
func TestPartitionCameAndWent(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE root (id int, region text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region); CREATE TABLE p0 PARTITION OF root FOR VALUES IN ('r0'); INSERT INTO root VALUES (0, 'r0', 'a'); CREATE TABLE other (LIKE root INCLUDING ALL)")
	s := newService(t, db.URL)
	f, other := newFollower(s.url, "table", "root"), newFollower(s.url, "table", "other")
	equal := func(what string) {
		t.Helper()
		f.until(t, 30*time.Second, what, func() error { return keyed(db, f, "public.root", "true") })
		other.until(t, 30*time.Second, what, func() error { return keyed(db, other, "public.other", "true") })
	}
	equal("first rows")
	s.crash()
	for _, sql := range []string{
		"CREATE TABLE p1 PARTITION OF root FOR VALUES IN ('r1')",
		"INSERT INTO root VALUES (1, 'r1', 'b')",
		"INSERT INTO root VALUES (2, 'r0', 'c'); INSERT INTO other VALUES (1, 'r0', 'd')",
		"ALTER TABLE root DETACH PARTITION p1",
	} {
		db.Exec(sql)
	}
	s.start()
	equal("what it is now")
	if f.rotations != 1 || other.rotations != 0 {
		t.Errorf("%d rotations of the root, %d of another table", f.rotations, other.rotations)
	}
}
