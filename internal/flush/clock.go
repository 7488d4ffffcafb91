package flush

import (
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Stall is a shape that owes something and has made no progress.
type Stall struct {
	ID    shape.ID
	Epoch shape.Epoch   // the highest known of, 0 if none
	Owes  wal.LSN       // the position that it should come to
	From  wal.LSN       // the position from which it holds the journal
	Since time.Duration // last progress, or when it began to owe
	// Pinned: it is being created and has no goal yet. What it waits for is
	// its snapshot, which has a limit of its own.
	Pinned bool
}

// Stalled appends to dst the shapes that have made no progress for longer than
// grace, oldest progress first. It costs their number, however many others are
// tracked.
func (t *Tracker) Stalled(now, grace time.Duration, dst []Stall) []Stall {
	for n := t.clock.oldest; n != none; {
		e := t.table.at(n)
		if now-e.since <= grace {
			break
		}
		dst = append(dst, Stall{ID: e.id, Epoch: e.epoch, Owes: e.owes, From: e.from, Since: e.since, Pinned: e.pinned})
		n = e.newer
	}
	return dst
}

// clock is a doubly linked list through all entries, by last progress. Time
// does not go back, so that whoever makes progress belongs at its newer end.
type clock struct{ oldest, newest slot }

// append puts an entry that is not in the list at its newer end. A now before
// the newest one's is a broken promise of the caller; it counts as the newest
// one's, since Stalled relies on the order.
func (c *clock) append(t *entries, n slot, now time.Duration) {
	e := t.at(n)
	e.since, e.older, e.newer = now, c.newest, none
	if c.newest == none {
		c.oldest = n
	} else {
		newest := t.at(c.newest)
		e.since = max(now, newest.since)
		newest.newer = n
	}
	c.newest = n
}

func (c *clock) remove(t *entries, n slot) {
	e := t.at(n)
	if e.older == none {
		c.oldest = e.newer
	} else {
		t.at(e.older).newer = e.newer
	}
	if e.newer == none {
		c.newest = e.older
	} else {
		t.at(e.newer).older = e.older
	}
}

func (c *clock) progress(t *entries, n slot, now time.Duration) {
	c.remove(t, n)
	c.append(t, n, now)
}
