package inspect

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// leavings makes a data directory of twelve live shapes with first rows of growing size,
// of which one is quarantined and one has a log, and one whose first rows were not
// complete. It returns the shape with the log and that without rows.
func leavings(t testing.TB, dir string) (logged, unfinished shape.Handle) {
	t.Helper()
	log, err := shapelog.Open(shapelog.Options{Dir: filepath.Join(dir, "shapes")})
	check(t, err)
	r, err := registry.Open(registry.Options{Dir: filepath.Join(dir, "catalogue"), Log: log})
	check(t, err)
	integer := expr.Type{OID: 23, Name: "int4", Base: 23}
	table := &shape.Table{OID: 16400, Schema: "app", Name: "boats", Kind: 'r', Identity: 'f', PK: []int{0}, Columns: []shape.Column{
		{Column: expr.Column{Name: "id", Type: integer, Bytewise: true, Deterministic: true}, TypMod: -1, SchemaType: "int4"},
		{Column: expr.Column{Name: "crew", Type: integer, Bytewise: true, Deterministic: true}, TypMod: -1, SchemaType: "int4"},
	}}
	for i := range 13 {
		where, err := expr.Compile(fmt.Sprintf("id = %d", i), nil, []expr.Column{table.Columns[0].Column, table.Columns[1].Column})
		check(t, err)
		s, _, err := r.Create(&shape.Def{Table: table, Columns: []int{0, 1}, AllColumns: true, Where: where, Log: shape.LogMode(i % 2)}, 77)
		check(t, err)
		if i == 12 {
			unfinished = s.Handle()
			break
		}
		snap := log.NewSnapshot(s.ID(), 100_000)
		check(t, s.SetSnapshot(wal.Snapshot{Xmin: 7, Xmax: 9, Until: 78}, snap))
		for range i * 100 {
			check(t, snap.Append([]byte(strings.Repeat("r", 999))))
		}
		check(t, snap.Finish([]byte(`"end"`)))
		check(t, s.SnapshotComplete())
		if i == 3 {
			check(t, r.Quarantine(s, shape.ReasonStalled, "it hung", false, time.Time{}))
		}
		if i == 5 {
			logged = s.Handle()
			writeLog(t, log, s.ID())
		}
	}
	check(t, r.SetFact(engine.FactBoundary, []byte("26687320"), true))
	check(t, r.SetFact("long", bytes.Repeat([]byte("x"), 1000), true))
	check(t, r.Close())
	check(t, log.Close())
	return logged, unfinished
}

// writeLog writes three entries in two chunks, one beyond the tail, and the cursor of an
// older epoch, which a start would remove.
func writeLog(t testing.TB, log *shapelog.Log, id shape.ID) {
	t.Helper()
	b := log.NewBatch()
	for op := range uint64(4) {
		check(t, b.Append(id, shapelog.Entry{Offset: wal.Offset{Tx: 100, Op: op}, JSON: fmt.Appendf(nil, `{"n":%d}`, op), Boundary: op == 1}))
	}
	check(t, b.SetCursor(id, 1, shape.Cursor{Pos: 90, Tail: wal.AfterSnapshot}))
	check(t, b.SetCursor(id, 2, shape.Cursor{Pos: 101, Tail: wal.Offset{Tx: 100, Op: 2}, ChunkBytes: 8}))
	check(t, b.Commit())
}

// contents are all files of a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	}))
	return out
}

// Everything is told as it lies there, also what the next start would remove, and
// nothing is changed.
func TestLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logged, unfinished := leavings(t, dir)
	for _, lock := range []string{"catalogue/LOCK", "shapes/log/LOCK"} { // as in a copy; none is made
		check(t, os.Remove(filepath.Join(dir, lock)))
	}
	before := contents(t, dir)
	d := Open(dir)
	r := d.Look()
	if len(r.Problems) != 1 || r.Problems[0].What != "there is no journal" {
		t.Errorf("problems: %+v", r.Problems)
	}
	if s := r.Shapes; s.Live != 11 || s.Quarantined != 1 || s.Snapshotting != 1 || s.Parked != 0 || s.Format != "2" {
		t.Errorf("shapes: %+v", s)
	}
	if r.Boundary != wal.LSN(26687320).String() || len(r.Facts) != 1 || r.Facts[0] != (Fact{"long", "(1000 bytes)"}) {
		t.Errorf("boundary %s, facts %+v", r.Boundary, r.Facts)
	}
	if len(r.Largest) != 10 || r.Largest[0].Rows < 1_099_000 || r.Largest[9].Rows > 210_000 {
		t.Errorf("the largest: %+v", r.Largest)
	}
	var text bytes.Buffer
	check(t, WriteText(&text, r))
	for _, want := range []string{"problem: there is no journal", "11 live, 1 snapshotting, 1 quarantined", "app.boats  13"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}

	var entries bytes.Buffer
	s, err := d.Shape(logged, &entries)
	check(t, err)
	if want := "{\"offset\":\"100_0\",\"message\":{\"n\":0}}\n{\"offset\":\"100_1\",\"message\":{\"n\":1}}\n{\"offset\":\"100_2\",\"message\":{\"n\":2}}\n"; entries.String() != want {
		t.Errorf("entries\n%s", &entries)
	}
	if s.Entries != 3 || len(s.Ends) != 1 || s.Ends[0] != "100_1" || s.Cursor.Epoch != 2 || s.Cursor.Tail != "100_2" || s.Log != "changes_only" ||
		len(s.Snapshot.Chunks) < 5 || s.Snapshot.Inline {
		t.Errorf("the shape: %+v, first rows %+v, cursor %+v", s, s.Snapshot, s.Cursor)
	}
	if s, err = d.Shape(unfinished, nil); err != nil || s.State != "snapshotting" || s.Snapshot != nil || s.Cursor != nil {
		t.Errorf("unfinished: %+v, %v", s, err)
	}
	check(t, d.Close())
	if !maps.Equal(before, contents(t, dir)) {
		t.Error("the directory has changed")
	}
}

// What cannot be read is told, and the rest is looked at.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logged, _ := leavings(t, dir)
	gone, err := filepath.Glob(filepath.Join(dir, "shapes/snap/12/0"))
	if err != nil || len(gone) != 1 {
		t.Fatal(gone, err)
	}
	check(t, os.Remove(gone[0]))
	d := Open(dir)
	r := d.Look()
	if len(r.Problems) != 2 || !strings.Contains(r.Problems[1].What, "first rows of shape c-") || r.Shapes.Live != 11 {
		t.Errorf("a file is missing: %+v, shapes %+v", r.Problems, r.Shapes)
	}
	check(t, d.Close())
	check(t, os.RemoveAll(filepath.Join(dir, "shapes")))
	d = Open(dir)
	if r = d.Look(); len(r.Problems) != 2 || r.Shapes.Live != 11 {
		t.Errorf("no shape logs: %+v, shapes %+v", r.Problems, r.Shapes)
	}
	if _, err := d.Shape(logged, nil); err == nil {
		t.Error("a shape without logs was read")
	}
	check(t, d.Close())
	check(t, os.RemoveAll(filepath.Join(dir, "catalogue")))
	d = Open(dir)
	if r = d.Look(); len(r.Problems) != 3 {
		t.Errorf("nothing there: %+v", r.Problems)
	}
	if _, err := d.Shape(logged, nil); err == nil {
		t.Error("a shape without a catalogue was read")
	}
	check(t, d.Close())
	if left := contents(t, dir); len(left) != 0 {
		t.Errorf("files were made: %v", left)
	}
}
