package pgdev

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFindSaysHowToInstall(t *testing.T) {
	t.Setenv("SPILLWAY_PG_BIN", t.TempDir())
	if _, _, err := Find(); err == nil || !strings.Contains(err.Error(), "SPILLWAY_PG_BIN") {
		t.Errorf("a variable that names nothing must be said to do so, got %v", err)
	}
	t.Setenv("SPILLWAY_PG_BIN", "")
	t.Setenv("PG_BIN", "")
	bindir, version, err := Find()
	if err != nil {
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "scripts/postgres.sh") {
			t.Errorf("the error does not help: %v", err)
		}
		t.Fatal(err)
	}
	if version < MinVersion {
		t.Errorf("found version %d in %s", version, bindir)
	}
	if h := hint(); !strings.Contains(h, "scripts/postgres.sh") {
		t.Errorf("hint is %q", h)
	}
}

// An unusable version is worse than none when it was asked for by name.
func TestOldVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) 13.4'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PG_BIN", dir)
	if _, _, err := Find(); err == nil || !strings.Contains(err.Error(), "13") {
		t.Errorf("got %v", err)
	}
}

// dataDir is a directory the server's user can reach: t.TempDir is not when we
// are root.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgdev-test-")
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
	data := filepath.Join(dir, "data")
	t.Cleanup(func() {
		// A server that was killed leaves it to its successor.
		if err := os.RemoveAll(filepath.Join(os.TempDir(), "spillway-pg-socket-"+shortHash(data))); err != nil {
			t.Error(err)
		}
	})
	return data
}

func TestClusterIsKeptAndUsedAgain(t *testing.T) {
	dir := dataDir(t)
	opts := Options{Dir: dir, Settings: map[string]string{"fsync": "off"}, TemplateCache: "/tmp"}
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(Immediate); err != nil {
			t.Error(err)
		}
	})
	if !accepts(s) {
		t.Error("a started server does not accept connections")
	}
	if _, err := Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "lock file") {
		t.Errorf("a second server on the same directory: %v", err)
	}
	if !accepts(s) {
		t.Fatal("the second server has harmed the first")
	}
	marker := filepath.Join(dir, "base", "marker")
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(Fast); err != nil {
		t.Fatal(err)
	}
	if s.PID() != 0 || accepts(s) {
		t.Error("a stopped server is still there")
	}
	again, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(again.Restart(t.Context()), again.Stop(Fast)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("the cluster was made anew: %v", err)
	}
}

func TestOtherVersionOfCluster(t *testing.T) {
	dir := dataDir(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "made by Postgres 9") {
		t.Errorf("got %v", err)
	}
}

func TestPlace(t *testing.T) {
	o := &owner{name: "somebody else", uid: os.Geteuid() + 1}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := o.blocked(filepath.Join(closed, "a", "b")); got == "" {
		t.Errorf("%s was not seen to be closed", closed)
	}
	if got := o.blocked("/tmp/x"); got != "" {
		t.Errorf("/tmp/x was seen to be closed at %s", got)
	}
	a, err := Place(filepath.Join(closed, "pg"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Place(filepath.Join(closed, "pg"))
	if err != nil || a != b {
		t.Errorf("places are %s and %s, %v", a, b, err)
	}
}

// TestDiesWithUs starts a server in a process of its own, this test binary
// again, kills that process and waits for the end of all it had.
func TestDiesWithUs(t *testing.T) {
	for _, ephemeral := range []bool{false, true} {
		t.Run("ephemeral="+strconv.FormatBool(ephemeral), func(t *testing.T) {
			dir := dataDir(t)
			cmd := exec.Command(os.Args[0], "-test.run=^TestHelperServe$")
			cmd.Env = append(os.Environ(), "PGDEV_SERVE="+dir, "PGDEV_EPHEMERAL="+strconv.FormatBool(ephemeral))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, err := out.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			port := strings.TrimSpace(string(buf[:n]))
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			eventually(t, "server still there", func() bool { return !listens(port) })
			if ephemeral {
				eventually(t, "directory still there", func() bool {
					_, err := os.Stat(dir)
					return errors.Is(err, os.ErrNotExist)
				})
			}
		})
	}
}

// TestHelperServe is the other process of TestDiesWithUs.
func TestHelperServe(t *testing.T) {
	dir := os.Getenv("PGDEV_SERVE")
	if dir == "" {
		return
	}
	s, err := Start(t.Context(), Options{Dir: dir, TemplateCache: "/tmp", Ephemeral: os.Getenv("PGDEV_EPHEMERAL") == "true"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stdout.WriteString(strconv.Itoa(s.Port()) + "\n"); err != nil {
		t.Fatal(err)
	}
	select {}
}

func accepts(s *Server) bool { return listens(strconv.Itoa(s.Port())) }

func listens(port string) bool {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !cond() {
		if wait(ctx, pollEvery) != nil {
			t.Fatal(what)
		}
	}
}
