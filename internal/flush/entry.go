package flush

import (
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// entry is the debt of one shape.
type entry struct {
	id    shape.ID
	epoch shape.Epoch // the highest known of; 0: none yet

	// from is the entry's share in the boundary: what starts below it is not
	// needed for this shape.
	from wal.LSN
	// durable is the highest position that is known to be durable. It equals
	// from, but for a pinned shape that has not said anything yet: then it is 0.
	durable wal.LSN
	applied wal.LSN // ≥ durable
	owes    wal.LSN // durable must reach it

	since        time.Duration // last progress, or the beginning of the debt
	older, newer slot          // neighbours in the clock's list
	place        int32         // in the heap
	pinned       bool
}

// admits reports whether a word of the epoch counts, and remembers it if it is
// the highest so far.
func (e *entry) admits(epoch shape.Epoch) bool {
	if epoch < e.epoch {
		return false
	}
	e.epoch = epoch
	return true
}

// slot is the number of an entry in the slab; none is no entry.
type slot int32

const none slot = -1

// entries is where entries live: a slab, so that 300,000 of them are one object
// for the garbage collector and links are four bytes each.
type entries struct {
	slab []entry
	free []slot
	byID map[shape.ID]slot
}

func newEntries() entries { return entries{byID: make(map[shape.ID]slot)} }

func (t *entries) len() int { return len(t.byID) }

// at returns the entry in a slot. The pointer is good until the next insert.
func (t *entries) at(n slot) *entry { return &t.slab[n] }

func (t *entries) find(id shape.ID) (slot, bool) {
	n, ok := t.byID[id]
	return n, ok
}

func (t *entries) insert(e entry) slot {
	var n slot
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
		t.slab[n] = e
	} else {
		n = slot(len(t.slab))
		t.slab = append(t.slab, e)
	}
	t.byID[e.id] = n
	return n
}

func (t *entries) remove(n slot) {
	delete(t.byID, t.slab[n].id)
	t.free = append(t.free, n)
}

// Memory is given back when the slab has at least shrinkAbove slots, and not
// more than one in shrinkBelow is in use. Neither a map nor a slice ever shrinks
// by itself, and one transaction over 300,000 shapes would otherwise be paid
// for (about 50 MB) until the process ends. The distance keeps a steady load
// from growing and shrinking for ever.
const (
	shrinkAbove = 1 << 15
	shrinkBelow = 16
)

func (t *entries) sparse() bool {
	return len(t.slab) >= shrinkAbove && len(t.byID)*shrinkBelow <= len(t.slab)
}

// compact moves the entries to structures of their own size. It costs the
// number of entries that are left, and is paid for by the fifteen times as many
// that went.
func (t *Tracker) compact() {
	old := t.table
	t.table = entries{
		slab: make([]entry, 0, old.len()),
		byID: make(map[shape.ID]slot, old.len()),
	}
	t.heap = make(heap, 0, old.len())
	n := t.clock.oldest
	t.clock = clock{oldest: none, newest: none}
	for n != none {
		e := old.slab[n]
		n = e.newer
		t.insert(e, e.since)
	}
}
