package consume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ferries is a table with six columns and two versions of a row.
func ferries(t testing.TB) (tab *shape.Table, before, after wal.Tuple) {
	t.Helper()
	tab, err := newTable("public.ferries", "id:int4 name:text line:text seats:int4 note:text berth:text", "id")
	if err != nil {
		t.Fatal(err)
	}
	row := func(seats string) wal.Tuple {
		return wal.Tuple{
			[]byte("1234567"), []byte("Queen of the Northern Isles"), []byte("9f1c3a54-0b7e-4f5e-9a3e-2d1f6c7b8a90"),
			[]byte(seats), []byte("2026-01-31 10:00:00.5+00"), nil,
		}
	}
	return tab, row("1400"), row("1410")
}

// feed gives consumers one transaction of n updates, change by change.
type feed struct {
	rel           *wal.Relation
	before, after wal.Tuple
	commit        wal.LSN
	out           Out
}

func (f *feed) run(tb testing.TB, n int, consumers ...*Consumer) {
	f.commit += 100
	tx := wal.Txn{Commit: f.commit, End: f.commit + 50, XID: 7}
	ch := wal.Change{Op: wal.Update, Rel: f.rel, Old: f.before, New: f.after}
	for i := range n {
		ch.Seq = uint64(2 * i)
		for _, c := range consumers {
			if err := c.Change(&tx, &ch, &f.out); err != nil {
				tb.Fatal(err)
			}
			f.out.Reset()
		}
	}
	for _, c := range consumers {
		c.Commit(&tx, &f.out)
		f.out.Reset()
	}
}

func newFeed(tb testing.TB) (*feed, *shape.Table) {
	tab, before, after := ferries(tb)
	return &feed{rel: announce(tab, nil), before: before, after: after}, tab
}

// Memory comes in blocks; a row by itself needs none.
func TestRowsDoNotAllocate(t *testing.T) {
	for _, replica := range []shape.Replica{shape.ReplicaDefault, shape.ReplicaFull} {
		for _, order := range [][]int{nil, {5, 4, 3, 2, 1, 0}} {
			f, tab := newFeed(t)
			f.rel = announce(tab, order)
			if order != nil {
				f.before, f.after = reversed(f.before), reversed(f.after)
			}
			var enc Encoders
			c := consumer(newDef(tab, nil, replica), &condition{0, ">", "1"}, start, 10<<20, nil)
			c.Share(&enc)
			f.run(t, 1, c)
			if n := testing.AllocsPerRun(10, func() { f.run(t, 1000, c) }) / 1000; n > 0.01 {
				t.Errorf("replica %d, order %v: %v allocations a row", replica, order, n)
			}
		}
	}
	f, tab := newFeed(t)
	var enc Encoders
	c := consumer(newDef(tab, nil, 0), &condition{0, ">", "1"}, start, 10<<20, nil)
	c.Share(&enc)
	f.run(t, 1, c)
	if n := testing.AllocsPerRun(10, func() {
		for range 1000 {
			f.run(t, 1, c)
			enc.Recycle()
		}
	}); n != 0 {
		t.Errorf("%v allocations of transactions whose messages are recycled", n)
	}
	if n := testing.AllocsPerRun(10, func() {
		for range 2000 { // several blocks
			f.run(t, 1, c)
		}
		enc.Recycle()
	}); n != 0 {
		t.Errorf("%v allocations of many transactions whose messages are recycled", n)
	}
	tab, _, row := ferries(t)
	d, buf := newDef(tab, nil, 0), make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { buf = AppendInsertRow(buf[:0], d, row) }); n != 0 {
		t.Errorf("%v allocations a snapshot row", n)
	}
}

func reversed(row wal.Tuple) wal.Tuple {
	out := make(wal.Tuple, len(row))
	for i, v := range row {
		out[len(row)-1-i] = v
	}
	return out
}

// Consumers that agree get the same memory, those that do not get their own.
func TestConsumersThatAgreeShareBytes(t *testing.T) {
	f, tab := newFeed(t)
	other := *tab // the same table, looked up again
	var enc Encoders
	defs := []*shape.Def{
		newDef(tab, nil, 0), newDef(&other, nil, 0),
		newDef(tab, []int{0, 3}, 0), newDef(tab, nil, shape.ReplicaFull),
	}
	var consumers []*Consumer
	for _, d := range defs {
		c := New(d, start, 10<<20, nil)
		c.Share(&enc)
		consumers = append(consumers, c)
	}
	tx := wal.Txn{Commit: 100, End: 110, XID: 7}
	ch := wal.Change{Op: wal.Update, Rel: f.rel, Old: f.before, New: f.after}
	var got [][]byte
	for _, c := range consumers {
		var out Out
		if err := c.Change(&tx, &ch, &out); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range consumers {
		var out Out
		c.Commit(&tx, &out)
		got = append(got, out.Entries[0].JSON)
	}
	if &got[0][0] != &got[1][0] {
		t.Errorf("equal definitions encoded twice")
	}
	for i, a := range got[1:] {
		for _, b := range got[i+2:] {
			if &a[0] == &b[0] {
				t.Errorf("different definitions share %s", a)
			}
		}
	}
	checkKeyChange(t, f, consumers[0], consumers[1])
	for _, c := range consumers {
		c.Share(nil)
	}
	if len(enc.shared) != 0 {
		t.Errorf("%d encoders stay behind", len(enc.shared))
	}
}

// checkKeyChange has two consumers that agree share both halves of a key change.
func checkKeyChange(t *testing.T, f *feed, a, b *Consumer) {
	t.Helper()
	moved := append(wal.Tuple{[]byte("0")}, f.after[1:]...)
	tx := wal.Txn{Commit: 200, End: 210, XID: 8}
	ch := wal.Change{Op: wal.Update, Rel: f.rel, Old: f.before, New: moved}
	var outs [2]Out
	for i, c := range []*Consumer{a, b} {
		if err := c.Change(&tx, &ch, &outs[i]); err != nil {
			t.Fatal(err)
		}
	}
	a.Commit(&tx, &outs[0])
	b.Commit(&tx, &outs[1])
	for i := range 2 {
		if x, y := outs[0].Entries[i].JSON, outs[1].Entries[i].JSON; &x[0] != &y[0] {
			t.Errorf("encoded twice: %s", x)
		}
	}
}

// What was handed out stays as it is, whatever comes after, also when a message
// outgrows the guess of its size.
func TestBytesHandedOutStay(t *testing.T) {
	tab, err := newTable("public.t", "id:int4 v:text", "id")
	if err != nil {
		t.Fatal(err)
	}
	var enc Encoders
	c := New(newDef(tab, nil, 0), start, 10<<20, nil)
	c.Share(&enc)
	rel := announce(tab, nil)
	tx := wal.Txn{Commit: 100, End: 110, XID: 7}
	var out Out
	for i := range 300 {
		v := bytes.Repeat([]byte{1}, i*i%70_000) // six bytes each when escaped
		row := wal.Tuple{fmt.Append(nil, i), v}
		if err := c.Change(&tx, &wal.Change{Op: wal.Insert, Rel: rel, Seq: uint64(2 * i), New: row}, &out); err != nil {
			t.Fatal(err)
		}
	}
	c.Commit(&tx, &out)
	for i, e := range out.Entries {
		var m message
		if err := json.Unmarshal(e.JSON, &m); err != nil {
			t.Fatal(err)
		}
		if *m.Value["id"] != fmt.Sprint(i) || *m.Value["v"] != strings.Repeat("\x01", i*i%70_000) {
			t.Fatalf("entry %d was overwritten: %.200s", i, e.JSON)
		}
	}
}

// An encoder remembers nothing of an older change.
func TestEncoderForgets(t *testing.T) {
	f, tab := newFeed(t)
	var enc Encoders
	idle, busy := New(newDef(tab, nil, 0), start, 1, nil), New(newDef(tab, []int{0, 3}, 0), start, 1, nil)
	idle.Share(&enc)
	busy.Share(&enc)
	f.run(t, 1, idle)
	f.run(t, 1, busy)
	e := idle.enc
	for _, m := range append(e.made[:], e.lastOf, e.lastMade) {
		if m != nil {
			t.Errorf("an idle encoder holds %s", m)
		}
	}
	if idle.open != nil {
		t.Errorf("an idle consumer has a transaction open")
	}
}
