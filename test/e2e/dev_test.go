package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// `spillway dev` shows live rows to the official client with nothing prepared,
// and a Ctrl-C leaves nothing running.
func TestDev(t *testing.T) {
	t.Parallel()
	t.Run("as the user of the tests", func(t *testing.T) { testDev(t, nil) })
	if os.Geteuid() == 0 {
		t.Run("as an ordinary user", func(t *testing.T) { testDev(t, nobody(t)) })
	}
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		t.Fatalf("user nobody is %s:%s", u.Uid, u.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// place is a directory that the user can reach and write to, with the binary in it.
func place(t *testing.T, who *syscall.Credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "spillway-dev-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "spillway"), b, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// dev runs `spillway dev` in dir, in a process group of its own as a shell does.
func dev(t *testing.T, dir string, who *syscall.Credential, env ...string) *process {
	t.Helper()
	p := command(t, []string{"dev"}, append([]string{"HOME=" + dir, "SPILLWAY_PORT=0", "SPILLWAY_ADMIN_ADDR=127.0.0.1:0"}, env...)...)
	p.cmd.Path, p.cmd.Dir = filepath.Join(dir, "spillway"), dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	return p.start()
}

// ctrlC sends what a terminal sends: the signal to the whole group.
func (p *process) ctrlC() {
	p.t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	if code := p.exit(10 * time.Second); code != 0 {
		p.t.Errorf("exit code %d", code)
	}
}

func testDev(t *testing.T, who *syscall.Credential) {
	dir := place(t, who)
	// Who stops it while it makes its cluster can start it again.
	p := dev(t, dir, who)
	p.said(`^spillway: starting a private (Postgres)`)
	p.ctrlC()
	nobodyLeft(t, dir, 0)

	p = dev(t, dir, who)
	clients, db := p.said(clientsLine), p.said(`^spillway: its database is (\S+)$`)
	p.awaitActive(clients)
	client := follow(t, clients+"/v1/shape", map[string]any{"table": "issues"})
	var first int
	eventually(t, 30*time.Second, "the demo's rows", func() error {
		h := client.rows()
		if first = h.Messages; len(h.Dump) != 300 {
			return fmt.Errorf("%d rows", len(h.Dump))
		}
		return nil
	})
	eventually(t, 30*time.Second, "the demo's changes", func() error {
		if h := client.rows(); h.Messages < first+2 {
			return fmt.Errorf("%d messages", h.Messages)
		}
		return nil
	})
	tried := regexp.MustCompile(`curl -i '([^']+)'`).FindStringSubmatch(p.out.String())
	if tried == nil {
		t.Fatal("it does not say what to try")
	}
	if code, body := get(t, tried[1]); code != http.StatusOK || !strings.Contains(body, "Inspect gate 1") {
		t.Errorf("%s: %d %.200s", tried[1], code, body)
	}
	handle := client.rows().Handle
	highest := query(t, db, "SELECT max(id) FROM comments")
	pid := postmaster(t, dir)
	p.ctrlC()
	nobodyLeft(t, dir, pid)

	// What is there is used again.
	p = dev(t, dir, who)
	clients, db = p.said(clientsLine), p.said(`^spillway: its database is (\S+)$`)
	p.awaitActive(clients)
	if now := query(t, db, "SELECT max(id) FROM comments"); now < highest {
		t.Errorf("the newest comment was %d and is %d", highest, now)
	}
	if h := follow(t, clients+"/v1/shape", map[string]any{"table": "issues"}); handle != "" {
		eventually(t, 30*time.Second, "the same shape", func() error {
			if got := h.rows().Handle; got != handle {
				return fmt.Errorf("handle %s, was %s", got, handle)
			}
			return nil
		})
	}
	// And killed, it takes its Postgres along.
	pid = postmaster(t, dir)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.exit(10 * time.Second)
	eventually(t, 10*time.Second, "Postgres to end", func() error {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			return fmt.Errorf("process %d: %v", pid, err)
		}
		return nil
	})
}

func query(t *testing.T, dbURL, sql string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "spillway-data/postgres/postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// nobodyLeft looks for the server, and for anybody who was started with a path
// below dir.
func nobodyLeft(t *testing.T, dir string, pid int) {
	t.Helper()
	if pid != 0 && syscall.Kill(pid, 0) != syscall.ESRCH {
		t.Errorf("Postgres, process %d, is still there", pid)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(dir)) {
			t.Errorf("%s: %q is still there", file, b)
		}
	}
}

// With DATABASE_URL there is no private Postgres.
func TestDevWithDatabaseURL(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 10))
	dir := place(t, nil)
	p := dev(t, dir, nil, "DATABASE_URL="+db.URL, "SPILLWAY_STREAM_ID="+streamID(t))
	clients := p.said(clientsLine)
	p.awaitActive(clients)
	f := newFollower(clients+"/v1/shape", "table", "items")
	f.until(t, 30*time.Second, "the rows", func() error { return sameRows(f.items(), itemsOf(db, "")) })
	if _, err := os.Stat(filepath.Join(dir, "spillway-data/postgres")); !os.IsNotExist(err) {
		t.Errorf("a private Postgres: %v", err)
	}
	p.ctrlC()
	if got := db.Value("SELECT count(*) FROM pg_class WHERE relname = 'issues'"); got != "0" {
		t.Error("the demo's tables are in somebody's database")
	}
}
