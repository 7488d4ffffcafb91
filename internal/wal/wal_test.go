package wal

import (
	"math"
	"slices"
	"testing"
)

func TestLSN(t *testing.T) {
	for text, want := range map[string]LSN{
		"0/0": 0, "0/1A2B3C8": 0x1A2B3C8, "16/B374D848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": math.MaxUint64,
	} {
		got, err := ParseLSN(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %d (%s), %v", text, got, got, err)
		}
	}
	for _, bad := range []string{"", "0", "0/", "/0", "0/G", "1/100000000", "-1/0", "0/0/0"} {
		if got, err := ParseLSN(bad); err == nil {
			t.Errorf("%q: got %s", bad, got)
		}
	}
}

// The forms of http-protocol §10.1.
func TestOffset(t *testing.T) {
	for text, want := range map[string]Offset{
		"0_0": {0, 0}, "0_02": {0, 2}, "+7_+4": {7, 4}, "0_inf": AfterSnapshot, "33558040_2": {33558040, 2},
		"18446744073709551615_0": {math.MaxUint64, 0},
		"99999999999999999999_0": {math.MaxUint64, 0},     // beyond the end, not a fault of form
		"1_18446744073709551615": {1, math.MaxUint64 - 1}, // the number is not "inf"
	} {
		got, err := ParseOffset(text)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "10", "1_2_3", "1_2 ", "1_2.5", "0_-1", "-2_0", "-1", "now", "_", "1_", "_1", "1_INF", "++1_0"} {
		if got, err := ParseOffset(bad); err == nil {
			t.Errorf("%q: got %s", bad, got)
		}
	}
	order := []Offset{{0, 0}, {0, 1}, AfterSnapshot, {1, 0}, {1, 2}, {2, 0}, {math.MaxUint64, 0}}
	if !slices.IsSortedFunc(order, Offset.Compare) || !order[2].Less(order[3]) || order[3].Less(order[3]) {
		t.Error("offsets are not ordered by Tx, then by Op")
	}
	for _, o := range order {
		if back, err := ParseOffset(o.String()); err != nil || back != o {
			t.Errorf("%s: read back as %s, %v", o, back, err)
		}
	}
}

// The rules of shape-semantics §4.2, also where 32-bit ids wrap.
func TestSnapshotSees(t *testing.T) {
	const epoch = uint64(3) << 32
	plain := Snapshot{Xmin: 100, Xmax: 110, Xip: []uint64{100, 105}, Until: 1000}
	wraps := Snapshot{Xmin: epoch - 5, Xmax: epoch + 5, Xip: []uint64{epoch - 5, epoch + 1}, Until: 1000}
	for name, c := range map[string]struct {
		s    Snapshot
		xid  XID
		at   LSN
		want bool
	}{
		"before xmin":           {plain, 99, 10, true},
		"xmin itself runs":      {plain, 100, 10, false},
		"between, finished":     {plain, 101, 10, true},
		"between, running":      {plain, 105, 10, false},
		"xmax":                  {plain, 110, 10, false},
		"after xmax":            {plain, 5000, 10, false},
		"finished, but later":   {plain, 101, 1000, false},
		"wrapped, before":       {wraps, math.MaxUint32 - 10, 10, true},
		"wrapped, xmin runs":    {wraps, math.MaxUint32 - 4, 10, false},
		"wrapped, finished":     {wraps, math.MaxUint32 - 3, 10, true},
		"wrapped, finished low": {wraps, 0, 10, true},
		"wrapped, running low":  {wraps, 1, 10, false},
		"wrapped, after":        {wraps, 5, 10, false},
	} {
		if got := c.s.Sees(Txn{Commit: c.at, XID: c.xid}); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestParseSnapshot(t *testing.T) {
	s, err := ParseSnapshot("901:905:901,903")
	if err != nil || s.Xmin != 901 || s.Xmax != 905 || !slices.Equal(s.Xip, []uint64{901, 903}) {
		t.Errorf("got %+v, %v", s, err)
	}
	if s, err := ParseSnapshot("7:7:"); err != nil || s.Xip != nil {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, bad := range []string{"", "1:2", "x:2:", "1:x:", "1:2:x", "1:2:3,", "1:2:3:4"} {
		if s, err := ParseSnapshot(bad); err == nil {
			t.Errorf("%q: got %+v", bad, s)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(AppendMessage(AppendMessage(nil, []byte("one")), nil))
	f.Add([]byte{0, 0, 0, 9, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		for m := range Messages(data) {
			again = AppendMessage(again, m)
		}
		if len(again) > len(data) || string(again) != string(data[:len(again)]) {
			t.Errorf("%x came apart as %x", data, again)
		}
	})
}
