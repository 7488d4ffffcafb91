package shapelog

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// What is stored of an entry is read back, and nothing else is taken for one.
func TestEntryValues(t *testing.T) {
	off := wal.Offset{Tx: 1 << 40, Op: 7}
	for _, e := range []Entry{
		{Offset: off, JSON: []byte(`{"x":1}`)},
		{Offset: off, JSON: []byte(`{"x":1}`), Boundary: true},
		{Offset: off, JSON: []byte(`{"x":1}`), Pos: off.Tx + 1},
		{Offset: off, JSON: []byte(`{"x":1}`), Pos: off.Tx + 1<<30, ChunkBytes: math.MaxInt64, Boundary: true},
		{Offset: off, JSON: []byte{}, Pos: math.MaxUint64, ChunkBytes: 1},
	} {
		v := append(appendEntryHead(nil, &e), e.JSON...)
		if got, ok := readEntry(off, v); !ok || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v is read as %+v, %v", e, got, ok)
		}
		if len(v)-len(e.JSON) > entryHeadMax {
			t.Errorf("a head of %d bytes, at most %d are expected", len(v)-len(e.JSON), entryHeadMax)
		}
	}
	for _, v := range [][]byte{{}, {4}, {2}, {2, 0x80}, {2, 1}, {2, 1, 0x80}, append([]byte{2}, bytes.Repeat([]byte{0xff}, 11)...)} {
		if e, ok := readEntry(off, v); ok {
			t.Errorf("%x is read as %+v", v, e)
		}
	}
}

// A cursor is looked for behind what a crash left of a transaction without its end,
// and not beyond what is known already.
func TestTailsAreCursors(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { check(t, l.Close()) }()
	add := func(id shape.ID, tx wal.LSN, op uint64, pos wal.LSN) {
		b := l.NewBatch()
		check(t, b.Append(id, Entry{Offset: wal.Offset{Tx: tx, Op: op}, JSON: []byte("{}"), Pos: pos, ChunkBytes: int64(op)}))
		check(t, b.Commit())
	}
	set := func(id shape.ID, epoch shape.Epoch, c shape.Cursor) {
		b := l.NewBatch()
		check(t, b.SetCursor(id, epoch, c))
		check(t, b.Commit())
	}
	want := func(what string, id shape.ID, epoch shape.Epoch, want shape.Cursor) {
		t.Helper()
		if c, e, ok, err := l.Cursor(id); err != nil || !ok || c != want || e != epoch {
			t.Errorf("%s: %+v of epoch %d (%v, %v), want %+v of %d", what, c, e, ok, err, want, epoch)
		}
	}
	for _, id := range []shape.ID{1, 3} { // neighbours whose entries are not ours
		set(id, 1, shape.Cursor{Pos: 5})
		add(id, 900, 1, 901)
	}
	set(2, 1, shape.Cursor{Pos: 5, Tail: wal.AfterSnapshot})
	want("no entries", 2, 1, shape.Cursor{Pos: 5, Tail: wal.AfterSnapshot})
	add(5, 10, 1, 18)
	want("no cursor but a tail", 5, 0, shape.Cursor{Pos: 18, Tail: wal.Offset{Tx: 10, Op: 1}, ChunkBytes: 1})
	add(2, 10, 1, 0)
	want("the beginning of a transaction", 2, 1, shape.Cursor{Pos: 5, Tail: wal.AfterSnapshot})
	add(2, 10, 2, 18)
	at10 := shape.Cursor{Pos: 18, Tail: wal.Offset{Tx: 10, Op: 2}, ChunkBytes: 2}
	want("its end", 2, 1, at10)
	for op := range uint64(100) {
		add(2, 20, op, 0)
	}
	want("what a crash left behind it", 2, 1, at10)
	set(2, 3, shape.Cursor{Pos: 15, Tail: wal.AfterSnapshot})
	want("a cursor that was there before", 2, 3, at10)
	passed := shape.Cursor{Pos: 30, Tail: wal.Offset{Tx: 10, Op: 2}, ChunkBytes: 2}
	set(2, 3, passed)
	want("a cursor that only its position moved", 2, 3, passed)
	set(4, 1, shape.Cursor{Pos: 7})
	n := 0
	check(t, l.Cursors(func(id shape.ID, _ shape.Epoch, c shape.Cursor) error {
		n++
		if alone, _, _, err := l.Cursor(id); err != nil || alone != c {
			t.Errorf("of shape %d: %+v among all, %+v alone (%v)", id, c, alone, err)
		}
		return nil
	}))
	if n != 5 {
		t.Errorf("%d cursors, want 5", n)
	}
}
