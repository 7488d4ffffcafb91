package flush

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// twin is the tracker without any cleverness: it keeps what it was told, and
// works everything out from that each time it is asked.
type twin struct {
	debts    map[shape.ID]*debt
	last     wal.LSN
	boundary wal.LSN
	steps    int
}

type debt struct {
	begin    wal.LSN
	handed   []wal.LSN // what it owes
	durable  []wal.LSN // words that counted
	applied  []wal.LSN
	epochs   []shape.Epoch
	pinned   bool
	since    time.Duration
	sinceSeq int // orders those of the same instant
}

func newTwin(start wal.LSN) *twin {
	return &twin{debts: make(map[shape.ID]*debt), last: start, boundary: start}
}

func highest[T cmp.Ordered](all []T) T {
	var h T
	for _, x := range all {
		h = max(h, x)
	}
	return h
}

func (d *debt) from() wal.LSN { return max(d.begin, highest(d.durable)) }

func (d *debt) progress(w *twin, now time.Duration) {
	w.steps++
	d.since, d.sinceSeq = now, w.steps
}

func (w *twin) routed(end wal.LSN, ids []shape.ID, now time.Duration) {
	before := w.last
	if end <= w.last {
		before = w.boundary
	}
	if end > before {
		for _, id := range ids {
			if w.debts[id] == nil {
				w.debts[id] = &debt{begin: before, durable: []wal.LSN{before}, applied: []wal.LSN{before}}
				w.debts[id].progress(w, now)
			}
			w.debts[id].handed = append(w.debts[id].handed, end)
		}
	}
	w.last = max(w.last, end)
	w.done()
}

func (w *twin) pin(id shape.ID, epoch shape.Epoch, from wal.LSN, now time.Duration) {
	d := w.debts[id]
	if d == nil {
		d = &debt{begin: from}
		w.debts[id] = d
		d.progress(w, now)
	}
	d.begin = min(d.from(), from)
	d.durable = nil
	d.applied = []wal.LSN{d.begin}
	d.handed = append(d.handed, from)
	d.epochs = append(d.epochs, epoch)
	d.pinned = true
	w.done()
}

func (w *twin) setGoal(id shape.ID, goal wal.LSN) {
	if d := w.debts[id]; d != nil {
		d.handed = append(d.handed, goal)
		d.pinned = false
	}
	w.done()
}

func (w *twin) word(id shape.ID, epoch shape.Epoch) *debt {
	d := w.debts[id]
	if d == nil || epoch < highest(d.epochs) {
		return nil
	}
	d.epochs = append(d.epochs, epoch)
	return d
}

func (w *twin) durable(id shape.ID, epoch shape.Epoch, upTo wal.LSN, now time.Duration) {
	// A word below what the shape began with says nothing about its debt.
	if d := w.word(id, epoch); d != nil && upTo >= d.begin && upTo > highest(d.durable) {
		d.durable = append(d.durable, upTo)
		d.applied = append(d.applied, upTo)
		d.progress(w, now)
	}
	w.done()
}

func (w *twin) applied(id shape.ID, epoch shape.Epoch, upTo wal.LSN, now time.Duration) {
	if d := w.word(id, epoch); d != nil && upTo > highest(d.applied) {
		d.applied = append(d.applied, upTo)
		d.progress(w, now)
	}
}

func (w *twin) setEpoch(id shape.ID, epoch shape.Epoch) {
	if d := w.debts[id]; d != nil {
		d.epochs = append(d.epochs, epoch)
	}
}

func (w *twin) removed(id shape.ID) {
	delete(w.debts, id)
	w.done()
}

// done forgets who owes nothing and looks where the boundary may be.
func (w *twin) done() {
	to := w.last
	for id, d := range w.debts {
		if !d.pinned && len(d.durable) > 0 && highest(d.durable) >= highest(d.handed) {
			delete(w.debts, id)
			continue
		}
		to = min(to, d.from())
	}
	w.boundary = max(w.boundary, to)
}

func (w *twin) stalled(now, grace time.Duration) []Stall {
	var all []Stall
	for id, d := range w.debts {
		if now-d.since > grace {
			all = append(all, Stall{ID: id, Epoch: highest(d.epochs), Owes: highest(d.handed), From: d.from(), Since: d.since, Pinned: d.pinned})
		}
	}
	slices.SortFunc(all, func(a, b Stall) int { return cmp.Compare(w.debts[a.ID].sinceSeq, w.debts[b.ID].sinceSeq) })
	return all
}

// pair drives both and compares them.
type pair struct {
	t    *Tracker
	w    *twin
	now  time.Duration
	low  wal.LSN // the boundary before
	done []string
}

func newPair(start wal.LSN) *pair { return &pair{t: New(start), w: newTwin(start), low: start} }

// step does one operation: op, which shape and how far are any numbers.
func (p *pair) step(op, who, far uint8) error {
	id := shape.ID(who % 12)
	epoch := shape.Epoch(who>>4) % 4
	// Around the boundary and what was routed, above and below.
	near := p.w.boundary + wal.LSN(far%32) - 4
	p.now += time.Duration(far >> 6)
	switch op % 16 {
	case 0, 1, 2, 3:
		var ids []shape.ID
		for i := range shape.ID(12) {
			if (uint16(who)<<4|uint16(far>>4))>>i&1 == 1 {
				ids = append(ids, i)
			}
		}
		end := p.w.last + wal.LSN(far%8)
		p.note("routed %d %v", end, ids)
		p.t.Routed(end, ids, p.now)
		p.w.routed(end, ids, p.now)
	case 4:
		p.note("routed again %d %d", near, id)
		p.t.Routed(near, []shape.ID{id, id}, p.now)
		p.w.routed(near, []shape.ID{id, id}, p.now)
	case 5, 6, 7, 8, 9:
		p.note("durable %d epoch %d %d", id, epoch, near)
		p.t.Durable(id, epoch, near, p.now)
		p.w.durable(id, epoch, near, p.now)
	case 10:
		p.note("applied %d epoch %d %d", id, epoch, near)
		p.t.Applied(id, epoch, near, p.now)
		p.w.applied(id, epoch, near, p.now)
	case 11:
		p.note("pin %d epoch %d %d", id, epoch, near)
		p.t.Pin(id, epoch, near, p.now)
		p.w.pin(id, epoch, near, p.now)
	case 12, 13:
		p.note("goal %d %d", id, near)
		p.t.SetGoal(id, near)
		p.w.setGoal(id, near)
	case 14:
		if far%4 != 0 {
			p.note("epoch %d %d", id, epoch)
			p.t.SetEpoch(id, epoch)
			p.w.setEpoch(id, epoch)
			break
		}
		p.note("compact")
		p.t.compact()
	case 15:
		p.note("removed %d", id)
		p.t.Removed(id)
		p.w.removed(id)
	}
	return p.compare(time.Duration(far % 16))
}

func (p *pair) note(format string, args ...any) {
	p.done = append(p.done, fmt.Sprintf(format, args...))
	if len(p.done) > 40 {
		p.done = p.done[1:]
	}
}

func (p *pair) compare(grace time.Duration) error {
	if err := check(p.t); err != nil {
		return err
	}
	if got, want := p.t.Boundary(), p.w.boundary; got != want || got < p.low {
		return fmt.Errorf("boundary %d, want %d, before %d", got, want, p.low)
	}
	p.low = p.t.Boundary()
	if got, want := p.t.Len(), len(p.w.debts); got != want {
		return fmt.Errorf("%d entries, want %d", got, want)
	}
	for _, g := range []time.Duration{-1, grace} { // -1: everybody
		if got, want := p.t.Stalled(p.now, g, nil), p.w.stalled(p.now, g); !slices.Equal(got, want) {
			return fmt.Errorf("stalled for %d:\n got %v\nwant %v", g, got, want)
		}
	}
	lowest := p.w.last
	for _, d := range p.w.debts {
		lowest = min(lowest, d.from())
	}
	id, from, ok := p.t.Holder()
	if ok != (lowest < p.w.last) || ok && (from != lowest || p.w.debts[id] == nil || p.w.debts[id].from() != lowest) {
		return fmt.Errorf("holder %d at %d (%v), want one at %d", id, from, ok, lowest)
	}
	return nil
}

// check looks at what must hold inside (invariants 1, 7 and 8).
func check(t *Tracker) error {
	live := t.table.len()
	if len(t.heap) != live || len(t.table.slab)-len(t.table.free) != live {
		return fmt.Errorf("map %d, heap %d, slab %d − %d entries", live, len(t.heap), len(t.table.slab), len(t.table.free))
	}
	for i, x := range t.heap {
		e := t.table.at(x.n)
		if int(e.place) != i || e.from != x.from || t.heap[(i-1)/2].from > x.from {
			return fmt.Errorf("heap: place %d holds %v, its entry is %+v", i, x, *e)
		}
		if n, ok := t.table.find(e.id); !ok || n != x.n {
			return fmt.Errorf("map: shape %d is in slot %d, want %d", e.id, n, x.n)
		}
		if e.applied < e.durable || e.durable != e.from && e.durable != 0 || !e.pinned && e.durable >= e.owes {
			return fmt.Errorf("entry that should not be: %+v", *e)
		}
	}
	seen, older := 0, none
	for n := t.clock.oldest; n != none; n = t.table.at(n).newer {
		e := t.table.at(n)
		if e.older != older || older != none && t.table.at(older).since > e.since {
			return fmt.Errorf("list: slot %d is behind %d: %+v", n, older, *e)
		}
		older = n
		if seen++; seen > live {
			return fmt.Errorf("list: longer than the %d entries", live)
		}
	}
	if seen != live || t.clock.newest != older {
		return fmt.Errorf("list: %d of %d entries, newest %d, want %d", seen, live, t.clock.newest, older)
	}
	return nil
}

var seed = flag.Uint64("seed", 0, "seed of the random operations; 0: a new one")

func TestAgainstTwin(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	r := rand.New(rand.NewPCG(s, 0))
	// Many short lives: the twin's histories grow, and with them its cost.
	for range 1000 {
		p := newPair(wal.LSN(100 + r.IntN(100)))
		for i := range 300 {
			if err := p.step(uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32())); err != nil {
				t.Fatalf("-seed=%d, step %d: %v\n%q", s, i, err, p.done)
			}
		}
	}
}

func FuzzTracker(f *testing.F) {
	f.Add([]byte{0, 255, 7, 5, 1, 9, 0, 3, 18, 15, 0, 0})
	f.Add([]byte{11, 2, 4, 0, 255, 255, 12, 2, 9, 5, 2, 20, 14, 0, 0})
	f.Add([]byte{3, 16, 1, 14, 35, 1, 5, 20, 31, 5, 36, 31, 4, 4, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPair(100)
		b = b[:min(len(b), 3*300)]
		for ; len(b) >= 3; b = b[3:] {
			if err := p.step(b[0], b[1], b[2]); err != nil {
				t.Fatalf("%v\n%q", err, p.done)
			}
		}
	})
}
