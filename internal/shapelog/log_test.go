package shapelog

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func open(t testing.TB, fs vfs.FS) *Log {
	t.Helper()
	l, err := Open(Options{FS: fs, Dir: "data", CacheBytes: 1 << 20, MemTableBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// twin is the log as maps of slices: what every operation should come to.
type twin struct {
	entries map[shape.ID][]Entry
	cursors map[shape.ID]map[shape.Epoch]shape.Cursor
}

func newTwin() *twin {
	return &twin{map[shape.ID][]Entry{}, map[shape.ID]map[shape.Epoch]shape.Cursor{}}
}

func (w *twin) clone() *twin {
	c := newTwin()
	for id, e := range w.entries {
		c.entries[id] = slices.Clone(e)
	}
	for id, m := range w.cursors {
		c.cursors[id] = maps.Clone(m)
	}
	return c
}

func (w *twin) delete(id shape.ID) {
	delete(w.entries, id)
	delete(w.cursors, id)
}

func (w *twin) cursor(id shape.ID) (shape.Cursor, shape.Epoch, bool) {
	m := w.cursors[id]
	// The highest position, and of two that are equal the higher epoch's.
	var best shape.Cursor
	epochs := slices.Sorted(maps.Keys(m))
	slices.Reverse(epochs)
	for n, e := range epochs {
		if n == 0 || m[e].Pos > best.Pos {
			best = m[e]
		}
	}
	// The tails of transactions are cursors too, whoever wrote them.
	for _, e := range w.entries[id] {
		if e.Pos > best.Pos {
			best = shape.Cursor{Pos: e.Pos, Tail: e.Offset, ChunkBytes: e.ChunkBytes}
		}
	}
	if len(epochs) == 0 {
		return best, 0, best.Pos != 0
	}
	return best, epochs[0], true
}

func (w *twin) read(id shape.ID, after, upTo wal.Offset) (body []string, end wal.Offset, boundary bool) {
	end = after
	for _, e := range w.entries[id] {
		if !after.Less(e.Offset) || upTo.Less(e.Offset) {
			continue
		}
		body, end = append(body, string(e.JSON)), e.Offset
		if e.Boundary {
			return body, end, true
		}
	}
	return body, end, false
}

// How a transaction of the twin ends: it does not, its last entry is a cursor, or a
// cursor is stored beside it.
const (
	unfinished = iota
	tailOnly
	cursorKey
)

// write is one random batch: entries and cursors of a few shapes.
func (w *twin) write(t *testing.T, rng *rand.Rand, l *Log, tx wal.LSN) {
	t.Helper()
	b := l.NewBatch()
	for _, k := range rng.Perm(5)[:1+rng.IntN(3)] { // a transaction ends once for a shape
		id := shape.ID(1 + k)
		epoch := shape.Epoch(rng.IntN(3))
		if w.cursors[id] == nil {
			w.cursors[id] = map[shape.Epoch]shape.Cursor{}
		}
		var last wal.Offset
		if n := len(w.entries[id]); n > 0 {
			last = w.entries[id][n-1].Offset
		}
		op := uint64(0)
		if last.Tx == tx {
			op = last.Op + 1
		}
		n, how := 1+rng.IntN(4), rng.IntN(3)
		c := shape.Cursor{Pos: tx + 1, ChunkBytes: rng.Int64N(100)}
		for k := range n {
			e := Entry{Offset: wal.Offset{Tx: tx, Op: op}, JSON: fmt.Appendf(nil, `{"n":%d}`, rng.IntN(1e6)), Boundary: rng.IntN(4) == 0}
			if k == n-1 && how == tailOnly {
				e.Pos, e.ChunkBytes = c.Pos, c.ChunkBytes
			}
			op += 1 + uint64(rng.IntN(2))
			check(t, b.Append(id, e))
			w.entries[id] = append(w.entries[id], e)
			last = e.Offset
		}
		if c.Tail = last; how == cursorKey {
			check(t, b.SetCursor(id, epoch, c))
			w.cursors[id][epoch] = c
		}
	}
	check(t, b.Commit())
}

// state is everything that can be read, in comparable form.
func (w *twin) state() string {
	var b bytes.Buffer
	for id := shape.ID(1); id <= 5; id++ {
		c, e, ok := w.cursor(id)
		fmt.Fprintln(&b, id, c, e, ok, entriesText(w.entries[id]))
	}
	return b.String()
}

func entriesText(es []Entry) string {
	var b bytes.Buffer
	for _, e := range es {
		fmt.Fprintf(&b, "%v %s %v;", e.Offset, e.JSON, e.Boundary)
	}
	return b.String()
}

func stateOf(t *testing.T, l *Log) string {
	t.Helper()
	var b bytes.Buffer
	for id := shape.ID(1); id <= 5; id++ {
		c, e, ok, err := l.Cursor(id)
		check(t, err)
		fmt.Fprintln(&b, id, c, e, ok, entriesText(allEntries(t, l, id)))
	}
	return b.String()
}

var farEnd = wal.Offset{Tx: 1 << 60}

func allEntries(t *testing.T, l *Log, id shape.ID) (all []Entry) {
	t.Helper()
	var after wal.Offset
	for {
		n := len(all)
		end, boundary, err := l.Read(id, after, farEnd, func(off wal.Offset, json []byte) error {
			all = append(all, Entry{Offset: off, JSON: bytes.Clone(json)})
			return nil
		})
		check(t, err)
		if len(all) == n {
			return all
		}
		all[len(all)-1].Boundary = boundary
		after = end
	}
}

func TestConformsToTwin(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { conform(t, seed) })
	}
}

func conform(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	l := open(t, fs)
	w := newTwin()
	// since holds the twin after each operation since the last flush: a crash
	// may bring back any of them, nothing between.
	since := []*twin{w.clone()}
	for step := range 300 {
		tx := wal.LSN(step + 1)
		switch n := rng.IntN(100); {
		case n < 60:
			w.write(t, rng, l, tx)
		case n < 85:
			id := shape.ID(1 + rng.IntN(5))
			after := wal.Offset{Tx: wal.LSN(rng.Uint64N(uint64(tx))), Op: rng.Uint64N(4)}
			upTo := wal.Offset{Tx: wal.LSN(rng.Uint64N(uint64(tx) + 1)), Op: rng.Uint64N(8)}
			compareRead(t, l, w, id, after, upTo)
		case n < 88:
			id := shape.ID(1 + rng.IntN(5))
			check(t, l.Delete(id))
			w.delete(id)
		case n < 94:
			check(t, l.Flush())
			since = nil
		case n < 97:
			check(t, l.Close())
			l = open(t, fs)
			since = nil
		default:
			crashed := fs.CrashClone(vfs.CrashCloneCfg{})
			check(t, l.Close())
			fs = crashed
			l = open(t, fs)
			w = matchAfterCrash(t, l, append(since, w.clone()))
			since = nil
		}
		since = append(since, w.clone())
	}
	if got, want := stateOf(t, l), w.state(); got != want {
		t.Fatalf("at the end:\n%s\nwant\n%s", got, want)
	}
	check(t, l.Close())
}

func matchAfterCrash(t *testing.T, l *Log, may []*twin) *twin {
	t.Helper()
	// Reading removes old cursors, which is harmless, but the twin keeps them:
	// compare what is visible.
	got := stateOf(t, l)
	for _, w := range slices.Backward(may) {
		if w.state() == got {
			return w.clone()
		}
	}
	t.Fatalf("after a crash:\n%s\nis none of the %d states since the last flush; oldest\n%s", got, len(may), may[0].state())
	return nil
}

func compareRead(t *testing.T, l *Log, w *twin, id shape.ID, after, upTo wal.Offset) {
	t.Helper()
	body, end, boundary := w.read(id, after, upTo)
	var want []byte
	for i, s := range body {
		if i > 0 {
			want = append(want, ',')
		}
		want = append(want, s...)
	}
	e, err := l.ReadInto([]byte("["), id, after, upTo, math.MaxInt)
	check(t, err)
	if string(e.Body) != "["+string(want) || e.Size != int64(len(want)) || e.N != len(body) || e.End != end || e.AtBoundary != boundary {
		t.Fatalf("read %d (%v, %v]: %+v, want %s n=%d end=%v boundary=%v", id, after, upTo, e, want, len(body), end, boundary)
	}
	if len(body) > 1 {
		limit := len(want) - 1
		short, err := l.ReadInto([]byte("["), id, after, upTo, limit)
		check(t, err)
		if begin := string(want[:len(want)-len(body[len(body)-1])-1]); string(short.Body) != "["+begin || short.Size != e.Size || short.N != e.N || short.End != e.End {
			t.Fatalf("read %d with a limit of %d: %+v, want %s of %+v", id, limit, short, begin, e)
		}
	}
}

// Walking from chunk to chunk gives every entry once, and every chunk but the
// last ends with a boundary.
func TestChunksJoinToTheWholeLog(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { check(t, l.Close()) }()
	rng := rand.New(rand.NewPCG(3, 3))
	var want []wal.Offset
	b := l.NewBatch()
	for i := range 1000 {
		e := Entry{Offset: wal.Offset{Tx: wal.LSN(100 + i/7), Op: uint64(i%7) * 2}, JSON: []byte("x"), Boundary: rng.IntN(10) == 0}
		check(t, b.Append(7, e))
		check(t, b.Append(8, e)) // a neighbour that must not be seen
		want = append(want, e.Offset)
	}
	check(t, b.Commit())
	var got []wal.Offset
	after, tail := wal.AfterSnapshot, want[len(want)-1]
	for after != tail {
		end, boundary, err := l.Read(7, after, tail, func(off wal.Offset, _ []byte) error {
			got = append(got, off)
			return nil
		})
		check(t, err)
		if !boundary && end != tail {
			t.Fatalf("stopped at %v without a boundary", end)
		}
		after = end
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d entries, want %d in their order", len(got), len(want))
	}
}

func TestOldEpochDoesNotMoveTheCursorBack(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { check(t, l.Close()) }()
	set := func(epoch shape.Epoch, pos wal.LSN) {
		b := l.NewBatch()
		check(t, b.SetCursor(1, epoch, shape.Cursor{Pos: pos}))
		check(t, b.Commit())
	}
	set(1, 10)
	set(2, 20)
	set(1, 30) // the ghost, late
	want := func(id shape.ID, epoch shape.Epoch, pos wal.LSN) {
		t.Helper()
		c, e, ok, err := l.Cursor(id)
		check(t, err)
		if !ok || e != epoch || c.Pos != pos {
			t.Fatalf("cursor of %d: %v of epoch %d (%v), want %v of %d", id, c.Pos, e, ok, pos, epoch)
		}
	}
	// What the ghost wrote is true: entries are a function of the stream.
	want(1, 2, 30)
	set(2, 40)
	set(1, 35) // but it moves nothing back
	want(1, 2, 40)
	set(3, 45)
	want(1, 3, 45)
	if _, _, ok, err := l.Cursor(2); ok || err != nil {
		t.Fatalf("a cursor of a shape that has none: %v", err)
	}
}

func TestCursorsAndSweep(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	defer func() { check(t, l.Close()) }()
	b := l.NewBatch()
	for id := shape.ID(1); id <= 6; id++ {
		check(t, b.SetCursor(id, 1, shape.Cursor{Pos: 1}))
		check(t, b.SetCursor(id, shape.Epoch(id), shape.Cursor{Pos: wal.LSN(id * 10)}))
		check(t, b.Append(id, Entry{Offset: wal.Offset{Tx: 5}, JSON: []byte("x")}))
	}
	check(t, b.Append(9, Entry{Offset: wal.Offset{Tx: 5}, JSON: []byte("x")})) // no cursor
	check(t, b.Commit())
	for _, id := range []shape.ID{2, 50} { // 50: files only
		s := l.NewSnapshot(id, 1000)
		check(t, s.Append(make([]byte, 100_000)))
		check(t, s.Finish([]byte("end")))
	}

	cursors := func() map[shape.ID]shape.Epoch {
		got := map[shape.ID]shape.Epoch{}
		check(t, l.Cursors(func(id shape.ID, e shape.Epoch, c shape.Cursor) error {
			got[id] = e
			if c.Pos != wal.LSN(id*10) {
				t.Errorf("cursor of %d: %v", id, c.Pos)
			}
			return nil
		}))
		return got
	}
	want := map[shape.ID]shape.Epoch{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}
	for range 2 {
		if got := cursors(); !reflect.DeepEqual(got, want) {
			t.Fatalf("cursors %v, want %v", got, want)
		}
	}
	check(t, l.Sweep(func(id shape.ID) bool { return id == 2 || id == 4 }))
	want = map[shape.ID]shape.Epoch{2: 2, 4: 4}
	if got := cursors(); !reflect.DeepEqual(got, want) {
		t.Fatalf("after the sweep: cursors %v, want %v", got, want)
	}
	if n := len(allEntries(t, l, 9)) + len(allEntries(t, l, 1)); n != 0 {
		t.Errorf("%d entries left of dead shapes", n)
	}
	names, err := fs.List(fs.PathJoin("data", "snap"))
	check(t, err)
	if !slices.Equal(names, []string{"2"}) {
		t.Errorf("snapshots left: %v", names)
	}
}

// Flush covers what was committed before it, for every caller.
func TestFlushFromManyGoroutines(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := open(t, fs)
	const n = 20
	lost := make(chan string, n)
	for i := range n {
		go func() {
			id := shape.ID(i + 1)
			b := l.NewBatch()
			if err := b.SetCursor(id, 1, shape.Cursor{Pos: 1}); err != nil {
				lost <- err.Error()
				return
			}
			if err := b.Commit(); err != nil {
				lost <- err.Error()
				return
			}
			if err := l.Flush(); err != nil {
				lost <- err.Error()
				return
			}
			lost <- ""
		}()
	}
	for range n {
		if s := <-lost; s != "" {
			t.Fatal(s)
		}
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if got := l.Stats().Flushes; got > n {
		t.Errorf("%d flushes for %d callers", got, n)
	}
	check(t, l.Close())
	l = open(t, crashed)
	defer func() { check(t, l.Close()) }()
	count := 0
	check(t, l.Cursors(func(shape.ID, shape.Epoch, shape.Cursor) error { count++; return nil }))
	if count != n {
		t.Fatalf("%d cursors after the crash, want %d", count, n)
	}
}
