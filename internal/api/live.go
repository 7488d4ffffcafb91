package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// serveLog answers a request for what comes after a place in the log.
func (v *visit) serveLog(after wal.Offset) error {
	tail, err := v.reach(after)
	switch {
	case err != nil:
		return err
	case v.req.sse:
		return v.stream(after)
	case after.Less(tail):
		return v.sendLog(after)
	case v.req.live:
		return v.hold(after, tail)
	}
	return v.sendLog(tail) // not after: it may be the mark behind a transaction
}

// reach returns the tail once the log reaches as far as the client says it has
// read. Beyond the end it waits for a while: perhaps after a crash the replay has
// not come as far yet as what was readable before.
func (v *visit) reach(after wal.Offset) (wal.Offset, error) {
	beyond := func(tail wal.Offset) bool {
		if after.Op == wal.Inf { // transactions are whole
			return tail.Tx < after.Tx
		}
		return tail.Less(after)
	}
	if tail := v.sh.Tail(); !beyond(tail) {
		return tail, nil
	}
	seen, tail, end, err := v.await(v.cfg.LongPollTimeout/2, func(tail wal.Offset) bool { return !beyond(tail) })
	switch {
	case err != nil:
		return tail, err
	case !beyond(tail):
		return tail, nil
	case end == stopped:
		// Not the 400 that clients take for final.
		return tail, refuse(http.StatusServiceUnavailable, "The server is stopping", 5)
	}
	if ill, is := v.sh.Illness(); is {
		// A crash before it was set aside took what the client has read.
		return tail, mustRefetch("", ill.Reason)
	}
	if seen < after.Tx && after.Tx <= v.src.Routed() {
		// The same, and the shape, which goes its own way, is still behind the others.
		return tail, notThereAgain()
	}
	return tail, outOfBounds()
}

// hold waits for something to happen behind the end of the log.
func (v *visit) hold(after, tail wal.Offset) error {
	p := &page{handle: v.sh.Handle(), offset: tail.String(), upToDate: true}
	if v.notModified(v.req, v.def, p) {
		return nil
	}
	return v.aside(func() error { return v.holdOn(after) })
}

func (v *visit) holdOn(after wal.Offset) error {
	seen, tail, end, err := v.await(v.cfg.LongPollTimeout, after.Less)
	switch {
	case err != nil:
		return err
	case after.Less(tail):
		return v.sendLog(after)
	case end == timedOut:
		if reason := v.down(); reason != "" {
			return refuse(http.StatusServiceUnavailable, reason, 10)
		}
	}
	v.sendNoData(seen, tail)
	return nil
}

// ending says what ended a wait.
type ending uint8

const (
	satisfied ending = iota
	timedOut
	stopped
)

// await waits until enough is content with the tail, the limit is over or the
// server stops, and returns the last it saw. The error is that of a removed
// shape, or of a client that left. What it returns is always read after it
// signed up for the next change, so none can fall in between.
func (v *visit) await(limit time.Duration, enough func(tail wal.Offset) bool) (seen wal.LSN, tail wal.Offset, end ending, err error) {
	var timeout <-chan time.Time
	for {
		changed := v.sh.Changed()
		if err := v.gone(); err != nil {
			return 0, wal.Offset{}, end, err
		}
		// Seen comes first: everything up to it is then at or before tail.
		seen = v.sh.Seen()
		tail = v.sh.Tail()
		if end != satisfied || enough(tail) {
			return seen, tail, end, nil
		}
		if timeout == nil {
			timer := time.NewTimer(limit)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			end = timedOut
		case <-v.stopping:
			end = stopped
		case <-v.r.Context().Done():
			return 0, wal.Offset{}, end, context.Cause(v.r.Context())
		}
	}
}

// down returns why the service is not active at this moment, or "". A service
// that waits for its turn still serves what it has.
func (v *visit) down() string {
	if v.src.Health() != "starting" {
		return ""
	}
	now, cancel := context.WithCancel(v.r.Context())
	cancel()
	if n, ok := errors.AsType[*NotReady](v.src.Ready(now)); ok {
		return n.Reason
	}
	return "Timeout waiting for replication client to be ready"
}
