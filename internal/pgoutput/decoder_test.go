package pgoutput

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

// msg builds messages: numbers as their width says, texts with their zero byte.
func msg(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		case string:
			b = append(append(b, p...), 0)
		case []byte:
			b = append(b, p...)
		default:
			panic(p)
		}
	}
	return b
}

// row builds a tuple: nil is NULL, "\x00u" an unchanged TOASTed value.
func row(values ...any) []byte {
	b := msg(uint16(len(values)))
	for _, v := range values {
		switch {
		case v == nil:
			b = append(b, 'n')
		case v == "\x00u":
			b = append(b, 'u')
		default:
			s := v.(string)
			b = append(append(b, 't'), msg(uint32(len(s)))...)
			b = append(b, s...)
		}
	}
	return b
}

var (
	begin    = msg(byte('B'), uint64(100), uint64(1), uint32(7))
	commit   = msg(byte('C'), byte(0), uint64(100), uint64(140), uint64(1))
	boats    = relation(1, "boats")
	legs     = relation(2, "legs")
	minusOne = uint32(0xffffffff)
)

func relation(oid uint32, name string) []byte {
	return msg(byte('R'), oid, "public", name, byte('f'), uint16(2),
		byte(1), "id", uint32(23), minusOne, byte(1), "name", uint32(25), minusOne)
}

// all decodes messages and fails on an error.
func all(t testing.TB, d *Decoder, msgs ...[]byte) []Event {
	t.Helper()
	var out []Event
	for _, m := range msgs {
		ev, err := d.Decode(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ev)
	}
	return out
}

func tuple(values ...any) wal.Tuple {
	var t wal.Tuple
	for _, v := range values {
		if v == nil {
			t = append(t, nil)
		} else {
			t = append(t, []byte(v.(string)))
		}
	}
	return t
}

func TestTransaction(t *testing.T) {
	var d Decoder
	evs := all(t, &d,
		begin, boats, legs,
		msg(byte('I'), uint32(1), byte('N'), row("1", "")),
		msg(byte('U'), uint32(1), byte('O'), row("1", "old"), byte('N'), row("1", nil)),
		msg(byte('U'), uint32(2), byte('O'), row("1", "big"), byte('N'), row("2", "\x00u")),
		msg(byte('D'), uint32(1), byte('O'), row("1", nil)),
		msg(byte('T'), uint32(2), byte(0), uint32(2), uint32(1)),
		msg(byte('D'), uint32(1), byte('K'), row("1", nil)),
		commit)
	rel := evs[1].Rel
	want := []wal.Change{
		{Op: wal.Insert, Rel: rel, Seq: 0, New: tuple("1", "")},
		{Op: wal.Update, Rel: rel, Seq: 2, Old: tuple("1", "old"), New: tuple("1", nil)},
		{Op: wal.Update, Rel: evs[2].Rel, Seq: 4, Old: tuple("1", "big"), New: tuple("2", "big")},
		{Op: wal.Delete, Rel: rel, Seq: 6, Old: tuple("1", nil)},
	}
	for i, w := range want {
		if got := evs[3+i]; got.Kind != Change || !reflect.DeepEqual(got.Change, w) {
			t.Errorf("change %d:\n got %+v\nwant %+v", i, got, w)
		}
	}
	trunc := []wal.Change{{Op: wal.Truncate, Rel: evs[2].Rel, Seq: 8}, {Op: wal.Truncate, Rel: rel, Seq: 10}}
	if got := evs[7]; got.Kind != Truncate || !reflect.DeepEqual(got.Truncated, trunc) {
		t.Errorf("truncate: got %+v", got)
	}
	if got := evs[8].Change; !got.OldIsKey || got.Seq != 12 {
		t.Errorf("delete by key: got %+v", got)
	}
	if got, want := evs[9], (Event{Kind: Commit, Txn: wal.Txn{Commit: 100, End: 140, XID: 7}}); !reflect.DeepEqual(got, want) {
		t.Errorf("commit: got %+v", got)
	}
	if again := all(t, &d, begin, boats, msg(byte('I'), uint32(1), byte('N'), row("9", "x"))); again[1].Rel != rel || again[2].Change.Seq != 0 {
		t.Error("an unchanged relation is another one, or the numbers do not begin anew")
	}
}

// An unchanged TOASTed value without the full old row cannot be filled in.
func TestIncomplete(t *testing.T) {
	for _, old := range [][]byte{nil, msg(byte('K'), row("1", nil))} {
		var d Decoder
		m := append(msg(byte('U'), uint32(1)), old...)
		evs := all(t, &d, begin, boats, append(append(m, 'N'), row("1", "\x00u")...))
		if got := evs[2].Change; !got.Incomplete || got.New[1] != nil {
			t.Errorf("got %+v", got)
		}
	}
}

func TestOtherMessages(t *testing.T) {
	var d Decoder
	for _, m := range [][]byte{
		msg(byte('O'), uint64(1), "origin"), msg(byte('Y'), uint32(9), "public", "mood"),
		msg(byte('M'), byte(0), uint64(1), "prefix", uint32(0)),
	} {
		if evs := all(t, &d, m); evs[0].Kind != None {
			t.Errorf("%q: got %+v", m[0], evs[0])
		}
	}
}

func TestFaults(t *testing.T) {
	insert := msg(byte('I'), uint32(1), byte('N'), row("1", "x"))
	for name, c := range map[string]struct {
		before [][]byte
		last   []byte
		want   string
	}{
		"empty":             {nil, nil, "cut short"},
		"unknown":           {nil, []byte("Z"), "unknown kind of message"},
		"change outside":    {[][]byte{boats}, insert, "outside of a transaction"},
		"not announced":     {[][]byte{begin}, insert, "not announced"},
		"commit outside":    {nil, commit, "outside"},
		"begin twice":       {[][]byte{begin}, begin, "inside another"},
		"other commit":      {[][]byte{begin}, msg(byte('C'), byte(0), uint64(101), uint64(140), uint64(1)), "announced for"},
		"too many columns":  {[][]byte{begin, boats}, msg(byte('I'), uint32(1), byte('N'), row("1", "x", "y")), "columns"},
		"unknown value":     {[][]byte{begin, boats}, msg(byte('I'), uint32(1), byte('N'), uint16(2), byte('?'), byte('?')), "kind of value"},
		"no new row":        {[][]byte{begin, boats}, msg(byte('I'), uint32(1), byte('O'), row("1", "x")), "new row"},
		"no old row":        {[][]byte{begin, boats}, msg(byte('D'), uint32(1), byte('N'), row("1", "x")), "old row"},
		"truncate too long": {[][]byte{begin, boats}, msg(byte('T'), uint32(1<<31-1), byte(0), uint32(1)), "cut short"},
	} {
		var d Decoder
		all(t, &d, c.before...)
		if _, err := d.Decode(c.last); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
	for n := range len(insert) {
		var d Decoder
		all(t, &d, begin, boats)
		if _, err := d.Decode(insert[:n]); err == nil {
			t.Errorf("%d bytes of %d were accepted", n, len(insert))
		}
	}
}

func TestResetForgets(t *testing.T) {
	var d Decoder
	all(t, &d, begin, boats)
	d.Reset()
	all(t, &d, begin)
	if _, err := d.Decode(msg(byte('I'), uint32(1), byte('N'), row("1", "x"))); !errors.Is(err, errRelation) {
		t.Errorf("got %v", err)
	}
}

func TestRowsDoNotAllocate(t *testing.T) {
	var d Decoder
	all(t, &d, begin, boats)
	m := msg(byte('U'), uint32(1), byte('O'), row("1", "old"), byte('N'), row("1", "new"))
	// 4 values a change: one slab in 1,024 changes.
	if n := testing.AllocsPerRun(10_000, func() { all(t, &d, m) }); n > 1.2 {
		t.Errorf("%.2f allocations for a change (the test's own slice is one)", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(msg(byte('I'), uint32(1), byte('N'), row("1", "x")))
	f.Add(msg(byte('U'), uint32(1), byte('K'), row("1", nil), byte('N'), row("1", "\x00u")))
	f.Add(boats)
	f.Add(commit)
	f.Fuzz(func(t *testing.T, m []byte) {
		var d Decoder
		all(t, &d, begin, boats)
		ev, err := d.Decode(m)
		if err != nil {
			return
		}
		if ch := ev.Change; ev.Kind == Change && (ch.New != nil && len(ch.New) != len(ch.Rel.Columns) || ch.Old != nil && len(ch.Old) != len(ch.Rel.Columns)) {
			t.Errorf("a row has another width than its table: %+v", ch)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var d Decoder
	all(b, &d, begin, boats)
	m := msg(byte('I'), uint32(1), byte('N'), row("12345", strings.Repeat("x", 100)))
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}
