package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// house is a registry with its shape logs.
type house struct {
	*Registry
	log *shapelog.Log
	fs  *vfs.MemFS
}

func open(t testing.TB, fs *vfs.MemFS) *house {
	t.Helper()
	log, err := shapelog.Open(shapelog.Options{FS: fs, Dir: "data", CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	check(t, err)
	r, err := Open(Options{FS: fs, Dir: "data/catalogue", Log: log})
	check(t, err)
	return &house{r, log, fs}
}

func (h *house) close(t testing.TB) {
	t.Helper()
	check(t, h.Close())
	check(t, h.log.Close())
}

// reopen closes and opens.
func (h *house) reopen(t testing.TB) *house {
	t.Helper()
	h.close(t)
	return open(t, h.fs)
}

// crash opens what a power cut leaves.
func (h *house) crash(t testing.TB) *house {
	t.Helper()
	left := h.fs.CrashClone(vfs.CrashCloneCfg{})
	h.close(t)
	return open(t, left)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func column(name string, oid uint32, typ string) shape.Column {
	return shape.Column{
		Column: expr.Column{Name: name, Type: expr.Type{OID: oid, Name: typ, Base: oid}, Bytewise: true, Deterministic: true},
		TypMod: -1, SchemaType: typ,
	}
}

// boats makes a table of its own each time, as the catalogue room would.
func boats() *shape.Table {
	return &shape.Table{
		OID: 16400, Schema: "public", Name: "boats", Kind: 'r', Identity: 'f',
		Columns: []shape.Column{column("id", 23, "int4"), column("name", 25, "text"), column("crew", 21, "int2")},
		PK:      []int{0},
	}
}

func where(t testing.TB, sql string) *shape.Def {
	t.Helper()
	d := &shape.Def{Table: boats(), Columns: []int{0, 1, 2}, AllColumns: true}
	if sql == "" {
		return d
	}
	var cols []expr.Column
	for _, c := range d.Table.Columns {
		cols = append(cols, c.Column)
	}
	e, err := expr.Compile(sql, nil, cols)
	check(t, err)
	d.Where = e
	return d
}

func nth(t testing.TB, i int) *shape.Def { return where(t, fmt.Sprintf("id = %d", i)) }

func create(t testing.TB, h *house, d *shape.Def, start wal.LSN) *Shape {
	t.Helper()
	s, _, err := h.Create(d, start)
	check(t, err)
	return s
}

var sees = wal.Snapshot{Xmin: 901, Xmax: 905, Xip: []uint64{903}, Until: 77}

// live writes first rows of about size bytes and makes the shape live.
func live(t testing.TB, h *house, s *Shape, size int) {
	t.Helper()
	snap := h.log.NewSnapshot(s.ID(), 10_000)
	check(t, s.SetSnapshot(sees, snap))
	row := []byte(strings.Repeat("r", 99))
	for range size / 100 {
		check(t, snap.Append(row))
	}
	check(t, snap.Finish([]byte(`"end"`)))
	check(t, s.SnapshotComplete())
}

func firstRows(t testing.TB, s *Shape) string {
	t.Helper()
	snap, err := s.Snapshot()
	check(t, err)
	var b bytes.Buffer
	for k := 0; ; k++ {
		exists, err := snap.WaitChunk(t.Context(), k)
		check(t, err)
		if !exists {
			return b.String()
		}
		_, err = snap.Chunk(k).WriteTo(t.Context(), &b, nil)
		check(t, err)
		b.WriteByte('\n')
	}
}

func TestCreateOfOneDefinitionMakesOneShape(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	const n = 50
	shapes := make([]*Shape, n)
	var created atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s, made, err := h.Create(where(t, "crew > 3"), wal.LSN(i))
			if err != nil {
				t.Error(err)
			}
			if made {
				created.Add(1)
			}
			shapes[i] = s
		})
	}
	wg.Wait()
	if created.Load() != 1 || h.Len() != 1 {
		t.Fatalf("%d created, %d live there", created.Load(), h.Len())
	}
	for _, s := range shapes {
		if s != shapes[0] || s == nil {
			t.Fatal("not the same shape for all")
		}
	}
	if h.Find(shapes[0].Key()) != shapes[0] || h.ByHandle(shapes[0].Handle()) != shapes[0] || h.ByID(shapes[0].ID()) != shapes[0] {
		t.Error("it is not found")
	}
}

func TestShapesOfOneTableShareIt(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	for i := range 10 {
		live(t, h, create(t, h, nth(t, i), 5), 0)
	}
	other := where(t, "")
	other.Table.Columns = append(other.Table.Columns, column("new", 25, "text"))
	live(t, h, create(t, h, other, 5), 0)
	for range 2 {
		tables := map[*shape.Table]int{}
		for s := range h.All() {
			tables[s.Def().Table]++
		}
		if len(tables) != 2 || h.Len() != 11 {
			t.Fatalf("%d tables, %d shapes; want 2 versions, 11 shapes", len(tables), h.Len())
		}
		h = h.crash(t)
	}
	h.close(t)
}

func TestOpeningIsTold(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	for i := range 600 {
		live(t, h, create(t, h, nth(t, i), 5), 0)
	}
	check(t, h.Close())
	var told []int
	again := func(err error) error {
		r, err := Open(Options{FS: h.fs, Dir: "data/catalogue", Log: h.log, Progress: func(n int) error {
			told = append(told, n)
			return err
		}})
		if err != nil {
			return err
		}
		return r.Close()
	}
	if err := again(nil); err != nil || !slices.Equal(told, []int{256, 512}) {
		t.Fatalf("told %v, %v", told, err)
	}
	enough := errors.New("enough")
	if err := again(enough); !errors.Is(err, enough) || len(told) != 3 {
		t.Fatalf("told %v, %v", told, err)
	}
	check(t, again(nil)) // nothing is left open
	check(t, h.log.Close())
}

func TestHandlesAndIDsNeverRepeat(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	handles, ids := map[shape.Handle]bool{}, map[shape.ID]bool{}
	for i := range 60 {
		s := create(t, h, nth(t, i%3), 1)
		if handles[s.Handle()] || ids[s.ID()] {
			t.Fatalf("round %d: handle %s, ID %d again", i, s.Handle(), s.ID())
		}
		handles[s.Handle()], ids[s.ID()] = true, true
		if i%2 == 0 {
			live(t, h, s, 0)
		}
		check(t, h.Remove(s, shape.ReasonDeleted))
		switch i % 10 {
		case 3:
			h = h.reopen(t)
		case 7:
			h = h.crash(t)
		}
	}
	h.close(t)
	// A wiped directory numbers from 1 again; the handles differ nevertheless.
	h = open(t, vfs.NewMem())
	defer h.close(t)
	for i := range 60 {
		if s := create(t, h, nth(t, i), 1); handles[s.Handle()] {
			t.Fatalf("handle %s again", s.Handle())
		}
	}
}

// What survives: live shapes as they were; the others leave a tombstone.
// A removal and a completion that meet never bring the shape back.
// A removal in the middle of a snapshot ends its readers and its writer.
// A definition that the program does not understand any more goes, with a
// tombstone, and does not hold up the others.
// Every field of a table comes back, also one that is added later.
// fill puts something into every field.
