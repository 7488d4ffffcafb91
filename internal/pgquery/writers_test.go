package pgquery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func session(t *testing.T, pg *pgtest.DB, sql string) *pgx.Conn {
	t.Helper()
	conn := pg.Conn()
	run(t, conn, "set lock_timeout = '20s'") // a test that hangs says where
	run(t, conn, sql)
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%v\nin: %s", err, sql)
	}
}

// gone starts WritersGone and reports its end. Ask counts how often it has
// looked, so that "it goes on waiting" can be told from "it has not begun".
type gone struct {
	done chan error
	lsn  wal.LSN
}

func startGone(t *testing.T, db *DB, tab *shape.Table) *gone {
	g := &gone{done: make(chan error, 1)}
	go func() {
		lsn, err := db.WritersGone(t.Context(), tab, nil)
		g.lsn = lsn
		g.done <- err
	}()
	return g
}

// waits fails if WritersGone has ended, after it has had the time to see: two
// more transactions of its own pool.
func (g *gone) waits(t *testing.T, pg *pgtest.DB) {
	t.Helper()
	const query = `select coalesce(max(state_change)::text, '') from pg_stat_activity where application_name = 'spillway-admin' and datname = current_database()`
	for range 3 {
		before := pg.Value(query)
		eventually(t, "it looks again, or ends", func() bool { return len(g.done) > 0 || pg.Value(query) != before })
	}
	if len(g.done) > 0 {
		t.Fatal("it did not wait")
	}
}

func (g *gone) ends(t *testing.T) {
	t.Helper()
	select {
	case err := <-g.done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it still waits")
	}
}

func TestWritersGone(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create table t (i int); create table other (i int); insert into t values (1);
		create table p (i int) partition by range (i); create table p1 partition of p for values from (0) to (10);
		create table p2 partition of p for values from (10) to (20)`)
	db := open(t, pg)
	tab, p, p1 := table(t, db, "t"), table(t, db, "p"), table(t, db, "p1")

	// None of these is waited for.
	session(t, pg, "begin; insert into other values (1)")
	session(t, pg, "begin; update t set i = 1 where false")
	session(t, pg, "begin isolation level repeatable read; select * from t")
	session(t, pg, "begin; select * from t for update")
	session(t, pg, "begin; lock table t in share update exclusive mode")
	session(t, pg, "begin; savepoint s; insert into t values (9); rollback to s")
	sibling := session(t, pg, "begin; insert into p values (15)")
	startGone(t, db, tab).ends(t)
	startGone(t, db, p1).ends(t)
	run(t, sibling, "rollback")

	for _, tc := range []struct {
		name, begin, end string
		tab              *shape.Table
	}{
		{"insert", "begin; insert into t values (2)", "commit", tab},
		{"rolled back", "begin; insert into t values (2)", "rollback", tab},
		{"inner transaction", "begin; savepoint s; insert into t values (2); release s", "commit", tab},
		{"prepared", "begin; insert into t values (2); prepare transaction 'writers_gone'", "commit prepared 'writers_gone'", tab},
		{"partition itself", "begin; insert into p1 values (5)", "commit", p},
		{"through the root", "begin; insert into p values (5)", "commit", p1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := session(t, pg, tc.begin)
			g := startGone(t, db, tc.tab)
			g.waits(t, pg)
			late := session(t, pg, "begin; insert into t values (3); insert into p values (6)")
			g.waits(t, pg)
			run(t, conn, tc.end)
			g.ends(t) // without the late one
			run(t, late, "rollback")
		})
	}
}

func TestTruncateIsWaitedFor(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int)")
	db := open(t, pg)
	tab := table(t, db, "t")
	conn := session(t, pg, "begin; truncate t")
	g := startGone(t, db, tab)
	g.waits(t, pg)
	run(t, conn, "commit")
	g.ends(t)
}

// A transaction that is prepared while it is waited for is another one to
// pg_locks, and still the same.
func TestPreparedMeanwhile(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int)")
	db := open(t, pg)
	tab := table(t, db, "t")
	conn := session(t, pg, "begin; insert into t values (2)")
	g := startGone(t, db, tab)
	g.waits(t, pg)
	run(t, conn, "prepare transaction 'prepared_meanwhile'")
	g.waits(t, pg)
	pg.Exec("commit prepared 'prepared_meanwhile'")
	g.ends(t)
}

// P is below the commit of whoever is waited for.
func TestPositionIsTakenFirst(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int)")
	db := open(t, pg)
	tab := table(t, db, "t")
	conn := session(t, pg, "begin; insert into t values (1)")
	before, err := wal.ParseLSN(pg.Value("select pg_current_wal_insert_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	g := startGone(t, db, tab)
	g.waits(t, pg)
	between, err := wal.ParseLSN(pg.Value("select pg_current_wal_insert_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, conn, "commit")
	g.ends(t)
	if g.lsn < before || g.lsn > between {
		t.Errorf("position %s is not between %s and %s", g.lsn, before, between)
	}
}

// A transaction that waits for a synchronous standby has its commit record in
// the WAL, but nobody sees it yet.
func TestWaitsForSynchronousStandby(t *testing.T) {
	pg := pgtest.NewServer(t)
	pg.Exec("create table t (i int)")
	pg.Exec("alter system set synchronous_standby_names = 'nobody_home'")
	pg.Value("select pg_reload_conf()")
	eventually(t, "the setting is read", func() bool { return pg.Value("show synchronous_standby_names") != "" })
	db := open(t, pg)
	tab := table(t, db, "t")
	conn := pg.Conn()
	result := make(chan error, 1)
	go func() {
		_, err := conn.PgConn().Exec(context.Background(), "set synchronous_commit = on; insert into t values (1)").ReadAll()
		result <- err
	}()
	eventually(t, "the commit waits for its standby", func() bool {
		return pg.Value("select count(*) from pg_stat_activity where wait_event = 'SyncRep'") == "1"
	})
	if pg.Value("select count(*) from t") != "0" {
		t.Fatal("the row is visible")
	}
	g := startGone(t, db, tab)
	g.waits(t, pg)
	pg.Exec("alter system reset synchronous_standby_names")
	pg.Value("select pg_reload_conf()")
	g.ends(t)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if pg.Value("select count(*) from t") != "1" {
		t.Error("it returned before the row was visible")
	}
}

func TestWritersGoneGivesUp(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int)")
	db := open(t, pg)
	tab := table(t, db, "t")
	session(t, pg, "begin; insert into t values (1)")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := db.WritersGone(ctx, tab, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestTell(t *testing.T) {
	var told []Writer
	db := DB{cfg: Config{OnWaiting: func(_ *shape.Table, w []Writer) { told = w }}}
	db.tell(&shape.Table{}, []holder{{XID: "12", PID: 12, State: "active", Age: 1.5}, {XID: "9", State: "prepared"}})
	if len(told) != 2 || told[0] != (Writer{PID: 12, Age: 1500 * time.Millisecond, State: "active"}) || told[1].State != "prepared" {
		t.Errorf("told %+v", told)
	}
}
