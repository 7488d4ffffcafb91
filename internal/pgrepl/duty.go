package pgrepl

import (
	"errors"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// ackPause is the shortest time between two status frames that nobody asked
	// for, and how often Synced is looked at while something is outstanding. A
	// group commit takes some ms; telling Postgres of each one helps nobody.
	ackPause = 100 * time.Millisecond
	// progressPause is the shortest time between two progress frames.
	progressPause = time.Second
)

// errDead says that the server did not answer.
var errDead = errors.New("the server is silent")

// duties is what has to be done at certain times. It decides and does not act;
// now is an argument, so that tests need no clock.
type duties struct {
	interval  time.Duration // longest pause between status frames
	deadAfter time.Duration

	floor wal.LSN // lowest flush position that may be sent: where we began
	acked wal.LSN // the flush position sent last, 0: none

	sent     time.Time // when the last status frame went out
	heard    time.Time // when the last message came in
	asked    bool      // we asked for a reply since
	progress time.Time // when the last progress frame was handed on
}

// status is a status frame to be sent.
type status struct {
	flush wal.LSN
	ask   bool // for a reply
}

// flush is what may be said of durability, 0 for nothing.
func (d *duties) flush(synced wal.LSN) wal.LSN {
	if synced == 0 || synced < d.floor {
		return 0
	}
	return max(synced, d.acked)
}

// status tells whether a status frame is due. demanded: the server wants one now.
func (d *duties) status(now time.Time, synced wal.LSN, demanded bool) (status, bool) {
	st := status{flush: d.flush(synced)}
	if !d.asked && now.Sub(d.heard) >= d.deadAfter/2 {
		st.ask = true
	}
	pause := now.Sub(d.sent)
	due := demanded || st.ask || pause >= d.interval || st.flush > d.acked && pause >= ackPause
	return st, due
}

// did notes that a status frame went out.
func (d *duties) did(now time.Time, st status) {
	d.sent = now
	d.acked = max(d.acked, st.flush)
	d.asked = d.asked || st.ask
}

// hear notes that something came in.
func (d *duties) hear(now time.Time) { d.heard, d.asked = now, false }

func (d *duties) alive(now time.Time) error {
	if quiet := now.Sub(d.heard); quiet >= d.deadAfter {
		return fmt.Errorf("%w: nothing for %s, though asked", errDead, quiet.Round(time.Millisecond))
	}
	return nil
}

// next is when to look again. handed is the newest position that was handed on;
// held: a progress frame waits for its time.
func (d *duties) next(now time.Time, synced, handed wal.LSN, held bool) time.Time {
	at := d.sent.Add(d.interval)
	earlier := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if d.asked {
		earlier(d.heard.Add(d.deadAfter))
	} else {
		earlier(d.heard.Add(d.deadAfter / 2))
	}
	if held {
		earlier(d.progress.Add(progressPause))
	}
	if d.flush(synced) > d.acked { // news that waits for its pause
		earlier(d.sent.Add(ackPause))
	}
	if synced < handed { // the Sink does not announce what it synced
		earlier(now.Add(ackPause))
	}
	return at
}
