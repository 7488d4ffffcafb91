package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	maxStale   = 3  // answers of an ended log in a row before it is an error
	maxStuck   = 5  // answers in a row that do not move on, before the stream starts again
	maxExpired = 50 // ended logs that are remembered
	maxHasty   = 5  // empty live answers in a row that come at once, before they are paced
	maxShort   = 3  // event streams in a row that end at once, before they are given up

	// hasty is what a live answer with nothing in it takes at least, where the
	// server waits as it should.
	hasty = 50 * time.Millisecond
	// short is what an event stream lasts at least, where no proxy cuts it off.
	short = time.Second
)

// errStuck asks for a restart.
var errStuck = errors.New("stuck")

// guards keep a stream from asking the same again and again.
type guards struct {
	expired  []string // handles of logs that have ended, the newest last
	bust     bool     // the next requests need a URL that no cache knows
	faults   int      // in a row, for the back-off
	stale    int
	stuck    int
	restarts int // because of stuck, since the last up-to-date
	hasty    int
	short    int
	noEvents bool // event streams do not work here
	// rotations counts ends of the log since the last up-to-date.
	rotations int
}

// expire remembers the handle of a log that has ended.
func (g *guards) expire(handle string) {
	g.bust = true
	g.rotations++
	if handle == "" || slices.Contains(g.expired, handle) {
		return
	}
	if g.expired = append(g.expired, handle); len(g.expired) > maxExpired {
		g.expired = slices.Delete(g.expired, 0, 1)
	}
}

// buster is a value that no cache has seen.
func buster() string {
	return strconv.FormatInt(time.Now().UnixMilli(), 10) + "-" + strconv.FormatUint(rand.Uint64(), 36)
}

// checkAnswer looks at the headers of an answer with a log: are all there, and
// does it belong to the log that was asked for?
func (s *ShapeStream) checkAnswer(resp *http.Response, live bool) error {
	h := resp.Header
	need := []string{"electric-handle", "electric-offset", "electric-schema"}
	if live {
		need[2] = "electric-cursor"
	}
	for _, name := range need {
		if len(h.Values(name)) == 0 && (name != "electric-schema" || s.schema == nil) {
			return fmt.Errorf("%w: it has no header %s; is the URL that of /v1/shape, and does a proxy remove headers?", ErrNotElectric, name)
		}
	}
	handle := h.Get("electric-handle")
	if slices.Contains(s.guards.expired, handle) || s.at.concrete() && handle != s.at.Handle {
		s.guards.bust = true
		if s.guards.stale++; s.guards.stale > maxStale {
			s.guards.stale = 0
			return ErrStaleCache
		}
		return &passing{err: fmt.Errorf("an answer of log %s, which has ended or was not asked for", handle)}
	}
	return nil
}

// moved looks at whether an answer that was taken in brought the stream on.
func (g *guards) moved(s *ShapeStream, before Position, live, news bool, took time.Duration) error {
	if s.live {
		g.bust, g.restarts, g.rotations = false, 0, 0
	}
	if live {
		if g.hasty++; news || took >= hasty {
			g.hasty = 0
		}
		if g.hasty >= maxHasty {
			return &passing{err: errors.New("live requests are answered at once with nothing: does a cache or proxy answer them?")}
		}
		return nil
	}
	if s.live || s.at != before {
		g.stuck = 0
		return nil
	}
	g.bust = true
	if g.stuck++; g.stuck < maxStuck {
		return &passing{err: fmt.Errorf("answers that stay at offset %s", before.Offset)}
	}
	g.stuck = 0
	if g.restarts++; g.restarts > 1 {
		g.restarts = 0
		return ErrNoProgress
	}
	return errStuck
}

// backOff waits before a retry.
func (s *ShapeStream) backOff(ctx context.Context, p *passing) error {
	limit := s.o.MaxBackoff
	if n := s.guards.faults; n < 30 && s.o.MinBackoff < limit>>n {
		limit = s.o.MinBackoff << n
	}
	s.guards.faults++
	// The whole range at random: clients that lost one server at one moment do
	// not come back at one moment.
	wait := p.after + rand.N(limit+1)
	if s.o.OnRetry != nil {
		s.o.OnRetry(p.err, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
