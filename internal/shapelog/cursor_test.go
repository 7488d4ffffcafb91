package shapelog

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Some shapes' cursors are those that are found for each alone, whatever lies
// between them, and leave none behind that is outdone.
func TestCursorsOf(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { check(t, l.Close()) }()
	b := l.NewBatch()
	for id := shape.ID(1); id <= 60; id++ {
		if id%5 == 0 {
			continue // has none
		}
		check(t, b.Append(id, Entry{Offset: wal.Offset{Tx: 1}, JSON: []byte("{}")}))
		for epoch := shape.Epoch(1); epoch <= shape.Epoch(1+id%4); epoch++ {
			// Every third has its highest position in its first epoch.
			pos := wal.LSN(10 + uint64(epoch))
			if id%3 == 0 {
				pos = wal.LSN(20 - uint64(epoch))
			}
			check(t, b.SetCursor(id, epoch, shape.Cursor{Pos: pos, Tail: wal.Offset{Tx: 1}}))
		}
	}
	check(t, b.Commit())
	ids := []shape.ID{2, 3, 5, 6, 7, 20, 21, 35, 44, 60, 61, 99}
	var want []shape.ID
	for _, id := range ids {
		if id <= 60 && id%5 != 0 {
			want = append(want, id)
		}
	}
	for range 2 { // and again, after what was outdone has gone
		var got []shape.ID
		check(t, l.CursorsOf(ids, func(id shape.ID, epoch shape.Epoch, c shape.Cursor) error {
			got = append(got, id)
			alone, highest, ok, err := l.Cursor(id)
			if err != nil || !ok || alone != c || highest != epoch || epoch != shape.Epoch(1+id%4) {
				t.Errorf("shape %d: %+v of epoch %d, alone %+v of epoch %d, %v", id, c, epoch, alone, highest, err)
			}
			return nil
		}))
		if !slices.Equal(got, want) {
			t.Errorf("cursors of %v, want %v", got, want)
		}
	}
	left := 0
	it, err := l.db.NewIter(nil)
	check(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		if _, is := cursorEpoch(it.Key()); is && slices.Contains(ids, keyShape(it.Key())) && keyShape(it.Key())%3 != 0 {
			left++
		}
	}
	check(t, it.Close())
	if once := 3; left != once { // of 2, 7 and 44, one each
		t.Errorf("%d cursors are left, want %d", left, once)
	}
}
