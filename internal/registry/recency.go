package registry

import (
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// recency is the order in which shapes go when there are too many: those that failed,
// then those that no client waits on, then the others, of each the least recently used
// first. Every step costs the same, however many shapes there are.
//
// The places of all shapes are in a few pieces of memory without pointers, which the
// garbage collector does not read, and a shape has its place's number. The place of one
// that went is the next one's; the pieces stay. There are up to 2^31 places.
//
// Rejected: a heap by time of last use, which is O(log n) for each request unless it
// is mended only when a shape has to go; then a shape whose last client has left
// is found too late.
type recency struct {
	mu     sync.Mutex // leaf
	pieces []*[pieceLen]place
	taken  int32 // places that somebody has or had
	free   int32 // one that somebody had, which leads to the next
}

// pieceLen is how many places are made at once. Were there one piece that grows, all
// requests would wait now and then for the copying of a million places.
const pieceLen = 1024

// place is a shape's in a queue. A queue's own is between the newest and the
// oldest one in it.
type place struct {
	id           shape.ID
	older, newer int32
	in           int32 // the queue
	watchers     int32
}

// The queues, by the numbers of their places.
const (
	nowhere     int32 = iota // not yet or no longer in the order
	failedQueue              // about to be removed
	quietQueue               // nobody waits on them
	busyQueue
	queues
)

// init makes the queues, with nobody in them.
func (r *recency) init() {
	for range queues {
		n := r.vacant()
		*r.at(n) = place{older: n, newer: n}
	}
}

func (r *recency) at(n int32) *place { return &r.pieces[n/pieceLen][n%pieceLen] }

// push puts what has a place behind all others of a queue. mu is held, as it is for all
// that follows up to enter.
func (r *recency) push(n, queue int32) {
	q, p := r.at(queue), r.at(n)
	p.in, p.older, p.newer = queue, q.older, queue
	r.at(q.older).newer = n
	q.older = n
}

// drop takes what has a place out of its queue.
func (r *recency) drop(n int32) {
	p := r.at(n)
	r.at(p.older).newer, r.at(p.newer).older = p.newer, p.older
}

// settle puts what has a place at the end of the queue that it belongs to.
func (r *recency) settle(n int32) {
	if r.at(n).watchers > 0 {
		r.push(n, busyQueue)
	} else {
		r.push(n, quietQueue)
	}
}

// vacant is a place that nobody has.
func (r *recency) vacant() (n int32) {
	if n = r.free; n != nowhere {
		r.free = r.at(n).newer
		return n
	}
	n = r.taken
	if int(n) == pieceLen*len(r.pieces) {
		r.pieces = append(r.pieces, new([pieceLen]place))
	}
	r.taken++
	return n
}

// enter puts a shape behind all others.
func (r *recency) enter(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.recent = r.vacant()
	*r.at(s.recent) = place{id: s.id}
	r.settle(s.recent)
}

// exit takes a shape out for good.
func (r *recency) exit(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.recent == nowhere {
		return
	}
	r.drop(s.recent)
	*r.at(s.recent) = place{newer: r.free}
	r.free, s.recent = s.recent, nowhere
}

// use moves a shape behind all others of its kind, with more or fewer watchers.
func (r *recency) use(s *Shape, watchers int32, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.used.Store(now.UnixMicro())
	if s.recent == nowhere {
		return
	}
	p := r.at(s.recent)
	p.watchers += watchers
	if p.in != failedQueue {
		r.drop(s.recent)
		r.settle(s.recent)
	}
}

// fail puts a shape before all that did not fail: who makes another in its place must
// not cost a third one its life.
func (r *recency) fail(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.recent != nowhere {
		r.drop(s.recent)
		r.push(s.recent, failedQueue)
	}
}

// watched reports whether somebody waits on a shape, which has not gone.
func (r *recency) watched(s *Shape) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.recent != nowhere && r.at(s.recent).watchers > 0
}

// first are up to n shapes, those first that are to go first.
func (r *recency) first(n int) (ids []shape.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for q := failedQueue; q < queues; q++ {
		for p := r.at(r.at(q).newer); p != r.at(q) && len(ids) < n; p = r.at(p.newer) {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// Watch notes that a client uses the shape, and waits on it until Unwatch.
func (s *Shape) Watch(now time.Time) { s.reg.recency.use(s, 1, now) }

// Unwatch undoes one Watch. The shape was used up to now.
func (s *Shape) Unwatch(now time.Time) { s.reg.recency.use(s, -1, now) }

// Watched reports whether a client waits on the shape now. Nobody does on one that was
// removed: they were woken.
func (s *Shape) Watched() bool { return s.reg.recency.watched(s) }

// LastUsed is the time of the last Watch or Unwatch, or when the shape was created
// or loaded.
func (s *Shape) LastUsed() time.Time { return time.UnixMicro(s.used.Load()) }

// Expendable returns up to n shapes, those first that are to go before all others
// when there are too many: they failed, or nobody waits on them and they were not used
// for the longest time.
func (r *Registry) Expendable(n int) []*Shape {
	r.mu.Lock() // who is in the order is in the roll, while nobody comes or goes
	defer r.mu.Unlock()
	var out []*Shape
	for _, id := range r.recency.first(n) {
		out = append(out, r.shapes.get(id))
	}
	return out
}
