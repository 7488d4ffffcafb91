package journal

import (
	"cmp"
	"slices"

	"github.com/spillway-sync/spillway/internal/wal"
)

// state is what is known between two frames.
type state struct {
	pos      wal.LSN // the highest position so far
	open     bool    // a transaction has begun and not ended
	known    bool    // preamble holds all relations of the session; false after Open
	preamble []byte
}

// after returns the state behind f.
func (s state) after(f *wal.Frame) state {
	if f.Kind == wal.FrameReset {
		s.preamble, s.known = nil, true
	}
	if len(f.Preamble) > 0 {
		s.preamble, s.known = f.Preamble, true
	}
	s.pos = max(s.pos, f.Position)
	s.open = f.Open
	return s
}

// before returns the state to put in front of f: a reset voids what came
// before it.
func (s state) before(f *wal.Frame) state {
	if f.Kind == wal.FrameReset {
		s.preamble, s.known, s.open = nil, true, false
	}
	return s
}

// start reports whether a reader may begin here.
func (s state) start() bool { return s.known && !s.open }

// place is where a frame is, or would be. A place at the end of a segment is
// the same as the first of the next.
type place struct {
	seg *segment
	off int64
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.seg.sequence, q.seg.sequence), cmp.Compare(p.off, q.off))
}

// entryBytes is what an entry takes besides its data, in bytes.
const entryBytes = 160

// entry is a frame in the window.
type entry struct {
	frame    wal.Frame // Preamble is left out
	at       place
	pos      wal.LSN // the highest position before the frame
	preamble []byte  // to begin here; only if start is the entry's own number
	// start is the number of the last frame, up to this one, where a reader
	// may begin; 0: none since Open.
	start uint64
	bytes int64
}

// window is the newest frames, oldest first, numbered without a gap from 1 at
// Open. Guarded by Journal.mu; frames' data is shared and read-only.
type window struct {
	limit   int64 // bytes
	bytes   int64
	first   uint64 // number of the oldest entry
	start   uint64 // see entry
	entries []entry
	head    int // entries before it are dropped
}

func newWindow(limit int64) window { return window{limit: limit, first: 1} }

func (w *window) live() []entry { return w.entries[w.head:] }

// next is the number of the frame to come.
func (w *window) next() uint64 { return w.first + uint64(len(w.live())) }

// add appends a frame. was is the state before it.
func (w *window) add(f *wal.Frame, at place, was state) {
	was = was.before(f)
	e := entry{frame: *f, at: at, pos: was.pos, bytes: entryBytes + int64(len(f.Data))}
	// A new preamble is memory that only the window keeps: it counts.
	e.bytes += int64(len(f.Preamble))
	e.frame.Preamble = nil
	if was.start() {
		w.start = w.next()
		e.preamble = was.preamble
	}
	e.start = w.start
	w.entries = append(w.entries, e)
	w.bytes += e.bytes
	for w.bytes > w.limit && w.head < len(w.entries) {
		w.drop()
	}
}

func (w *window) drop() {
	e := &w.entries[w.head]
	w.bytes -= e.bytes
	*e = entry{}
	w.head++
	w.first++
	if w.head > 64 && w.head*2 > len(w.entries) {
		n := copy(w.entries, w.live())
		clear(w.entries[n:])
		w.entries = w.entries[:n]
		w.head = 0
	}
}

// get returns the entry with a number, nil if it is not in the window.
func (w *window) get(n uint64) *entry {
	if n < w.first || n >= w.next() {
		return nil
	}
	return &w.live()[n-w.first]
}

// find returns the number of the frame at p; false if the window does not have it.
func (w *window) find(p place) (uint64, bool) {
	i, ok := slices.BinarySearchFunc(w.live(), p, func(e entry, p place) int { return e.at.compare(p) })
	return w.first + uint64(i), ok
}

// begin returns the number of the last frame at which a reader may begin that
// wants all transactions from a position on; 0 if there is none in the window.
func (w *window) begin(from wal.LSN) uint64 {
	live := w.live()
	i, _ := slices.BinarySearchFunc(live, from, func(e entry, from wal.LSN) int {
		if e.pos <= from {
			return -1
		}
		return 1
	})
	if i == 0 {
		return 0
	}
	if n := live[i-1].start; n >= w.first {
		return n
	}
	return 0
}
