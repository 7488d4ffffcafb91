package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// inspected is what the test reads of spillway inspect --json.
type inspected struct {
	Journal struct {
		To       string
		Segments []struct {
			File        string
			Frames      int
			Sealed      bool
			Bytes, Torn int64
		}
	}
	Shapes struct{ Live int }
	Tables []struct {
		Name   string
		Shapes int
	}
	Largest []struct {
		Handle string
		Rows   int64 `json:"rows_bytes"`
	}
	Removed struct {
		Reasons map[string]int
		Newest  []struct{ Handle string }
	}
	Problems []struct {
		File   string
		Offset int64
	}
}

// fingerprint is the names and contents of all files of a directory.
func fingerprint(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := make(map[string][32]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// inspectDir runs the command, which must leave the directory as it is.
func inspectDir(t *testing.T, code int, dir string, args ...string) (stdout, stderr string) {
	t.Helper()
	before := fingerprint(t, dir)
	p := command(t, append([]string{"inspect", dir}, args...)).start()
	if got := p.exit(60 * time.Second); got != code {
		t.Fatalf("%q: exit code %d, want %d\n%s%s", args, got, code, p.out, p.err)
	}
	if !maps.Equal(before, fingerprint(t, dir)) {
		t.Errorf("%q has changed the directory", args)
	}
	return p.out.String(), p.err.String()
}

func inspectJSON(t *testing.T, code int, dir string) (r inspected) {
	t.Helper()
	out, _ := inspectDir(t, code, dir, "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return r
}

// What a service leaves behind can be read, after a stop and after a crash: its
// journal, its shapes with their definitions and entries, and what was removed. A
// running service is left alone, and damage is told with its place.
func TestInspect(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE items (id int PRIMARY KEY, note text, n int); INSERT INTO items SELECT i, repeat('x', 200), i FROM generate_series(1, 1000) i; CREATE TABLE other (id int PRIMARY KEY)")
	dir := t.TempDir()
	s := newService(t, db.URL, "SPILLWAY_DATA_DIR="+dir, "SPILLWAY_ALLOW_SHAPE_DELETION=true")
	some := newFollower(s.url, "table", "items", "where", "n > 990", "columns", "id,n", "replica", "full")
	all := newFollower(s.url, "table", "items")
	doomed := newFollower(s.url, "table", "other")
	for _, f := range []*follower{some, all, doomed} {
		f.until(t, 30*time.Second, "the first sync", func() error { return nil })
	}
	p := command(t, []string{"inspect", dir}).start()
	if code := p.exit(30 * time.Second); code != 1 || !strings.Contains(p.err.String(), "a service works in") {
		t.Errorf("beside a service: exit code %d, %s", code, p.err)
	}
	req, err := http.NewRequest(http.MethodDelete, s.url+"?table=other&handle="+doomed.handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close() != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("DELETE: %s", resp.Status)
	}
	change := func(n int) {
		t.Helper()
		for i := range 5 { // as many group commits
			db.Exec(fmt.Sprintf("UPDATE items SET n = %d WHERE id > 995", n+i))
			some.until(t, 30*time.Second, "the change", func() error {
				if row := some.rows[`"public"."items"/"1000"`]; row == nil || *row["n"] != fmt.Sprint(n+i) {
					return fmt.Errorf("row %v", row)
				}
				return nil
			})
		}
	}
	change(2000)
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}

	r := inspectJSON(t, 0, dir)
	segs := r.Journal.Segments
	if len(segs) == 0 || !segs[len(segs)-1].Sealed || segs[len(segs)-1].Frames == 0 || r.Journal.To == "0/0" {
		t.Errorf("the journal after a stop: %+v", r.Journal)
	}
	if r.Shapes.Live != 2 || len(r.Tables) != 1 || r.Tables[0].Name != "public.items" || r.Tables[0].Shapes != 2 {
		t.Errorf("shapes %+v, tables %+v", r.Shapes, r.Tables)
	}
	if len(r.Largest) != 2 || r.Largest[0].Handle != all.handle || r.Largest[0].Rows < 200_000 {
		t.Errorf("the largest: %+v", r.Largest)
	}
	if r.Removed.Reasons["deleted"] != 1 || r.Removed.Newest[0].Handle != doomed.handle {
		t.Errorf("removed: %+v", r.Removed)
	}
	text, _ := inspectDir(t, 0, dir)
	for _, want := range []string{"spillway_slot_testinspect", "closed in order", "2 live", all.handle, doomed.handle + "  deleted"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "xxxxx") {
		t.Error("it prints rows")
	}
	inspectShape(t, dir, some, doomed)

	// A crash: what was told to clients lately may be in the journal only.
	s.start()
	change(3000)
	s.kill()
	r = inspectJSON(t, 0, dir)
	segs = r.Journal.Segments
	if segs[len(segs)-1].Sealed || segs[len(segs)-1].Frames < 5 || r.Shapes.Live != 2 {
		t.Errorf("after a crash: %+v, shapes %+v", r.Journal, r.Shapes)
	}

	// The first frame of the last file is damaged; those behind it vouch for it.
	path := filepath.Join(dir, "journal", segs[len(segs)-1].File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(len(b)) / 2
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r = inspectJSON(t, 1, dir)
	if len(r.Problems) != 1 || r.Problems[0].File != path || r.Problems[0].Offset > at || r.Shapes.Live != 2 {
		t.Fatalf("problems %+v, shapes %+v", r.Problems, r.Shapes)
	}
	place := fmt.Sprintf("%s is damaged at byte %d", path, r.Problems[0].Offset)
	start := command(t, []string{"serve"}, s.env...).start()
	if code := start.exit(30 * time.Second); code != 4 || !strings.Contains(start.err.String(), place) {
		t.Errorf("serve: exit code %d, want 4 and %q", code, place)
	}
}

// inspectShape looks at one shape, a removed one and one that never was.
func inspectShape(t *testing.T, dir string, f, removed *follower) {
	t.Helper()
	out, _ := inspectDir(t, 0, dir, f.handle, "--json")
	var s struct {
		Table, Where, Replica, State string
		Columns                      []string
		Snapshot                     struct {
			Inline bool
			Chunks []int64
		}
		Cursor  struct{ Tail string }
		Entries int
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if s.Table != "public.items" || !strings.Contains(s.Where, "990") || s.Replica != "full" || s.State != "live" || strings.Join(s.Columns, " ") != "id n" ||
		!s.Snapshot.Inline || len(s.Snapshot.Chunks) != 1 || s.Cursor.Tail != f.offset {
		t.Errorf("the shape: %s\nits client is at %s", out, f.offset)
	}
	if s.Entries != len(f.order) {
		t.Errorf("%d entries, its client was given %d changes", s.Entries, len(f.order))
	}
	lines, _ := inspectDir(t, 0, dir, f.handle, "--entries")
	n := 0
	for line := range strings.Lines(lines) {
		var e struct {
			Offset  string
			Message message
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if want := f.order[n]; strings.ReplaceAll(e.Offset, "_", "/") != want || e.Message.Headers.Operation != "update" {
			t.Errorf("entry %d is %s, want %s", n, line, want)
		}
		n++
	}
	if n != s.Entries {
		t.Errorf("%d entries printed, want %d", n, s.Entries)
	}
	if out, _ := inspectDir(t, 0, dir, removed.handle); !strings.Contains(out, "deleted") {
		t.Errorf("a removed shape: %s", out)
	}
	if text, _ := inspectDir(t, 0, dir, f.handle); !strings.Contains(text, "tail "+f.offset) || !strings.Contains(text, "(id, n) where") {
		t.Errorf("for people: %s", text)
	}
	if _, err := inspectDir(t, 1, dir, "9-1-00000000"); !strings.Contains(err, "nothing is known") {
		t.Errorf("an unknown handle: %s", err)
	}
	inspectDir(t, 2, dir, "--entries")
}
