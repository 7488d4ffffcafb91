package verify

import "testing"

// Whether a snapshot sees a transaction is asked by its whole id, also where a log is
// longer than the transactions that 32 bits tell apart, and where it had none for long.
func TestSees(t *testing.T) {
	const epoch = 1 << 32
	s, err := parseSight("25769803786:25769803796:25769803791")
	if err != nil || s.xmin != 6*epoch+10 || s.xmax != 6*epoch+20 || len(s.running) != 1 || s.running[0] != 6*epoch+15 {
		t.Fatalf("%+v, %v", s, err)
	}
	s.before, s.until = 900, 1000
	for _, c := range []struct {
		what   string
		newest uint64
		commit uint64
		xid    uint32
		want   bool
	}{
		{"long before", 6*epoch + 5, 500, 9, true},
		{"running", 6*epoch + 5, 600, 15, false},
		{"the same number an epoch before", 5*epoch + 5, 600, 15, true},
		{"between", 6*epoch + 5, 700, 16, true},
		{"later", 6*epoch + 5, 800, 20, false},
		{"a number beyond, an epoch before", 5 * epoch, 800, 1 << 30, true},
		{"before the number goes round", 6*epoch - 5, 800, epoch - 1, true},
		{"a commit behind the snapshot", 6*epoch + 5, 1000, 12, false},
		{"running, after a silence of two epochs", 4 * epoch, 950, 15, false},
		{"seen, after a silence of two epochs", 4 * epoch, 950, 14, true},
		{"later, after a silence of two epochs", 4 * epoch, 950, 21, false},
	} {
		ids := &chain{newest: c.newest}
		if got := s.sees(c.commit, c.xid, ids); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	// A log of ten epochs: each transaction is found from the one before.
	ids, id := &chain{newest: 100}, uint64(100)
	for range 50 {
		id += epoch / 5
		s := sight{xmin: id, xmax: id, before: 2000, until: 2000}
		if s.sees(500, uint32(id), ids) || !s.sees(500, uint32(id-1), ids) {
			t.Fatalf("%d is taken for %d", id, ids.newest)
		}
	}
	for text, want := range map[string]int{"1:1:": 0, "1:9:2,3": 2} {
		if s, err := parseSight(text); err != nil || len(s.running) != want {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, bad := range []string{"", "1", "a:b:", "1:9:x"} {
		if _, err := parseSight(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	if at, err := parseLSN("16/B374D848"); err != nil || at != 0x16B374D848 || lsn(at) != "16/B374D848" {
		t.Errorf("%d, %v", at, err)
	}
}
