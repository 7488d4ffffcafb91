package api

import (
	"math"
	"strconv"
	"testing"
	"time"
)

func TestNextCursor(t *testing.T) {
	const poll = 20 * time.Second
	at := func(seconds float64) time.Time {
		return cursorEpoch.Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, c := range []struct {
		now  float64 // seconds since the epoch of cursors
		poll time.Duration
		sent string
		want int64 // 0: the client's and up to an hour more
	}{
		{now: 38880003, poll: poll, want: 38880020},
		{now: 38880000, poll: poll, want: 38880000},
		{now: 38880000.5, poll: poll, want: 38880020},
		{now: 38880003, poll: poll, sent: "38880000", want: 38880020},
		{now: 38880003, poll: poll, sent: "38880020"},
		{now: 38880003, poll: poll, sent: "38890000"},
		{now: 38880003, poll: poll, sent: "abc", want: 38880020},
		{now: 38880003, poll: poll, sent: "38880020x", want: 38880020},
		{now: 38880003, poll: poll, sent: "-5", want: 38880020},
		{now: 38880003, poll: poll, sent: "99999999999999999999", want: 38880020},
		{now: 38880003, poll: poll, sent: strconv.Itoa(math.MaxInt64), want: 38880020},
		{now: 38880003, poll: 7500 * time.Millisecond, want: 38880009},
	} {
		got := nextCursor(at(c.now), c.poll, c.sent)
		if c.want != 0 && got != c.want {
			t.Errorf("at %v, sent %q: %d; want %d", c.now, c.sent, got, c.want)
		}
		if c.want == 0 {
			prev, err := strconv.ParseInt(c.sent, 10, 64)
			if err != nil || got <= prev || got > prev+3600 {
				t.Errorf("at %v, sent %q: %d", c.now, c.sent, got)
			}
		}
	}
	if got := nextCursor(at(5), 900*time.Millisecond, "7"); got != 0 {
		t.Errorf("no whole second of polling: %d; want 0", got)
	}
	if got := nextCursor(at(-5), poll, ""); got < 1 || got > 3600 {
		t.Errorf("before the epoch: %d", got)
	}
}
