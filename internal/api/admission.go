package api

import (
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// tally counts the requests of one class that are at work.
type tally struct {
	most int64 // 0: no limit
	name string
	n    atomic.Int64
}

func (c *tally) take() bool {
	if n := c.n.Add(1); c.most > 0 && n > c.most {
		c.n.Add(-1)
		return false
	}
	return true
}

// admit counts the request, or refuses it before it costs anything (http-protocol
// §18.3). One with a handle that lives here is of the larger class: no shape has
// to be made for it. The body of a POST is not looked at.
func (x *exchange) admit() error {
	c := &x.initial
	if h := x.q.raw("handle"); h != "" {
		if sh := x.src.ByHandle(shape.Handle(h)); sh != nil {
			if _, gone := sh.Removed(); !gone {
				c = &x.existing
			}
		}
	}
	if !c.take() {
		return overloaded(c.name, c.most)
	}
	x.permit = c
	return nil
}

// settle makes room for others who need a shape, now that this one's has begun.
// If there is none among the rest, the request stays where it is.
func (x *exchange) settle() {
	if x.permit == &x.initial && x.existing.take() {
		x.initial.n.Add(-1)
		x.permit = &x.existing
	}
}

// leave ends what admit and serve began.
func (x *exchange) leave() {
	if x.watched != nil {
		x.watched.Unwatch(time.Now())
	}
	if x.permit != nil {
		x.permit.n.Add(-1)
	}
}

// AtWork is how many requests for shapes are at work, those that wait included: of
// those that a shape may have to be made for, and of all others.
func (s *Handler) AtWork() (initial, existing int64) { return s.initial.n.Load(), s.existing.n.Load() }
