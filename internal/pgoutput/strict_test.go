package pgoutput_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/pgoutput"
	"github.com/spillway-sync/spillway/internal/wal"
)

func feed(t testing.TB, d *pgoutput.Decoder, msg []byte) pgoutput.Event {
	t.Helper()
	ev, err := d.Decode(msg)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// show prints a change in one line, so that a table can say what it expects.
func show(c wal.Change) string {
	tuple := func(t wal.Tuple) string {
		if t == nil {
			return "-"
		}
		var out []string
		for _, v := range t {
			if v == nil {
				out = append(out, "NULL")
				continue
			}
			out = append(out, fmt.Sprintf("%q", v))
		}
		return strings.Join(out, ",")
	}
	s := fmt.Sprintf("%d %s %s old=%s new=%s", c.Seq, c.Op, c.Rel.Name, tuple(c.Old), tuple(c.New))
	if c.OldIsKey {
		s += " key"
	}
	if c.Incomplete {
		s += " incomplete"
	}
	return s
}

// Which old rows are enough for an unchanged TOASTed value.
func TestFilling(t *testing.T) {
	p := people()
	for _, tt := range []struct {
		what string
		msg  []byte
		want string
	}{
		{"the whole row", update(p.OID, 'O', []string{"1", "long", null}, []string{"2", unchanged, "3"}), `0 update people old="1","long",NULL new="2","long","3"`},
		{"none", update(p.OID, 0, nil, []string{"1", unchanged, "y"}), `0 update people old=- new="1",NULL,"y" incomplete`},
		{"the key, for a key", update(p.OID, 'K', []string{"1", null, null}, []string{unchanged, "x", "y"}), `0 update people old="1",NULL,NULL new="1","x","y" key`},
		{"the key, for another", update(p.OID, 'K', []string{"1", null, null}, []string{"2", unchanged, "y"}), `0 update people old="1",NULL,NULL new="2",NULL,"y" key incomplete`},
		{"a row with a hole", update(p.OID, 'O', []string{"1", unchanged, "3"}, []string{"1", unchanged, "y"}), `0 update people old="1",NULL,"3" new="1",NULL,"y" key incomplete`},
		{"a deleted row with a hole", remove(p.OID, 'O', "1", unchanged, "3"), `0 delete people old="1",NULL,"3" new=- key`},
		{"an inserted row with a hole", insert(p.OID, "1", unchanged, ""), `0 insert people old=- new="1",NULL,"" incomplete`},
	} {
		var d pgoutput.Decoder
		feed(t, &d, relation(p))
		feed(t, &d, begin(0x100, 9))
		if got := show(feed(t, &d, tt.msg).Change); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.what, got, tt.want)
		}
	}
}

// Every prefix of a message is an error, and so is every message with a byte too
// many.
func TestLengths(t *testing.T) {
	p := people()
	for _, msg := range [][]byte{
		begin(0x200, 10), commit(0x100, 0x120), relation(p), insert(p.OID, "1", "two", null),
		update(p.OID, 'O', []string{"1", "2", "3"}, []string{"1", unchanged, "3"}), remove(p.OID, 'K', "1", null, null), truncate(0, p.OID),
	} {
		fresh := func() *pgoutput.Decoder {
			var d pgoutput.Decoder
			feed(t, &d, relation(p))
			if msg[0] != 'B' {
				feed(t, &d, begin(0x100, 9))
			}
			return &d
		}
		for n := range msg {
			if ev, err := fresh().Decode(msg[:n]); err == nil {
				t.Errorf("%q cut at %d: %+v", msg, n, ev)
			}
		}
		if ev, err := fresh().Decode(append(msg[:len(msg):len(msg)], 0)); err == nil || ev.Kind != pgoutput.None {
			t.Errorf("%q and one more byte: %+v, %v", msg, ev, err)
		}
		feed(t, fresh(), msg)
	}
}

// A tuple or value must not be able to reach into its neighbour.
func TestTuplesAreApart(t *testing.T) {
	var d pgoutput.Decoder
	p := people()
	feed(t, &d, relation(p))
	feed(t, &d, begin(0x100, 9))
	first := feed(t, &d, insert(p.OID, "1", "a", "b")).Change.New
	second := feed(t, &d, insert(p.OID, "2", "c", "d")).Change.New
	_ = append(first, []byte("intruder"))
	_ = append(first[0], "intruder"...)
	if string(second[0]) != "2" || string(first[1]) != "a" {
		t.Errorf("got %q and %q", first, second)
	}
}

func TestChangedRelations(t *testing.T) {
	p := people()
	for what, change := range map[string]func(*wal.Relation){
		"renamed table":  func(r *wal.Relation) { r.Name = "persons" },
		"moved":          func(r *wal.Relation) { r.Schema = "" },
		"identity":       func(r *wal.Relation) { r.Identity = 'd' },
		"renamed column": func(r *wal.Relation) { r.Columns[1].Name = "label" },
		"type":           func(r *wal.Relation) { r.Columns[1].Type = 1043 },
		"modifier":       func(r *wal.Relation) { r.Columns[1].TypMod = 36 },
		"key":            func(r *wal.Relation) { r.Columns[1].Key = true },
		"fewer columns":  func(r *wal.Relation) { r.Columns = r.Columns[:2] },
	} {
		var d pgoutput.Decoder
		first := feed(t, &d, relation(p)).Rel
		changed := people()
		change(changed)
		second := feed(t, &d, relation(changed)).Rel
		if second == first {
			t.Errorf("%s: the relation stayed the same", what)
		}
		feed(t, &d, begin(1, 1))
		if got := feed(t, &d, insert(p.OID, make([]string, len(changed.Columns))...)).Change.Rel; got != second {
			t.Errorf("%s: a change has the old relation", what)
		}
	}
}
