package pgrepl

import (
	"errors"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

func TestDuties(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	fresh := func() *duties {
		return &duties{interval: time.Second, deadAfter: 10 * time.Second, floor: 100, sent: begin, heard: begin}
	}
	tests := []struct {
		what     string
		d        *duties
		ms       int
		synced   wal.LSN
		demanded bool
		want     status
		due      bool
	}{
		{"nothing known, nothing asked", fresh(), 500, 0, false, status{}, false},
		{"nothing known, but asked", fresh(), 5, 0, true, status{}, true},
		{"nothing known, but time", fresh(), 1000, 0, false, status{}, true},
		{"below where we began", fresh(), 500, 99, false, status{}, false},
		{"where we began", fresh(), 500, 100, false, status{flush: 100}, true},
		{"news, but too soon", fresh(), 99, 200, false, status{flush: 200}, false},
		{"news", fresh(), 100, 200, false, status{flush: 200}, true},
		{"news, and asked", fresh(), 1, 200, true, status{flush: 200}, true},
		{"long silence", func() *duties { d := fresh(); d.interval = time.Hour; return d }(), 5000, 0, false, status{ask: true}, true},
	}
	for _, tt := range tests {
		if got, due := tt.d.status(at(tt.ms), tt.synced, tt.demanded); got != tt.want || due != tt.due {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.what, got, due, tt.want, tt.due)
		}
	}
	d := fresh()
	d.did(at(100), status{flush: 500})
	if got, due := d.status(at(150), 500, false); due {
		t.Errorf("told the same again: %+v", got)
	}
	if got, due := d.status(at(1100), 400, false); !due || got.flush != 500 {
		t.Errorf("a position went back: %+v, %v", got, due)
	}
}

func TestSilence(t *testing.T) {
	begin := time.Unix(1000, 0)
	d := duties{interval: time.Hour, deadAfter: 10 * time.Second, sent: begin, heard: begin}
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	if next := d.next(begin, 0, 0, false); !next.Equal(at(5)) {
		t.Errorf("looks again at %s", next)
	}
	st, due := d.status(at(5), 0, false)
	if !due || !st.ask {
		t.Fatalf("did not ask: %+v, %v", st, due)
	}
	d.did(at(5), st)
	if st, due := d.status(at(6), 0, false); due {
		t.Errorf("asked twice: %+v", st)
	}
	if next := d.next(begin, 0, 0, false); !next.Equal(at(10)) {
		t.Errorf("looks again at %s", next)
	}
	if err := d.alive(at(9)); err != nil {
		t.Errorf("too early: %v", err)
	}
	if err := d.alive(at(10)); !errors.Is(err, errDead) {
		t.Errorf("got %v", err)
	}
	d.hear(at(9))
	if err := d.alive(at(18)); err != nil {
		t.Errorf("answered, and yet: %v", err)
	}
	if next := d.next(begin, 0, 0, false); !next.Equal(at(14)) {
		t.Errorf("looks again at %s", next)
	}
}

func TestNext(t *testing.T) {
	begin := time.Unix(1000, 0)
	after := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		what           string
		synced, handed wal.LSN
		held           bool
		want           time.Time
	}{
		{"nothing", 0, 0, false, after(10_000)},
		{"all is told", 100, 100, false, after(10_000)},
		{"not durable yet", 100, 200, false, after(150)},
		{"durable and not told yet", 200, 200, false, after(100)},
		{"progress waits", 100, 100, true, after(700)},
	} {
		d := duties{interval: 10 * time.Second, deadAfter: time.Hour, acked: 100, sent: begin, heard: begin, progress: after(-300)}
		if got := d.next(after(50), tt.synced, tt.handed, tt.held); !got.Equal(tt.want) {
			t.Errorf("%s: looks again after %s, want %s", tt.what, got.Sub(begin), tt.want.Sub(begin))
		}
	}
}

// A status frame is byte for byte what the manual says.
func TestStatusFrame(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)
	got := appendStatus(nil, 0x0102030405060708, 0, now, true)
	want := "d\x00\x00\x00\x26r\x01\x02\x03\x04\x05\x06\x07\x08" +
		"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x0f\x42\x40" + "\x01"
	if string(got) != want {
		t.Errorf("got %x\nwant %x", got, want)
	}
	got = appendStatus(nil, 9, 8, now, false)
	if be.Uint64(got[14:]) != 8 || be.Uint64(got[22:]) != 8 || got[38] != 0 || len(got) != 39 {
		t.Errorf("got %x", got)
	}
}
