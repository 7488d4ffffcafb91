package pgquery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/shape"
)

func TestEnsurePublication(t *testing.T) {
	pg := pgtest.New(t)
	db := open(t, pg)
	const name = `odd "name"`
	created, err := db.EnsurePublication(t.Context(), name)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if got := pg.Query("select puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot from pg_publication"); strings.Join(got[0], "") != "fttttf" {
		t.Errorf("publication is %v", got)
	}
	if created, err = db.EnsurePublication(t.Context(), name); err != nil || created {
		t.Errorf("the second time: created %v, %v", created, err)
	}
	pg.Exec("create publication part with (publish = 'insert, update')")
	if _, err := db.EnsurePublication(t.Context(), "part"); clientText(err) != `Publication "part" does not publish all required operations: INSERT, UPDATE, DELETE, TRUNCATE` {
		t.Error(err)
	}
	pg.Exec("create publication root with (publish_via_partition_root)")
	if _, err := db.EnsurePublication(t.Context(), "root"); !errors.Is(err, ErrPublication) {
		t.Error(err)
	}
	pg.Exec("create publication everything for all tables")
	if _, err := db.EnsurePublication(t.Context(), "everything"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(db.DropPublication(t.Context(), name), db.DropPublication(t.Context(), name)); err != nil {
		t.Error(err)
	}
}

// What transactions are like by default, for the users of a database, is not for ours.
func TestDefaultsOfTransactions(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int); insert into t values (1)")
	for _, set := range []string{"default_transaction_read_only = on", "default_transaction_deferrable = on", "default_transaction_isolation = 'serializable'", "row_security = off"} {
		pg.Exec("alter database " + pg.Name + " set " + set)
	}
	if pg.Value("select count(*) from pg_settings where name = 'transaction_timeout'") == "1" {
		pg.Exec("alter database " + pg.Name + " set transaction_timeout = 1000")
	}
	db := open(t, pg)
	if _, err := db.EnsurePublication(t.Context(), pub); err != nil {
		t.Fatal(err)
	}
	tab := table(t, db, "t")
	if err := db.Publish(t.Context(), pub, tab); err != nil {
		t.Fatal(err)
	}
	if _, err := db.WritersGone(t.Context(), tab, nil); err != nil {
		t.Error(err)
	}
	if _, rows := take(t, db, all(tab)); len(rows) != 1 {
		t.Error(rows)
	}
	err := db.look(t.Context(), func(tx pgx.Tx) error {
		var set int
		return tx.QueryRow(t.Context(), "select 1 / (count(*) = 0)::int from pg_settings where name = 'transaction_timeout' and setting <> '0'").Scan(&set)
	})
	if err != nil {
		t.Errorf("a transaction has a limit: %v", err)
	}
}

func TestEnsurePublicationDenied(t *testing.T) {
	pg := pgtest.New(t)
	_, url := role(t, pg, "replication")
	denied := open(t, pg, func(c *Config) { c.URL = url })
	_, err := denied.EnsurePublication(t.Context(), pub)
	var e *Error
	if !errors.As(err, &e) || e.Kind != ErrDenied || !strings.Contains(e.Remedy, "CREATE on the database") {
		t.Fatalf("got %v", err)
	}
	manual := open(t, pg, func(c *Config) { c.Manual = true })
	if _, err := manual.EnsurePublication(t.Context(), pub); clientText(err) != `Publication "spillway_test" not found in the database` {
		t.Error(err)
	}
	pg.Exec("create publication " + pub)
	if _, err := denied.EnsurePublication(t.Context(), pub); err != nil {
		t.Errorf("one that is there will do: %v", err)
	}
}

func clientText(err error) string {
	text, _ := ClientText(err)
	return text
}

// published lists what the publication publishes, and identities.
func published(pg *pgtest.DB) string {
	return pg.Value(`select coalesce(string_agg(p.tablename || ' ' || c.relreplident::text, ', ' order by p.tablename), '')
		from (select distinct schemaname, tablename from pg_publication_tables) p join pg_class c on c.oid = (quote_ident(schemaname) || '.' || quote_ident(tablename))::regclass`)
}

func TestPublish(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `;
		create table a (i int primary key); create table "b ""B" (i int);
		create table p (i int, d int) partition by range (i);
		create table p1 partition of p for values from (0) to (10) partition by range (d);
		create table p11 partition of p1 for values from (0) to (10);
		create table p2 partition of p for values from (10) to (20);
		create table parent (i int); create table child (j int) inherits (parent)`)
	db := open(t, pg)
	publish := func(name string) *shape.Table {
		t.Helper()
		tab := table(t, db, name)
		if err := db.Publish(t.Context(), pub, tab); err != nil {
			t.Fatal(err)
		}
		return tab
	}
	for _, step := range []struct{ name, want string }{
		{"a", "a f"},
		{`b "B`, `a f, b "B f`},
		{"p", `a f, b "B f, p11 f, p2 f`},
		{"parent", `a f, b "B f, child f, p11 f, p2 f, parent f`},
	} {
		publish(step.name)
		if got := published(pg); got != step.want {
			t.Errorf("after %s: %s, want %s", step.name, got, step.want)
		}
		before := pg.Value("select pg_current_wal_insert_lsn()")
		publish(step.name)
		if after := pg.Value("select pg_current_wal_insert_lsn()"); after != before {
			t.Errorf("the second time wrote something: %s, %s", before, after)
		}
	}
	pg.Exec(`create table p3 partition of p for values from (20) to (30); create table child2 () inherits (parent);
		alter table p2 replica identity default`)
	publish("p")
	publish("parent")
	if got := published(pg); got != `a f, b "B f, child f, child2 f, p11 f, p2 f, p3 f, parent f` {
		t.Errorf("after new partitions and children: %s", got)
	}
}

// Before Postgres 15 partitions are in the publication in their own names, as far as we
// may put them there; later they come with their root.
func TestPartitionsAreListed(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `;
		create table p (i int primary key) partition by range (i); alter publication ` + pub + ` add table p;
		create table p1 partition of p for values from (0) to (10) partition by range (i);
		create table p11 partition of p1 for values from (0) to (10);
		create table p2 (i int primary key); insert into p2 values (11)`)
	listed := func() string {
		return pg.Value(`select coalesce(string_agg(prrelid::regclass::text, ' ' order by prrelid::regclass::text), '')
			from pg_publication_rel r join pg_publication u on u.oid = r.prpubid where u.pubname = '` + pub + `'`)
	}
	db := open(t, pg)
	publish := func(what, before15 string) {
		t.Helper()
		want := "p"
		if pg.Server.Version() < 15 {
			want = before15
		}
		if err := db.Publish(t.Context(), pub, table(t, db, "p")); err != nil {
			t.Fatal(err)
		}
		if got := listed(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	publish("a root", "p p11")
	pg.Exec("alter table p attach partition p2 for values from (10) to (20)")
	publish("a table that was attached", "p p11 p2")
	publish("nothing new", "p p11 p2")
	pg.Exec("create table p3 partition of p for values from (20) to (30); alter table p3 replica identity full")
	manual := open(t, pg, func(c *Config) { c.Manual = true })
	if err := manual.Publish(t.Context(), pub, table(t, manual, "p")); err != nil {
		t.Error("who looks after the publication himself:", err)
	}
	pg.Exec("alter table p detach partition p3; alter table p attach partition p3 for values from (20) to (30)")
	err := manual.Publish(t.Context(), pub, table(t, manual, "p"))
	if pg.Server.Version() >= 15 {
		if err != nil {
			t.Error("attached anew:", err)
		}
	} else if !errors.Is(err, ErrPublication) || !strings.Contains(clientText(err), `Partition "public.p3" of "public.p"`) ||
		!strings.Contains(err.Error(), `ADD TABLE "public"."p3"`) {
		t.Error("attached anew, and not listed by whoever looks after the publication:", err)
	}
	pg.Exec("create publication everything for all tables")
	if err := db.Publish(t.Context(), "everything", table(t, db, "p")); err != nil {
		t.Error("with all tables:", err)
	}
	publish("a new partition", "p p11 p2 p3")
}

func TestPublishWithOtherPublications(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create schema s; create table s.a (i int); create table public.a (i int, j int);
		create publication everything for all tables`)
	db := open(t, pg)
	a := table(t, db, "a")
	if err := db.Publish(t.Context(), "everything", a); err != nil {
		t.Error(err)
	}
	if pg.Value("select relreplident from pg_class where oid = 'public.a'::regclass") != "f" {
		t.Error("identity was not set")
	}
	if pg.Server.Version() < 15 {
		return
	}
	pg.Exec(`create publication by_schema for tables in schema public;
		create publication filtered for table public.a where (i > 1);
		alter table s.a replica identity full;
		create publication listed for table s.a (i)`)
	if err := db.Publish(t.Context(), "by_schema", a); err != nil {
		t.Error(err)
	}
	if err := db.Publish(t.Context(), "filtered", a); !errors.Is(err, ErrPublication) || !strings.Contains(clientText(err), "row filter") {
		t.Error(err)
	}
	sa, err := db.Table(t.Context(), "s", "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Publish(t.Context(), "listed", sa); !errors.Is(err, ErrPublication) {
		t.Error(err)
	}
	if err := db.Publish(t.Context(), "missing", a); clientText(err) != `Publication "missing" not found in the database` {
		t.Error(err)
	}
}

func TestPublishDenied(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create publication " + pub + "; create table a (i int); create table b (i int); create table c (i int)")
	name, url := role(t, pg, "replication")
	db := open(t, pg, func(c *Config) { c.URL = url })
	manual := open(t, pg, func(c *Config) { c.Manual = true })
	a, b := table(t, db, "a"), table(t, db, "b")
	want := func(err, kind error, text string) {
		t.Helper()
		if !errors.Is(err, kind) || clientText(err) != text {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	missing := `Database table "public.a" is missing from the publication "spillway_test" and `
	want(db.Publish(t.Context(), pub, a), ErrDenied, missing+"Spillway lacks privileges to add it")
	want(manual.Publish(t.Context(), pub, a), ErrPublication, missing+"the SPILLWAY_MANUAL_PUBLISHING setting prevents Spillway from adding it")
	pg.Exec("alter publication " + pub + " add table a")
	identity := `Database table "public.a" does not have its replica identity set to FULL`
	want(db.Publish(t.Context(), pub, a), ErrPublication, identity)
	want(manual.Publish(t.Context(), pub, a), ErrPublication, identity)
	pg.Exec("alter table a replica identity full")
	if err := errors.Join(db.Publish(t.Context(), pub, a), manual.Publish(t.Context(), pub, a)); err != nil {
		t.Error(err)
	}
	// The table is ours, the publication is not: and the other way round.
	pg.Exec("alter table b owner to " + name)
	want(db.Publish(t.Context(), pub, b), ErrDenied, strings.Replace(missing, ".a", ".b", 1)+"Spillway lacks privileges to add it")
	pg.Exec("alter publication " + pub + " owner to " + name + "; grant create on database " + pg.Name + " to " + name)
	if err := db.Publish(t.Context(), pub, b); err != nil {
		t.Error(err)
	}
	if err := db.Publish(t.Context(), pub, table(t, db, "c")); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
}

func TestPublishGoneOrRenamed(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create publication " + pub + "; create table a (i int); create table b (i int)")
	db := open(t, pg)
	a, b := table(t, db, "a"), table(t, db, "b")
	pg.Exec("alter table a rename to aa; drop table b; create table b (i int)")
	for _, tab := range []*shape.Table{a, b} {
		if err := db.Publish(t.Context(), pub, tab); !errors.Is(err, ErrSchemaChanged) ||
			clientText(err) != `Database table "public.`+tab.Name+`" has been dropped or renamed` {
			t.Error(err)
		}
	}
}

func TestPublishUnderALock(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create publication " + pub + "; create table t (i int)")
	db := open(t, pg)
	tab := table(t, db, "t")
	reader := pg.Conn()
	if _, err := reader.Exec(t.Context(), "begin; select * from t"); err != nil {
		t.Fatal(err)
	}
	if err := db.Publish(t.Context(), pub, tab); !errors.Is(err, ErrLockTimeout) || clientText(err) != "Snapshot timed out while waiting for a table lock" {
		t.Fatalf("got %v", err)
	}
	if got := published(pg); got != "" {
		t.Errorf("half of it was done: %s", got)
	}
	// With the identity set there is nothing a reader or writer could hold up.
	if _, err := reader.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	pg.Exec("alter table t replica identity full")
	if _, err := reader.Exec(t.Context(), "begin; insert into t values (1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Publish(t.Context(), pub, tab); err != nil {
		t.Error(err)
	}
}

// One at a time asks for the lock, and the others wait without a connection.
func TestPublishInTurn(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create publication " + pub + "; create table t (i int); create table other (i int)")
	db := open(t, pg, func(c *Config) { c.LockLimit = time.Second })
	tab := table(t, db, "t")
	give, err := db.publishTurns.Take(t.Context(), tab.OID)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Publish(t.Context(), pub, tab); !errors.Is(err, ErrLockTimeout) {
		t.Errorf("out of turn: %v", err)
	}
	if err := db.Publish(t.Context(), pub, table(t, db, "other")); err != nil {
		t.Error(err)
	}
	give()
	if err := db.Publish(t.Context(), pub, tab); err != nil {
		t.Error(err)
	}
	// What is published is not waited for.
	if _, err := db.publishTurns.Take(t.Context(), tab.OID); err != nil {
		t.Fatal(err)
	}
	if err := db.Publish(t.Context(), pub, tab); err != nil {
		t.Error(err)
	}
}

// A lock that is given up in time costs nothing but the wait.
func TestPublishGetsTheLockLater(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create publication " + pub + "; create table t (i int)")
	db := open(t, pg, func(c *Config) { c.LockLimit = time.Minute })
	tab := table(t, db, "t")
	holder := pg.Conn()
	if _, err := holder.Exec(t.Context(), "begin; insert into t values (1)"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- db.Publish(t.Context(), pub, tab) }()
	waitsForLock(t, pg, "t")
	if _, err := holder.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := published(pg); got != "t f" {
		t.Error(got)
	}
}

// Who writes to a table and then wants it for himself alone is in no deadlock with us.
func TestPublishLetsWritersHaveMore(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create publication " + pub + "; create table t (i int)")
	db := open(t, pg, func(c *Config) { c.LockLimit = time.Minute })
	tab := table(t, db, "t")
	writer := pg.Conn()
	if _, err := writer.Exec(t.Context(), "begin; insert into t values (1)"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- db.Publish(t.Context(), pub, tab) }()
	waitsForLock(t, pg, "t")
	if _, err := writer.Exec(t.Context(), "truncate t; commit"); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Who has locked a root and then locks its partitions is not ended as if we and he were in
// a deadlock, however long we wait for the root.
func TestPublishEndsNobody(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `; create table p (i int) partition by range (i);
		create table p1 partition of p for values from (0) to (10);
		create table p2 partition of p for values from (10) to (20)`)
	db := open(t, pg, func(c *Config) { c.LockLimit = 5 * time.Second })
	tab := table(t, db, "p")
	other := pg.Conn()
	// Sooner than ours, or it may be we who are ended, and try again.
	if _, err := other.Exec(t.Context(), "begin; set local deadlock_timeout = '800ms'; lock table only p in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- db.Publish(t.Context(), pub, tab) }()
	for {
		if _, err := other.Exec(t.Context(), "savepoint s; lock table only p1, only p2 in access exclusive mode; rollback to s"); err != nil {
			t.Fatalf("he is ended: %v", err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, ErrLockTimeout) {
				t.Error(err)
			}
			return
		case <-time.After(20 * time.Millisecond): // room for Publish to get the partitions
		}
	}
}

// A partition that somebody writes to for longer than we wait with a lock in hand is waited
// for first.
func TestPublishWaitsForTheBusiestFirst(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `; create table p (i int) partition by range (i);
		create table p1 partition of p for values from (0) to (10);
		create table p2 partition of p for values from (10) to (20);
		create table p3 partition of p for values from (20) to (30)`)
	db := open(t, pg, func(c *Config) { c.LockLimit = time.Minute })
	tab := table(t, db, "p")
	writer, before := pg.Conn(), pg.Conn()
	for _, c := range []*pgx.Conn{writer, before} {
		if _, err := c.Exec(t.Context(), "begin; insert into p2 values (11)"); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- db.Publish(t.Context(), pub, tab) }()
	eventually(t, "it waits for p2 with nothing in hand", func() bool {
		return pg.Value(`select count(*) filter (where not granted and relation = 'p2'::regclass) > 0
			and count(*) filter (where granted and mode = 'AccessExclusiveLock' and relation in ('p1'::regclass, 'p3'::regclass)) = 0 from pg_locks`) == "t"
	})
	for _, c := range []*pgx.Conn{writer, before} {
		if _, err := c.Exec(t.Context(), "commit"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := published(pg); got != "p1 f, p2 f, p3 f" {
		t.Error(got)
	}
}

func TestPublishAtOnce(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `; create table p (i int) partition by range (i);
		create table p1 partition of p for values from (0) to (10);
		create table p2 partition of p for values from (10) to (20)`)
	db := open(t, pg, func(c *Config) { c.LockLimit = 30 * time.Second })
	var tabs []*shape.Table
	for _, name := range []string{"p", "p2", "p1", "p"} {
		tabs = append(tabs, table(t, db, name))
	}
	errs := make(chan error)
	for _, tab := range tabs {
		go func() { errs <- db.Publish(context.Background(), pub, tab) }()
	}
	for range tabs {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := published(pg); got != "p1 f, p2 f" {
		t.Error(got)
	}
}

func TestForeignAndUnloggedPartitions(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `; create table p (i int) partition by range (i);
		create unlogged table p1 partition of p for values from (0) to (10)`)
	db := open(t, pg)
	if err := db.Publish(t.Context(), pub, table(t, db, "p")); !errors.Is(err, ErrPublication) {
		t.Error(err)
	}
}

func TestWatchUnlogged(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create publication everything for all tables; create table p (i int) partition by range (i); create table p1 partition of p default`)
	db := open(t, pg, func(c *Config) { c.Publication = "everything" })
	oid := table(t, db, "p").OID
	for _, c := range []struct {
		logged    string
		published bool
	}{{"logged", true}, {"unlogged", false}} {
		pg.Exec("alter table p1 set " + c.logged)
		if m, err := db.Watch(t.Context(), []uint32{oid}); err != nil || m[oid].Published != c.published {
			t.Errorf("partition %s: %+v, %v", c.logged, m, err)
		}
	}
}

func TestWatch(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create publication ` + pub + `; create table a (i int primary key); create table b (i int);
		create table p (i int) partition by range (i); create table p1 partition of p for values from (0) to (10)`)
	db := open(t, pg)
	a, b, p := table(t, db, "a"), table(t, db, "b"), table(t, db, "p")
	oids := []uint32{a.OID, b.OID, p.OID, 1}
	watch := func() map[uint32]Fingerprint {
		t.Helper()
		m, err := db.Watch(t.Context(), oids)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tab := range []*shape.Table{a, p} {
		if err := db.Publish(t.Context(), pub, tab); err != nil {
			t.Fatal(err)
		}
	}
	first := watch()
	if len(first) != 3 || !first[a.OID].Full || !first[a.OID].Published || first[b.OID].Full || first[b.OID].Published || !first[p.OID].Published {
		t.Errorf("got %+v", first)
	}
	if again := watch(); again[a.OID] != first[a.OID] || again[p.OID] != first[p.OID] {
		t.Errorf("nothing changed: %+v, %+v", first, again)
	}
	pg.Exec("alter table a alter i type int8; alter table p add j int; drop table b; create table p2 partition of p for values from (10) to (20)")
	second := watch()
	if second[a.OID].Columns == first[a.OID].Columns || second[p.OID].Columns == first[p.OID].Columns ||
		second[p.OID].Full || len(second) != 2 {
		t.Errorf("got %+v, then %+v", first, second)
	}
	if m, err := db.Watch(t.Context(), nil); err != nil || len(m) != 0 {
		t.Error(m, err)
	}
}
