package consume

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// A definition's own clause is asked, over the columns of its table.
func TestWhereOfADefinition(t *testing.T) {
	tab, err := newTable("public.items", "id:int4 title:text n:int4", "id")
	if err != nil {
		t.Fatal(err)
	}
	var cols []expr.Column
	for i := range tab.Columns {
		tab.Columns[i].Deterministic = true
		cols = append(cols, tab.Columns[i].Column)
	}
	d := newDef(tab, []int{0, 1}, 0)
	if d.Where, err = expr.Compile("n < $1 AND title IS NOT NULL", map[string]string{"1": "11"}, cols); err != nil {
		t.Fatal(err)
	}
	c := New(d, start, 10<<20, nil)
	rel := announce(tab, []int{2, 1, 0})
	tx := wal.Txn{Commit: 100, End: 110, XID: 7}
	var out Out
	for i, n := range []string{"10", "11"} {
		row := wal.Tuple{[]byte(n), []byte("a"), []byte("1")}
		if err := c.Change(&tx, &wal.Change{Op: wal.Insert, Rel: rel, Seq: uint64(2 * i), New: row}, &out); err != nil {
			t.Fatal(err)
		}
	}
	c.Commit(&tx, &out)
	if len(out.Entries) != 1 || out.Entries[0].Offset.Op != 0 {
		t.Errorf("got %d entries, want the first row's", len(out.Entries))
	}
	var rotate *Rotate
	tx = wal.Txn{Commit: 200, End: 210, XID: 8}
	unreadable := wal.Tuple{[]byte("ten"), []byte("a"), []byte("2")}
	err = c.Change(&tx, &wal.Change{Op: wal.Insert, Rel: rel, New: unreadable}, &out)
	if !errors.As(err, &rotate) || rotate.Reason != shape.ReasonEvaluation {
		t.Errorf("a number that cannot be read: got %v", err)
	}
}

// An idle consumer is this and its definition: a million of them are 96 MB. What only
// an open transaction needs is not in it.
func TestConsumerIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Consumer{}); n > 96 {
		t.Errorf("a consumer is %d bytes, want at most 96", n)
	}
}
