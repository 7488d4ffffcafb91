package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The SQL of docs/operating.md prepares a database for manual publishing, and
// leaves nothing behind when Spillway is removed.
func TestDocumentedSQL(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	// The first is what doctor --sql prints, which has a test of its own.
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of SQL", len(blocks))
	}
	prepare, remove := blocks[1][1], blocks[2][1]

	// The stream is the default one: its slot needs a server of its own.
	db := pgtest.NewServer(t)
	db.Exec(strings.Replace(itemsTable, "items", "issues", 1))
	db.Exec("INSERT INTO issues (id) VALUES (1)")
	db.Exec(prepare)
	db.Exec("CREATE ROLE reader LOGIN REPLICATION; GRANT SELECT ON issues TO reader")
	u := strings.Replace(db.URL, "postgres@", "reader@", 1)
	p := command(t, []string{"serve"}, base(t, u, "SPILLWAY_MANUAL_PUBLISHING=true", "SPILLWAY_STREAM_ID=default")...).start()
	clients := p.said(clientsLine)
	p.awaitActive(clients)
	f := newFollower(clients+"/v1/shape", "table", "issues")
	f.until(t, 30*time.Second, "the row", func() error {
		if len(f.rows) != 1 {
			return fmt.Errorf("%d rows", len(f.rows))
		}
		return nil
	})
	db.Exec("INSERT INTO issues (id) VALUES (2)")
	f.until(t, 30*time.Second, "a change", func() error {
		if len(f.rows) != 2 {
			return fmt.Errorf("%d rows", len(f.rows))
		}
		return nil
	})
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	db.Exec(remove)
	if got := db.Value("SELECT (SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT count(*) FROM pg_publication) || ' ' || relreplident::text FROM pg_class WHERE relname = 'issues'"); got != "0 0 d" {
		t.Errorf("slots, publications, identity: %s", got)
	}
}

// What the README shows is what the program prints.
func TestREADME(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	db := pgtest.New(t)
	dir := place(t, nil)
	p := dev(t, dir, nil, "DATABASE_URL="+db.URL, "SPILLWAY_STREAM_ID="+streamID(t))
	base := p.said(clientsLine)
	_, hint, ok := strings.Cut(p.out.String(), "Try it:")
	if !ok {
		p.said(`(Ctrl-C stops)`)
		_, hint, _ = strings.Cut(p.out.String(), "Try it:")
	}
	hint = strings.NewReplacer(base, "http://127.0.0.1:3000", "<table>", "issues").Replace(strings.TrimSpace(hint))
	for line := range strings.Lines(hint) {
		if !strings.Contains(string(b), strings.TrimSpace(line)) {
			t.Errorf("the README does not show %q", line)
		}
	}
}

// Tests that the documentation names as proof exist.
func TestDocumentedTests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testName.FindAllString(string(text), -1) {
			if !tests[name] {
				t.Errorf("%s names %s, which is not there", filepath.Base(file), name)
			}
		}
	}
}
