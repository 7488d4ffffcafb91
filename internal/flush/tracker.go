package flush

import (
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Tracker knows who owes what, from where and since when. Its owner is one
// goroutine. Make one with New.
type Tracker struct {
	table entries
	heap  heap
	clock clock

	last     wal.LSN // the last routed position
	boundary wal.LSN // never goes back, never above last
}

// New returns a tracker for which everything below start is durable.
func New(start wal.LSN) *Tracker {
	return &Tracker{
		table: newEntries(),
		clock: clock{oldest: none, newest: none},
		last:  start, boundary: start,
	}
}

// Routed says that the transaction that ends at the position end was handed to
// ids, all of them in this one call, before any of them can report it durable.
// With no ids it says that nothing up to end concerned anybody.
//
// A shape that owed nothing owes from the previous routed position: it has
// flushed whatever it was handed before, and that is just before this
// transaction. (Electric's first choice, the boundary of the moment, made the
// boundary chase itself under load.) A shape that owes already only owes more:
// its progress and its From stay.
//
// A position at or below the last routed one is a repeat. What of it lies below
// the boundary is durable, so that nobody owes it; for the rest a new debt
// begins at the boundary, the highest position of which that much is certain.
func (t *Tracker) Routed(end wal.LSN, ids []shape.ID, now time.Duration) {
	from := t.last
	if end <= from {
		from = t.boundary
	}
	if end <= from {
		return
	}
	for _, id := range ids {
		if n, ok := t.table.find(id); ok {
			e := t.table.at(n)
			e.owes = max(e.owes, end)
			continue
		}
		t.insert(entry{id: id, from: from, durable: from, applied: from, owes: end}, now)
	}
	t.last = max(t.last, end)
	t.settle()
}

// Pin says that a shape is being created, or built anew: whatever is routed
// from the position from on must stay until the shape has caught up, and what
// that means is known at SetGoal. from must not be below the boundary, since
// what is below may be gone. The shape's own word is needed even if the goal
// turns out to be from: that its first rows and cursor are durable is nothing
// that the tracker can know.
//
// A shape that owes already is held at the lower of both positions, and what it
// reported before does not count any more: it was about the log that is built
// anew. Its last progress stays: being rebuilt is none.
func (t *Tracker) Pin(id shape.ID, epoch shape.Epoch, from wal.LSN, now time.Duration) {
	n, ok := t.table.find(id)
	if !ok {
		t.insert(entry{id: id, epoch: epoch, from: from, applied: from, owes: from, pinned: true}, now)
		t.settle()
		return
	}
	e := t.table.at(n)
	e.pinned = true
	e.epoch = max(e.epoch, epoch)
	e.owes = max(e.owes, from)
	if from < e.from {
		e.from = from
		t.heap.lowered(&t.table, n)
	}
	e.durable, e.applied = 0, e.from
	t.settle()
}

// SetGoal says what a pinned shape owes at the least; from now on it completes
// like any other. A shape that owes nothing is left alone. Setting a goal is not
// progress.
func (t *Tracker) SetGoal(id shape.ID, goal wal.LSN) {
	n, ok := t.table.find(id)
	if !ok {
		return
	}
	e := t.table.at(n)
	e.owes = max(e.owes, goal)
	e.pinned = false
	t.finish(n)
}

// Durable says that everything of the shape below the position upTo is durable,
// in the word of the worker with this epoch. A shape that owes nothing is left
// alone.
func (t *Tracker) Durable(id shape.ID, epoch shape.Epoch, upTo wal.LSN, now time.Duration) {
	n, ok := t.table.find(id)
	if !ok {
		return
	}
	e := t.table.at(n)
	if !e.admits(epoch) || upTo < e.from || upTo <= e.durable {
		return
	}
	e.durable = upTo
	e.applied = max(e.applied, upTo)
	if upTo > e.from {
		e.from = upTo
		t.heap.raised(&t.table, n)
	}
	t.clock.progress(&t.table, n, now)
	t.finish(n)
}

// Applied says that the shape's consumer has come to the position upTo, which
// need not be durable. It counts as progress and settles nothing: a disk that
// hangs must not make a consumer look stuck.
func (t *Tracker) Applied(id shape.ID, epoch shape.Epoch, upTo wal.LSN, now time.Duration) {
	n, ok := t.table.find(id)
	if !ok {
		return
	}
	e := t.table.at(n)
	if !e.admits(epoch) || upTo <= e.applied {
		return
	}
	e.applied = upTo
	t.clock.progress(&t.table, n, now)
}

// SetEpoch says that a new worker writes the shape: what lower epochs report
// does not count for the debt there is now. A debt that begins later admits
// every epoch until it hears of one, so whoever passes words on must not pass
// on those of workers known to be replaced.
func (t *Tracker) SetEpoch(id shape.ID, epoch shape.Epoch) {
	if n, ok := t.table.find(id); ok {
		e := t.table.at(n)
		e.epoch = max(e.epoch, epoch)
	}
}

// Removed says that the shape is gone and owes nothing any more. The removal
// itself must be durable before: otherwise a crash would bring the shape back
// without the changes that were trimmed meanwhile.
func (t *Tracker) Removed(id shape.ID) {
	if n, ok := t.table.find(id); ok {
		t.drop(n)
	}
}

// Boundary is the position below which nobody needs the journal.
func (t *Tracker) Boundary() wal.LSN { return t.boundary }

// Holder is a shape that keeps the boundary from going on, and where it does.
// There is none if nobody owes anything, or only from the last routed position
// on or later.
func (t *Tracker) Holder() (id shape.ID, from wal.LSN, ok bool) {
	n, from, ok := t.heap.lowest()
	if !ok || from >= t.last {
		return 0, 0, false
	}
	return t.table.at(n).id, from, true
}

// Len is the number of shapes that owe something.
func (t *Tracker) Len() int { return t.table.len() }

func (t *Tracker) insert(e entry, now time.Duration) {
	n := t.table.insert(e)
	t.heap.push(&t.table, n)
	t.clock.append(&t.table, n, now)
}

// finish drops the entry if it owes nothing any more, and moves the boundary.
func (t *Tracker) finish(n slot) {
	e := t.table.at(n)
	if !e.pinned && e.durable >= e.owes {
		t.drop(n)
		return
	}
	t.settle()
}

func (t *Tracker) drop(n slot) {
	t.heap.remove(&t.table, n)
	t.clock.remove(&t.table, n)
	t.table.remove(n)
	if t.table.sparse() {
		t.compact()
	}
	t.settle()
}

// settle moves the boundary to where the debts allow. It does not go back, also
// not for a Pin below it.
func (t *Tracker) settle() {
	to := t.last
	if _, from, ok := t.heap.lowest(); ok {
		to = min(to, from)
	}
	t.boundary = max(t.boundary, to)
}
