package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgdev"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The stream tells 32 bits of a transaction's id, snapshots tell 64. While the 32 go
// round, shapes are made among open transactions, before, at and after it: no row is
// lost and none comes twice (shape-semantics §4.2, case 218).
func TestXIDWraparound(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	// Postgres tells apart what is less than 2^31 away: it is led there in three steps,
	// before each of which nothing old is left. At the first id of a page of commit
	// status there is no file to be made.
	const page = 8192 * 4
	for _, xid := range []uint32{46000 * page, 92000 * page, 1<<32 - page} {
		freeze(t, db)
		if err := db.Server.Halt(pgdev.Fast); err != nil {
			t.Fatal(err)
		}
		if err := db.Server.Tool(t.Context(), "pg_resetwal", "-x", fmt.Sprint(xid)); err != nil {
			t.Fatal(err)
		}
		if err := db.Server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "a new connection", func() error { return db.Try("SELECT 1") })
	}
	db.Exec("CREATE TABLE items (id int PRIMARY KEY, n int); INSERT INTO items VALUES (0, 0)")
	s := newService(t, db.URL)
	old := newFollower(s.url, "table", "items")
	old.until(t, 30*time.Second, "first rows", func() error { return nil })
	// All but a few of what is left.
	db.Exec("DO $$ BEGIN WHILE pg_current_xact_id()::text::numeric < 2 ^ 32 - 40 LOOP COMMIT; END LOOP; END $$")
	open := [3]*pgx.Conn{db.Conn(), db.Conn(), db.Conn()}
	run := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	all := []*follower{old}
	var making sync.WaitGroup
	for i := range 40 {
		// Transactions stay open over two others and the beginning of a shape.
		conn := open[i%len(open)]
		if i >= len(open) {
			run(conn, fmt.Sprintf("UPDATE items SET n = n + 1 WHERE id = %d; COMMIT", i-len(open)+1))
		}
		run(conn, fmt.Sprintf("BEGIN; INSERT INTO items VALUES (%d, 0)", i+1))
		if i%4 == 0 {
			f := newFollower(s.url, "table", "items", "where", fmt.Sprintf("id >= 0 AND n < %d", 100+i))
			all = append(all, f)
			making.Go(func() { f.until(t, 60*time.Second, "first rows", func() error { return nil }) })
		}
		db.Exec("UPDATE items SET n = n + 1 WHERE id = 0")
	}
	for _, conn := range open {
		run(conn, "COMMIT")
	}
	making.Wait()
	if x := db.Value("SELECT pg_current_xact_id()::text::numeric BETWEEN 2 ^ 32 AND 2 ^ 32 + 200"); x != "t" {
		t.Fatal("the ids have not gone round")
	}
	want := db.Value("SELECT string_agg(id || '=' || n, ' ' ORDER BY id) FROM items")
	for i, f := range all {
		f.until(t, 30*time.Second, fmt.Sprintf("shape %d to equal SELECT", i), func() error {
			var got []string
			for id := range len(f.rows) {
				got = append(got, fmt.Sprintf("%d=%s", id, show(f.rows[fmt.Sprintf(`"public"."items"/"%d"`, id)]["n"])))
			}
			if strings.Join(got, " ") != want || f.rotations != 0 {
				return fmt.Errorf("%d rotations, %v; want %s", f.rotations, got, want)
			}
			return nil
		})
	}
	// Who compares them has the same to tell apart.
	p := command(t, []string{"verify", "--url", strings.TrimSuffix(s.url, "/v1/shape")},
		"DATABASE_URL="+db.URL, "SPILLWAY_ADMIN_ADDR="+strings.TrimPrefix(s.admin, "http://")).start()
	if code := p.exit(60 * time.Second); code != 0 || !strings.Contains(p.out.String(), "11 shapes, 451 rows: 0 differ") {
		t.Errorf("verify: exit code %d: %s %s", code, p.out, p.err)
	}
}

// freeze leaves no transaction's id in any database.
func freeze(t *testing.T, db *pgtest.DB) {
	t.Helper()
	db.Exec("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
	for _, row := range db.Query("SELECT datname FROM pg_database") {
		cfg, err := pgx.ParseConfig(db.URL)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Database = row[0]
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "VACUUM (FREEZE, DISABLE_PAGE_SKIPPING)"); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
