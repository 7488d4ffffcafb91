package verify

import (
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/wal"
)

func cols(names ...string) *columns {
	c := &columns{index: make(map[string]int)}
	for i, n := range names {
		c.at, c.names, c.index[n] = append(c.at, i), append(c.names, n), i
	}
	return c
}

func change(op client.Operation, key, lsn string, xid uint32, value client.Row) *client.Message {
	m := &client.Message{Key: key, Value: value, Headers: client.Headers{Operation: op, LSN: lsn}}
	if xid != 0 {
		m.Headers.TxIDs = []uint32{xid}
	}
	return m
}

// What the snapshot does not see is left out, by transaction and not by position;
// an update changes what it has.
func TestApply(t *testing.T) {
	c := cols("id", "n")
	sees := wal.Snapshot{Xmin: 10, Xmax: 20, Xip: []uint64{15}, Until: 1000}
	got := make(rows)
	for _, m := range []*client.Message{
		change(client.OpInsert, "1", "", 0, client.Row{"id": client.Text("1"), "n": client.Text("a")}),
		change(client.OpInsert, "2", "500", 9, client.Row{"id": client.Text("2"), "n": {}}),
		change(client.OpUpdate, "1", "600", 15, client.Row{"id": client.Text("1"), "n": client.Text("running")}),
		change(client.OpUpdate, "1", "700", 16, client.Row{"id": client.Text("1"), "n": client.Text("b")}),
		change(client.OpDelete, "2", "800", 20, client.Row{"id": client.Text("2")}),
		change(client.OpInsert, "3", "1000", 12, client.Row{"id": client.Text("3"), "n": {}}), // commits behind it
	} {
		if err := got.apply(m, c, sees); err != nil {
			t.Fatal(err)
		}
	}
	want := rows{"1": c.ofTuple(wal.Tuple{[]byte("1"), []byte("b")}), "2": c.ofTuple(wal.Tuple{[]byte("2"), nil})}
	r := new(Result)
	r.compare(want, got, c.names)
	if r.Differing != 0 {
		t.Errorf("%+v", r)
	}
	for what, m := range map[string]*client.Message{
		"a second insert":     change(client.OpInsert, "1", "900", 11, client.Row{"id": client.Text("1")}),
		"an unknown row":      change(client.OpUpdate, "9", "900", 11, client.Row{"id": client.Text("9")}),
		"an unknown deletion": change(client.OpDelete, "9", "900", 11, client.Row{"id": client.Text("9")}),
		"an unknown column":   change(client.OpUpdate, "1", "900", 11, client.Row{"secret": client.Text("9")}),
		"no position":         change(client.OpUpdate, "1", "x", 11, client.Row{"id": client.Text("1")}),
	} {
		if err := got.apply(m, c, sees); err == nil {
			t.Errorf("%s is no fault", what)
		}
	}
}

func TestCompare(t *testing.T) {
	c := cols("id", "n")
	row := func(n string) []uint64 { return c.ofTuple(wal.Tuple{[]byte("1"), []byte(n)}) }
	r := new(Result)
	r.compare(rows{"a": row("1"), "b": row("2"), "c": row(""), "e": row("5")}, rows{"a": row("1"), "b": row("3"), "c": c.ofTuple(wal.Tuple{[]byte("1"), nil}), "d": row("4")}, c.names)
	if r.Differing != 4 || !slices.Equal(r.Missing, []string{"e"}) || !slices.Equal(r.Extra, []string{"d"}) || !slices.Equal(r.Different, []string{"b: n", "c: n"}) {
		t.Errorf("%+v", r)
	}
}
