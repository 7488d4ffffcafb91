package doctor

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgdev"
	"github.com/spillway-sync/spillway/internal/pgrepl"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// Where all is right nothing fails, and nothing is changed.
func TestAllIsRight(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE items (id int PRIMARY KEY)")
	o := options(t, db.URL)
	o.Config.DataDir = filepath.Join(t.TempDir(), "not", "yet")
	o.Config.StreamID = db.Name
	before := db.Value("select count(*) from pg_publication") + db.Value("select count(*) from pg_replication_slots where slot_name = '"+o.Config.Slot()+"'")
	r := Examine(t.Context(), o)
	if r.Failures > 0 || r.NotChecked != nil {
		t.Errorf("it fails:\n%s", printed(t, r))
	}
	for _, code := range []string{"configuration", "data_dir", "free_space", "open_files", "port", "admin_port", "reachable", "tls", "authentication",
		"version", "standby", "wal_level", "encoding", "max_replication_slots", "max_wal_senders", "wal_sender_timeout", "synchronous_commit", "clock",
		"timeouts", "connections", "replication", "replication_mode", "slot_lock", "slot", "publication", "tables"} {
		want(t, r, code, OK, "")
	}
	after := db.Value("select count(*) from pg_publication") + db.Value("select count(*) from pg_replication_slots where slot_name = '"+o.Config.Slot()+"'")
	if before != after {
		t.Errorf("publications and slots: %s before, %s after", before, after)
	}
	if _, err := os.Stat(filepath.Dir(o.Config.DataDir)); err == nil {
		t.Error("the data directory was made")
	}
}

// Each fault is seeded where it happens, and has its own code. No code is left that no
// test has seen, or that the documents do not explain.
func TestFaults(t *testing.T) {
	parts := []struct {
		name string
		run  func(*testing.T)
	}{
		{"Host", testHost},
		{"Connection", testConnection},
		{"Settings", testSettings},
		{"Slots", testSlots},
		{"Publications", testPublications},
		{"Tables", testTables},
		{"Transactions", testTransactions},
		{"LockedDown", testLockedDown},
		{"ServerSettings", testServerSettings},
		{"ServerWithoutReplication", testServerWithoutReplication},
		{"Judgements", testJudgements},
	}
	ran := 0
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { ran++; t.Parallel(); p.run(t) })
	}
	t.Cleanup(func() {
		if ran == len(parts) && !t.Failed() {
			everyCode(t)
		}
	})
}

func testHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr)
	o := options(t, "")
	o.Faults, o.Warnings = []string{"DATABASE_URL is required"}, []string{"SPILLWAY_PROT is unknown"}
	o.Config.ListenAddr, o.Config.Port, o.Config.AdminAddr = "", taken.Port, taken.String()
	o.Config.DataDir = filepath.Join(t.TempDir(), "file")
	o.Config.JournalBudget = 1 << 60
	o.Descriptors = 256
	if err := os.WriteFile(o.Config.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := expect(t, o, "configuration", Fail, "DATABASE_URL is required")
	want(t, r, "unknown_variable", Warn, "SPILLWAY_PROT")
	want(t, r, "insecure", Warn, "SPILLWAY_INSECURE")
	want(t, r, "data_dir", Fail, "not a directory")
	want(t, r, "port", Fail, "in use")
	want(t, r, "admin_port", Fail, "in use")
	want(t, r, "open_files", Warn, "256")
	if len(r.NotChecked) != 7 {
		t.Errorf("not looked at: %q", r.NotChecked)
	}
	// Beside a running service.
	o.Config.DataDir = t.TempDir()
	if err := os.WriteFile(filepath.Join(o.Config.DataDir, "LOCK"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, Examine(t.Context(), o), "data_dir", OK, "of a service that does not run")
	occupy(t, o.Config.DataDir)
	r = expect(t, o, "free_space", Warn, "1 EiB")
	want(t, r, "data_dir", OK, "a service is running in it")
	want(t, r, "port", OK, "by the running service")
	want(t, r, "admin_port", OK, "by the running service")
}

// occupy locks a data directory as a running service does.
func occupy(t testing.TB, dir string) {
	t.Helper()
	lock, err := os.Create(filepath.Join(dir, "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() }) // with it the lock goes
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

func testConnection(t *testing.T) {
	db, other := pgtest.New(t), pgtest.New(t)
	role := newRole(t, db, "CONNECTION LIMIT 0")
	for _, c := range []struct{ code, url, text string }{
		{"reachable", "postgresql://u@127.0.0.1:1/d", "refused"},
		{"reachable", "postgresql://u@nowhere.invalid/d", "nowhere.invalid"},
		{"tls", strings.Replace(db.URL, "sslmode=disable", "sslmode=require", 1), "refused TLS"},
		{"authentication", as(t, db, "nobody_there"), "nobody_there"},
		{"database", strings.Replace(db.URL, "/"+db.Name, "/nowhere", 1), "nowhere"},
		{"connections", as(t, db, role), "too many connections for role"},
	} {
		r := expect(t, options(t, c.url), c.code, Fail, c.text)
		if len(r.NotChecked) != 6 {
			t.Errorf("%s: not looked at: %q", c.code, r.NotChecked)
		}
		if strings.Contains(printed(t, r), "geheim") {
			t.Errorf("%s tells the password", c.code)
		}
	}
	o := options(t, db.URL)
	o.Config.PooledDatabaseURL = other.URL
	expect(t, o, "pooled_url", Fail, "database "+other.Name)
	o.Config.PooledDatabaseURL = db.URL + "&application_name=x"
	want(t, Examine(t.Context(), o), "pooled_url", OK, "")
	o.Config.PooledDatabaseURL = as(t, db, role)
	want(t, Examine(t.Context(), o), "pooled_url", Fail, "too many connections")

	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = pooler(t, u.Host)
	r := expect(t, options(t, u.String()), "replication_mode", Fail, "unsupported startup parameter")
	want(t, r, "authentication", OK, db.Name)
	want(t, r, "tables", OK, "none yet") // the rest is looked at
	db.Exec("ALTER DATABASE " + db.Name + " CONNECTION LIMIT 20")
	o = options(t, as(t, db, role))
	db.Exec("ALTER ROLE " + role + " CONNECTION LIMIT -1")
	o.Config.PoolSize = 40
	expect(t, o, "connections", Warn, "SPILLWAY_DB_POOL_SIZE")
}

// Settings of a database or a role.
func testSettings(t *testing.T) {
	db := pgtest.New(t, pgtest.Options{Settings: map[string]string{
		"default_transaction_read_only": "on", "synchronous_commit": "off", "idle_session_timeout": "4s", "statement_timeout": "1min",
	}})
	o := options(t, db.URL)
	r := expect(t, o, "read_only", Fail, "default_transaction_read_only")
	want(t, r, "synchronous_commit", Warn, "is off")
	want(t, r, "timeouts", Warn, "idle_session_timeout is 4s")
	o.Config.ManualPublishing = true
	for _, f := range Examine(t.Context(), o).Findings {
		if f.Code == "read_only" {
			t.Error("nothing is written when publishing is manual")
		}
	}
	bare := pgtest.New(t)
	want(t, Examine(t.Context(), options(t, as(t, bare, newRole(t, bare, "")))), "replication", Fail, "no REPLICATION attribute")
	admin := pgtest.New(t)
	admin.Exec("CREATE DATABASE ascii_" + admin.Name + " TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { admin.Exec("DROP DATABASE ascii_" + admin.Name) })
	expect(t, options(t, strings.Replace(admin.URL, "/"+admin.Name, "/ascii_"+admin.Name, 1)), "encoding", Warn, "SQL_ASCII")
}

func testSlots(t *testing.T) {
	db, other := pgtest.New(t), pgtest.New(t)
	with := func(id string) Options {
		o := options(t, db.URL)
		o.Config.StreamID = id + "_" + db.Name
		return o
	}
	physical := with("physical")
	db.Value("select pg_create_physical_replication_slot($1) is null", physical.Config.Slot())
	t.Cleanup(func() { db.Value("select pg_drop_replication_slot($1) is null", physical.Config.Slot()) })
	expect(t, physical, "slot_plugin", Fail, "a physical one")

	foreign := with("foreign")
	other.Value("select pg_create_logical_replication_slot($1, 'pgoutput') is null", foreign.Config.Slot())
	expect(t, foreign, "slot_database", Fail, other.Name)

	// A temporary slot is in use by who made it.
	used := with("used")
	conn := db.Conn()
	if _, err := conn.Exec(t.Context(), "select pg_create_logical_replication_slot($1, 'pgoutput', true)", used.Config.Slot()); err != nil {
		t.Fatal(err)
	}
	expect(t, used, "slot_in_use", Fail, "no Spillway")
	s, err := pgrepl.Connect(t.Context(), pgrepl.Config{ConnString: db.URL, Slot: used.Config.Slot(), ApplicationName: "spillway"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	if ok, err := s.TryLock(t.Context()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	r := expect(t, used, "slot_lock", Warn, "Another service")
	want(t, r, "slot", OK, "by a running service")

	kept := with("kept")
	db.Value("select pg_create_logical_replication_slot($1, 'pgoutput') is null", kept.Config.Slot())
	db.Exec("CREATE TABLE filler AS SELECT i FROM generate_series(1, 1000) i")
	kept.Config.WALBudget = 1
	r = expect(t, kept, "slot_retains", Warn, "SPILLWAY_WAL_BUDGET")
	want(t, r, "slot", OK, "not in use")
}

func testPublications(t *testing.T) {
	db := pgtest.New(t)
	role := newRole(t, db, "REPLICATION")
	o := options(t, as(t, db, role))
	name := o.Config.Publication()
	expect(t, o, "create_publication", Fail, "lacks CREATE")
	o.Config.ManualPublishing = true
	expect(t, o, "publication_missing", Fail, name)
	db.Exec("CREATE PUBLICATION " + name + " WITH (publish = 'insert')")
	expect(t, o, "publication_settings", Fail, "all required operations")
	db.Exec("ALTER PUBLICATION " + name + " SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)")
	expect(t, o, "publication_settings", Fail, "under the name of their root")
	db.Exec("ALTER PUBLICATION " + name + " SET (publish_via_partition_root = false)")
	r := expect(t, o, "tables", Warn, "is empty")
	want(t, r, "publication", OK, "all operations")
	o.Config.ManualPublishing = false
	expect(t, o, "publication_owner", Warn, "not ours")
}

func testTables(t *testing.T) {
	db := pgtest.New(t)
	role := newRole(t, db, "REPLICATION")
	o := options(t, as(t, db, role))
	name := o.Config.Publication()
	db.Exec(`CREATE TABLE fine (id int PRIMARY KEY); CREATE TABLE hidden (id int); CREATE TABLE secured (id int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
		CREATE TABLE filtered (id int); CREATE TABLE outside (id int); CREATE TABLE thin (id int PRIMARY KEY, part int) ; CREATE UNLOGGED TABLE fast (id int);
		CREATE VIEW seen AS SELECT 1 AS id; CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + role + `; REVOKE SELECT ON hidden FROM ` + role)
	for _, table := range []string{"fine", "hidden", "secured", "filtered", "outside"} {
		db.Exec("ALTER TABLE " + table + " REPLICA IDENTITY FULL")
	}
	publication := "CREATE PUBLICATION " + name + " FOR TABLE fine, hidden, secured, thin, parts"
	if db.Server.Version() >= 15 { // the first one with row filters
		publication += ", filtered WHERE (id > 5)"
	}
	db.Exec(publication)
	o.Config.ManualPublishing = true
	r := expect(t, o, "table_privilege", Fail, "public.hidden")
	if db.Server.Version() >= 15 {
		want(t, r, "publication_filter", Fail, "public.filtered")
	}
	seeded.Store("publication_filter", true)
	want(t, r, "row_security", Fail, "public.secured")
	want(t, r, "replica_identity", Fail, "public.parts, public.thin")
	want(t, r, "tables", OK, "1 can be served: public.fine")
	if out := printed(t, r); strings.Contains(out, "outside") || strings.Contains(out, "fast") {
		t.Errorf("what is not published is nobody's business:\n%s", out)
	}
	o.Tables = [][2]string{{"public", "outside"}, {"public", "fast"}, {"public", "seen"}, {"public", "absent"}, {"public", "fine"}}
	r = expect(t, o, "table_unpublished", Fail, "public.outside")
	want(t, r, "table_kind", Fail, "public.fast, public.seen")
	want(t, r, "table_missing", Fail, "public.absent")
	want(t, r, "tables", OK, "1 can be served: public.fine")

	// By itself the service does what its role may do.
	o.Config.ManualPublishing = false
	want(t, Examine(t.Context(), o), "table_owner", Fail, "public.outside")
	o.Tables = nil
	r = Examine(t.Context(), o)
	want(t, r, "table_owner", Warn, "public.outside") // perhaps nobody wants it
	want(t, r, "table_kind", Warn, "public.fast")
	want(t, r, "replica_identity", Fail, "public.thin")
	o.Config.DatabaseURL = db.URL
	o.Tables = [][2]string{{"public", "outside"}, {"public", "thin"}, {"public", "parts"}, {"public", "secured"}}
	want(t, Examine(t.Context(), o), "tables", OK, "4 can be served")
}

func testTransactions(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("CREATE TABLE t (id int)")
	db.Exec("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left_" + db.Name + "'")
	tx, err := db.Conn().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL application_name = 'sleeper'; INSERT INTO t VALUES (2)", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	o := options(t, db.URL)
	o.old = time.Nanosecond
	r := expect(t, o, "long_transaction", Warn, "cannot be made before")
	want(t, r, "prepared_transaction", Warn, "left_"+db.Name)
	o.old = time.Hour
	want(t, Examine(t.Context(), o), "transactions", OK, "older than 1h0m0s")
	// Who may not see the others' transactions says so.
	o.Config.DatabaseURL = as(t, db, newRole(t, db, "REPLICATION"))
	want(t, Examine(t.Context(), o), "transactions", OK, "may not see")
}

// What an administrator has forbidden to be asked is told, and what follows from it is
// not guessed.
func testLockedDown(t *testing.T) {
	db := pgtest.New(t)
	o := options(t, as(t, db, newRole(t, db, "REPLICATION")))
	db.Exec("REVOKE EXECUTE ON FUNCTION pg_catalog.row_security_active(oid) FROM PUBLIC")
	r := expect(t, o, "question", Fail, "permission denied for function row_security_active")
	want(t, r, "transactions", OK, "") // the rest is looked at
	db.Exec("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_is_in_recovery() FROM PUBLIC")
	r = expect(t, o, "question", Fail, "permission denied for function pg_is_in_recovery")
	if len(r.NotChecked) != 5 || r.Failures != 1 {
		t.Errorf("not looked at: %q, in\n%s", r.NotChecked, printed(t, r))
	}
}

// What a server is started or reloaded with.
func testServerSettings(t *testing.T) {
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"max_replication_slots": "1", "max_wal_senders": "1"}})
	o := options(t, db.URL)
	set := func(name, value string) {
		t.Helper()
		db.Exec("ALTER SYSTEM SET " + name + " = '" + value + "'")
		db.Exec("SELECT pg_reload_conf()")
		until(t, name, func() bool { return db.Value("SHOW "+name) == value })
	}
	expect(t, o, "max_slot_wal_keep_size", Warn, "not set")
	set("wal_sender_timeout", "0")
	expect(t, o, "wal_sender_timeout", Warn, "never notices")
	set("wal_sender_timeout", "2s")
	expect(t, o, "wal_sender_timeout", Warn, "short pause")
	set("wal_sender_timeout", "1h")
	expect(t, o, "wal_sender_timeout", Warn, "stay in use")
	set("max_slot_wal_keep_size", "1MB")
	want(t, Examine(t.Context(), o), "max_slot_wal_keep_size", OK, "1 MiB")
	o.Config.WALBudget = 1 << 30
	expect(t, o, "wal_budget", Warn, "never reached")

	db.Value("select pg_create_logical_replication_slot($1, 'pgoutput') is null", o.Config.Slot())
	db.Exec("CREATE TABLE t (id int)")
	for range 3 {
		db.Exec("INSERT INTO t VALUES (1)")
		db.Value("SELECT pg_switch_wal() IS NULL")
	}
	db.Exec("CHECKPOINT")
	r := expect(t, o, "slot_lost", Warn, "every shape starts again")
	want(t, r, "max_replication_slots", OK, "1 of 1") // it is ours
	o.Config.StreamID = "another"
	expect(t, o, "max_replication_slots", Fail, "none of them")

	var s *pgrepl.Session
	until(t, "the only walsender is free again", func() bool {
		var err error
		s, err = pgrepl.Connect(t.Context(), pgrepl.Config{ConnString: db.URL, Slot: "x"})
		return err == nil
	})
	r = expect(t, o, "max_wal_senders", Warn, "All 1")
	want(t, r, "replication_mode", Fail, "max_wal_senders")
	occupy(t, o.Config.DataDir)
	want(t, Examine(t.Context(), o), "replication_mode", OK, "by the running service")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	set("synchronous_standby_names", "*")
	expect(t, o, "synchronous_standby_names", Warn, "our journal")
	set("synchronous_standby_names", "")

	dir := db.Value("SHOW data_directory")
	if err := db.Server.Halt(pgdev.Fast); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := db.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, o, "standby", Fail, "is a standby")
	if err := db.Server.Halt(pgdev.Fast); err != nil { // nothing can be dropped there
		t.Fatal(err)
	}
}

func testServerWithoutReplication(t *testing.T) {
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0"}})
	r := expect(t, options(t, db.URL), "wal_level", Fail, `"replica"`)
	want(t, r, "max_replication_slots", Fail, "is 0")
	want(t, r, "max_wal_senders", Fail, "is 0")
}

// until waits for a server that was told to reload.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// everyCode compares the codes of the source, of the tests and of the documents.
func everyCode(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	const doc = "../../docs/operating.md"
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, section, _ := strings.Cut(read(doc), "<!-- codes of the doctor -->\n")
	section, _, _ = strings.Cut(section, "<!-- end of codes -->\n")
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = true
		if _, ok := seeded.Load(m[1]); !ok {
			t.Errorf("%s explains %s, which no test has provoked", doc, m[1])
		}
	}
	seeded.Range(func(code, _ any) bool {
		if !documented[code.(string)] {
			t.Errorf("%s does not explain %s", doc, code)
		}
		return true
	})
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:\.(?:warn|fail)\(|(?m)^\t\{)"([a-z_]+)", `).FindAllStringSubmatch(read(path), -1) {
			if _, ok := seeded.Load(m[1]); !ok {
				t.Errorf("%s: no test has provoked %s", path, m[1])
			}
		}
	}
}
