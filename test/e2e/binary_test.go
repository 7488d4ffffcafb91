package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

func TestConfigurationFaults(t *testing.T) {
	t.Parallel()
	p := command(t, []string{"serve"}, "DATABASE_URL=postgresql://u:hunter2@h/d?sslmode=often&password=geheim",
		"SPILLWAY_SECRET=verborgen", "ELECTRIC_SECRET=caché", "SPILLWAY_PORT=70000", "SPILLWAY_INSECURE=perhaps").start()
	if code := p.exit(10 * time.Second); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	contains(t, p.err.String(), "SPILLWAY_SECRET and ELECTRIC_SECRET", "SPILLWAY_PORT: 70000", "SPILLWAY_INSECURE", "sslmode")
	conceals(t, p.err.String()+p.out.String(), "hunter2", "geheim", "verborgen", "caché")
	if p.out.String() != "" {
		t.Error("faults belong to stderr")
	}
	for _, args := range [][]string{{"serve", "--bogus"}, {"server"}, {"dev", "--port=x"}} {
		if code := command(t, args).start().exit(10 * time.Second); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
	}
}

// An address that is taken is a fault of the configuration.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	const away = "postgresql://u@127.0.0.1:1/d"
	first := command(t, []string{"serve"}, base(t, away)...).start()
	for _, name := range []string{"SPILLWAY_PORT", "SPILLWAY_ADMIN_ADDR"} {
		line, addr := clientsLine, "SPILLWAY_PORT="
		if name == "SPILLWAY_ADMIN_ADDR" {
			line, addr = operatorsLine, "SPILLWAY_ADMIN_ADDR=127.0.0.1:"
		}
		u, err := url.Parse(first.said(line))
		if err != nil {
			t.Fatal(err)
		}
		second := command(t, []string{"serve"}, base(t, away, addr+u.Port())...).start()
		if code := second.exit(10 * time.Second); code != 2 {
			t.Errorf("%s: exit code %d, want 2", name, code)
		}
		contains(t, second.err.String(), name, "address already in use")
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--help"}} {
		p := command(t, args).start()
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("%v: exit code %d", args, code)
		}
		contains(t, p.out.String(), "spillway dev", "spillway serve", "Exit codes", "Electric")
	}
	p := command(t, []string{"serve", "--help"}).start()
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"DATABASE_URL", "PORT", "LISTEN_ADDR", "ADMIN_ADDR", "DATA_DIR", "SECRET", "INSECURE", "STREAM_ID", "STALL_GRACE",
		"JOURNAL_BUDGET", "WAL_BUDGET", "LONG_POLL_TIMEOUT", "CHUNK_BYTES", "LOG_LEVEL", "LOG_FORMAT"} {
		contains(t, p.out.String(), name)
	}
	p = command(t, []string{"version"}).start()
	if code := p.exit(10 * time.Second); code != 0 || !strings.HasPrefix(p.out.String(), "spillway ") {
		t.Errorf("exit code %d, said %q", code, p.out)
	}
}

// Electric's names configure everything, whatever else the environment holds;
// no secret is in the log, however much is logged.
func TestElectricsNames(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE ROLE alias LOGIN SUPERUSER PASSWORD 'hunter2'")
	t.Cleanup(func() { db.Exec("DROP OWNED BY alias; DROP ROLE alias") })
	dir := t.TempDir()
	p := command(t, []string{"serve"}, "DATABASE_URL="+as(t, db.URL, url.UserPassword("alias", "hunter2")),
		"SPILLWAY_LISTEN_ADDR=127.0.0.1", "SPILLWAY_ADMIN_ADDR=127.0.0.1:0", "SPILLWAY_PORT=", "ELECTRIC_PORT=0",
		"ELECTRIC_SECRET=geheim", "ELECTRIC_STORAGE_DIR="+dir, "ELECTRIC_REPLICATION_STREAM_ID="+streamID(t),
		"ELECTRIC_LONG_POLL_TIMEOUT=200", "SPILLWAY_LONG_POLL_TIMEOUT=200ms",
		"ELECTRIC_LOG_LEVEL=debug", "SPILLWAY_LOG_FORMAT=json",
		"ELECTRIC_INSTANCE_ID=5", "SPILLWAY_CHUNK_BITES=5").start()
	clients := p.said(clientsLine)
	p.awaitActive(clients)
	db.Exec("CREATE TABLE t (id int PRIMARY KEY)")
	if code, body := get(t, clients+"/v1/shape?table=t&offset=-1"); code != http.StatusUnauthorized {
		t.Errorf("without the secret: %d %s", code, body)
	}
	f := newFollower(clients+"/v1/shape", "table", "t", "secret", "geheim")
	f.until(t, 30*time.Second, "the first sync", func() error { return nil })
	f.until(t, 30*time.Second, "a long poll of 200 ms", func() error { return nil })
	if _, err := os.Stat(filepath.Join(dir, "journal")); err != nil {
		t.Error(err)
	}
	if got := db.Value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'spillway_slot_" + streamID(t) + "'"); got != "1" {
		t.Error("the slot has another name")
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log := p.err.String()
	conceals(t, log+p.out.String(), "hunter2", "geheim")
	contains(t, log, `"secret":"xxxxx"`, "ELECTRIC_INSTANCE_ID is not supported", "do you mean SPILLWAY_CHUNK_BYTES?")
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// as replaces user and password of a URL.
func as(t *testing.T, dbURL string, user *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(dbURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	return u.String()
}

// A Postgres that is set up in a way we cannot use ends the process, with what
// to change.
func TestPostgresRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE ROLE no_replication LOGIN")
	t.Cleanup(func() { db.Exec("DROP ROLE no_replication") })
	replica := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "replica"}})
	nowhere, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Path = "/nowhere"
	tests := []struct {
		what, url string
		want      []string
	}{
		{"wal_level", replica.URL, []string{"wal_level", "ALTER SYSTEM SET wal_level = 'logical'"}},
		{"no REPLICATION", as(t, db.URL, url.User("no_replication")), []string{"REPLICATION", "ALTER ROLE"}},
		{"no database", nowhere.String(), []string{`"nowhere" does not exist`, "DATABASE_URL"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			p := command(t, []string{"serve"}, base(t, tt.url)...).start()
			if code := p.exit(20 * time.Second); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			contains(t, p.err.String(), tt.want...)
		})
	}
}

// What often mends itself is waited for: a server that is away, a role or a
// host that is not known yet.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	t.Run("role", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		p := command(t, []string{"serve"}, base(t, as(t, db.URL, url.UserPassword("later", "geheim")))...).start()
		clients := p.said(clientsLine)
		eventually(t, 20*time.Second, "a word about it", func() error {
			if !strings.Contains(p.err.String(), `role \"later\" does not exist`) {
				return fmt.Errorf("nothing in the log")
			}
			return nil
		})
		db.Exec("CREATE ROLE later LOGIN SUPERUSER")
		t.Cleanup(func() { db.Exec("DROP OWNED BY later; DROP ROLE later") })
		p.awaitActive(clients)
		p.signal(syscall.SIGTERM)
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
		conceals(t, p.err.String(), "geheim")
	})
	for what, tt := range map[string]struct {
		url      string
		attempts int // a host that is not known is tried again slowly
	}{
		"server": {"postgresql://u:geheim@127.0.0.1:1/d", 2},
		"host":   {"postgresql://u:geheim@nowhere.invalid/d", 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := command(t, []string{"serve"}, base(t, tt.url)...).start()
			clients, operators := p.said(clientsLine), p.said(operatorsLine)
			eventually(t, 60*time.Second, "a word about it", func() error {
				if n := strings.Count(p.err.String(), "will try again"); n < tt.attempts {
					return fmt.Errorf("%d attempts", n)
				}
				return nil
			})
			for page, want := range map[string]struct {
				code int
				body string
			}{
				clients + "/v1/health":  {202, `{"status":"starting"}`},
				operators + "/healthz":  {200, `"ok"`},
				operators + "/readyz":   {503, `"starting"`},
				operators + "/status":   {200, `"health": "starting"`},
				operators + "/metrics":  {200, `spillway_health{health="starting"} 1`},
				clients + "/v1/unknown": {404, ""},
			} {
				if code, body := get(t, page); code != want.code || !strings.Contains(body, want.body) {
					t.Errorf("%s: %d %s, want %d %s", page, code, body, want.code, want.body)
				}
			}
			p.signal(syscall.SIGINT)
			if code := p.exit(10 * time.Second); code != 0 {
				t.Errorf("exit code %d", code)
			}
			conceals(t, p.err.String(), "geheim")
		})
	}
}

func TestStorageRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 10))
	dir := t.TempDir()
	env := base(t, db.URL, "SPILLWAY_DATA_DIR="+dir)
	first := command(t, []string{"serve"}, env...).start()
	clients := first.said(clientsLine)
	first.awaitActive(clients)
	f := newFollower(clients+"/v1/shape", "table", "items")
	f.until(t, 30*time.Second, "the first sync", func() error { return nil })
	for n := range 50 {
		db.Exec(fmt.Sprintf("UPDATE items SET n = %d", n))
	}
	f.until(t, 30*time.Second, "the updates", func() error { return sameRows(f.items(), itemsOf(db, "")) })

	second := command(t, []string{"serve"}, env...).start()
	if code := second.exit(10 * time.Second); code != 4 {
		t.Errorf("a second process in the same directory: exit code %d, want 4", code)
	}
	contains(t, second.err.String(), "another process works in it", dir)

	first.signal(syscall.SIGTERM)
	if code := first.exit(10 * time.Second); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	spoil(t, filepath.Join(dir, "journal"))
	broken := command(t, []string{"serve"}, env...).start()
	if code := broken.exit(10 * time.Second); code != 4 {
		t.Errorf("a corrupt journal: exit code %d, want 4", code)
	}
	contains(t, broken.err.String(), "journal")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := command(t, []string{"serve"}, base(t, db.URL, "SPILLWAY_DATA_DIR="+file)...).start()
	if code := p.exit(10 * time.Second); code != 4 {
		t.Errorf("a file in place of the directory: exit code %d, want 4", code)
	}
	contains(t, p.err.String(), file)
}

// spoil changes one byte in the middle of the journal's oldest segment.
func spoil(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments of %s: %v, %v", dir, files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(b, "\x00"))
	b[end/2] ^= 0x20
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A stop answers who waits, lets who reads finish, and tells Postgres how far
// the journal has come, so that the next start goes on from there.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) { testStop(t, sig) })
	}
}

func testStop(t *testing.T, sig syscall.Signal) {
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 100))
	db.Exec("CREATE TABLE big (id int PRIMARY KEY, body text); INSERT INTO big SELECT i, repeat(md5(i::text), 32768) FROM generate_series(1, 40) i")
	dir := t.TempDir()
	env := base(t, db.URL, "SPILLWAY_DATA_DIR="+dir, "SPILLWAY_CHUNK_BYTES=100MiB", "SPILLWAY_LONG_POLL_TIMEOUT=40s")
	p := command(t, []string{"serve"}, env...).start()
	clients, operators := p.said(clientsLine), p.said(operatorsLine)
	p.awaitActive(clients)
	f := newFollower(clients+"/v1/shape", "table", "items")
	f.until(t, 30*time.Second, "the first sync", func() error { return nil })

	// A download that takes its time …
	resp, err := http.Get(clients + "/v1/shape?table=big&offset=-1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	// … and a follower that waits.
	held := make(chan error, 1)
	go func() {
		upToDate, err := f.step(t.Context())
		if err == nil && !upToDate {
			err = fmt.Errorf("it was not told to be up to date")
		}
		held <- err
	}()
	eventually(t, 20*time.Second, "the follower to wait", func() error {
		if _, stacks := get(t, operators+"/debug/pprof/goroutine?debug=2"); !strings.Contains(stacks, "(*visit).hold") {
			return fmt.Errorf("nobody waits")
		}
		return nil
	})
	asked := time.Now()
	p.signal(sig)
	slow := time.NewTicker(30 * time.Millisecond)
	defer slow.Stop()
	for err == nil {
		<-slow.C
		_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
	}
	if err != io.EOF {
		t.Errorf("the download in flight was cut: %v", err)
	}
	if err := <-held; err != nil {
		t.Errorf("the follower that waited: %v", err)
	}
	if code := p.exit(10*time.Second - time.Since(asked)); code != 0 {
		t.Errorf("exit code %d", code)
	}
	slot := "spillway_slot_" + streamID(t)
	confirmed := db.Value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + slot + "'")
	j, err := journal.Open(journal.Options{FS: vfs.Default, Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	end := j.Stats().Synced.String()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if confirmed != end {
		t.Errorf("Postgres was told %s, the journal ends at %s", confirmed, end)
	}

	db.Exec("UPDATE items SET n = n + 1")
	p = command(t, []string{"serve"}, env...).start()
	f.base = p.said(clientsLine) + "/v1/shape"
	f.until(t, 30*time.Second, "what was written meanwhile", func() error { return sameRows(f.items(), itemsOf(db, "")) })
	if f.rotations != 0 {
		t.Errorf("%d rotations", f.rotations)
	}
}

// Who does not read is cut off in time; who cannot wait for that sends a second
// signal.
func TestStopWithADeadReader(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE big (id int PRIMARY KEY, body text); INSERT INTO big SELECT i, repeat(md5(i::text), 32768) FROM generate_series(1, 40) i")
	for _, signals := range []int{1, 2} {
		t.Run(fmt.Sprint(signals), func(t *testing.T) {
			p := command(t, []string{"serve"}, base(t, db.URL, "SPILLWAY_CHUNK_BYTES=100MiB")...).start()
			clients := p.said(clientsLine)
			p.awaitActive(clients)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, clients+"/v1/shape?table=big&offset=-1", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			p.signal(syscall.SIGINT)
			if signals == 1 {
				if code := p.exit(10 * time.Second); code != 0 {
					t.Errorf("exit code %d", code)
				}
				return
			}
			eventually(t, 10*time.Second, "clients to be refused", func() error {
				r, err := http.Get(clients + "/v1/health")
				if err == nil {
					r.Body.Close()
					return fmt.Errorf("still served")
				}
				return nil
			})
			p.signal(syscall.SIGINT)
			if code := p.exit(2 * time.Second); code != -1 {
				t.Errorf("exit code %d, want an end by the signal", code)
			}
		})
	}
}

func TestOperatorsPages(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 10))
	p := command(t, []string{"serve"}, base(t, db.URL)...).start()
	clients, operators := p.said(clientsLine), p.said(operatorsLine)
	p.awaitActive(clients)
	newFollower(clients+"/v1/shape", "table", "items").until(t, 30*time.Second, "a shape", func() error { return nil })
	for page, want := range map[string]string{
		"/healthz":                       `"status": "ok"`,
		"/readyz":                        `"status": "active"`,
		"/metrics":                       `spillway_health{health="active"} 1`,
		"/status":                        `"slot": "spillway_slot_testoperatorspages"`,
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "internal/engine",
		"/debug/pprof/cmdline":           "serve",
		"/debug/pprof/profile?seconds=1": "",
	} {
		if code, body := get(t, operators+page); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s, want something with %s", page, code, body, want)
		}
	}
	var status struct {
		Health    string
		Positions map[string]string
		Shapes    map[string]int
	}
	_, body := get(t, operators+"/status")
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if status.Health != "active" || status.Shapes["live"] != 1 || len(status.Positions) != 7 {
		t.Errorf("status: %s", body)
	}
	for name, lsn := range status.Positions {
		if !regexp.MustCompile(`^[0-9A-F]+/[0-9A-F]+$`).MatchString(lsn) {
			t.Errorf("position %s: %q", name, lsn)
		}
	}
	if code, _ := get(t, clients+"/status"); code != http.StatusNotFound {
		t.Errorf("clients can read /status: %d", code)
	}
}
