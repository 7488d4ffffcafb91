package api

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// cursorEpoch is the moment cursors count from.
var cursorEpoch = time.Date(2024, time.October, 9, 0, 0, 0, 0, time.UTC)

const (
	// cursorSpread is how far a cursor may jump, in seconds, when the client
	// already has the one of the present interval.
	cursorSpread = 3600
	// cursorMost is the greatest cursor that is believed. Beyond it the sum
	// could overflow, and no server ever gave one out.
	cursorMost = 1 << 62
)

// nextCursor is the electric-cursor of a live response (http-protocol §12): it
// changes the URL once per poll interval, so that a CDN shares one live
// response among clients but never repeats it. It is always greater than the
// one the client sent.
func nextCursor(now time.Time, poll time.Duration, sent string) int64 {
	interval := int64(poll / time.Second)
	if interval <= 0 {
		return 0
	}
	prev, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || prev > cursorMost {
		prev = 0
	}
	// Seconds are rounded up first: ceil(ceil(x)/T) = ceil(x/T).
	since := now.Sub(cursorEpoch)
	seconds := int64((since + time.Second - 1) / time.Second)
	next := (seconds + interval - 1) / interval * interval
	if next > prev {
		return next
	}
	return prev + 1 + rand.Int64N(cursorSpread)
}
