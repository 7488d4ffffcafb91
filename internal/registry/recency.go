package registry

import (
	"sync"
	"time"
)

// recency is the order in which shapes go when there are too many: those that failed,
// then those that no client waits on, then the others, of each the least recently used
// first. Every step costs the same, however many shapes there are.
//
// Rejected: a heap by time of last use, which is O(log n) for each request unless it
// is mended only when a shape has to go; then a shape whose last client has left
// is found too late.
type recency struct {
	mu     sync.Mutex // leaf
	failed queue      // about to be removed
	quiet  queue      // nobody waits on them
	busy   queue
}

// queue is a list of shapes through their recent fields, the oldest first.
type queue struct{ oldest, newest *Shape }

// recent is a shape's place in a queue, under recency.mu.
type recent struct {
	older, newer *Shape
	in           *queue // nil: not yet or no longer in the order
	watchers     int32
}

func (q *queue) push(s *Shape) {
	s.recent.in, s.recent.older = q, q.newest
	if q.newest != nil {
		q.newest.recent.newer = s
	} else {
		q.oldest = s
	}
	q.newest = s
}

func (q *queue) drop(s *Shape) {
	if s.recent.older != nil {
		s.recent.older.recent.newer = s.recent.newer
	} else {
		q.oldest = s.recent.newer
	}
	if s.recent.newer != nil {
		s.recent.newer.recent.older = s.recent.older
	} else {
		q.newest = s.recent.older
	}
	s.recent.in, s.recent.older, s.recent.newer = nil, nil, nil
}

// enter puts a shape behind all others.
func (r *recency) enter(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.place(s)
}

// place puts a shape at the end of the queue that it belongs to. mu is held.
func (r *recency) place(s *Shape) {
	if s.recent.watchers > 0 {
		r.busy.push(s)
	} else {
		r.quiet.push(s)
	}
}

// exit takes a shape out for good.
func (r *recency) exit(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := s.recent.in; q != nil {
		q.drop(s)
	}
}

// use moves a shape behind all others of its kind, with more or fewer watchers.
func (r *recency) use(s *Shape, watchers int32, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.recent.watchers += watchers
	s.used.Store(now.UnixMicro())
	if q := s.recent.in; q != nil && q != &r.failed {
		q.drop(s)
		r.place(s)
	}
}

// fail puts a shape before all that did not fail: who makes another in its place must
// not cost a third one its life.
func (r *recency) fail(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := s.recent.in; q != nil {
		q.drop(s)
		r.failed.push(s)
	}
}

// Watch notes that a client uses the shape, and waits on it until Unwatch.
func (s *Shape) Watch(now time.Time) { s.reg.recency.use(s, 1, now) }

// Unwatch undoes one Watch. The shape was used up to now.
func (s *Shape) Unwatch(now time.Time) { s.reg.recency.use(s, -1, now) }

// Watched reports whether a client waits on the shape now.
func (s *Shape) Watched() bool {
	r := &s.reg.recency
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.recent.watchers > 0
}

// LastUsed is the time of the last Watch or Unwatch, or when the shape was created
// or loaded.
func (s *Shape) LastUsed() time.Time { return time.UnixMicro(s.used.Load()) }

// Expendable returns up to n shapes, those first that are to go before all others
// when there are too many: they failed, or nobody waits on them and they were not used
// for the longest time.
func (r *Registry) Expendable(n int) []*Shape {
	o := &r.recency
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*Shape
	for _, s := range []*Shape{o.failed.oldest, o.quiet.oldest, o.busy.oldest} {
		for ; s != nil && len(out) < n; s = s.recent.newer {
			out = append(out, s)
		}
	}
	return out
}
