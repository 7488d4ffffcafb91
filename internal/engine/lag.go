package engine

import (
	"sort"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// lagEvery is how often the journal's end is looked at, and with that the
	// resolution of lags in time.
	lagEvery = time.Second
	// lagSamples is how many looks are kept: a longer lag is told as this one.
	lagSamples = 3600
)

// Lag is how far a position is behind what was received.
type Lag struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// lagClock remembers when the journal had come how far, so that the distance
// between two positions can be told as a time. Only looks at which it had moved
// are kept.
type lagClock struct {
	at  []time.Duration // since some start
	pos []wal.LSN       // ascending
}

func (c *lagClock) look(now time.Duration, pos wal.LSN) {
	if n := len(c.pos); n > 0 && pos <= c.pos[n-1] {
		if pos == c.pos[n-1] {
			return
		}
		c.at, c.pos = nil, nil // another journal
	}
	if len(c.pos) == lagSamples {
		c.at, c.pos = append(c.at[:0], c.at[1:]...), append(c.pos[:0], c.pos[1:]...)
	}
	c.at, c.pos = append(c.at, now), append(c.pos, pos)
}

// seconds is how long ago the journal came beyond a position: nobody can be
// further behind in time who has come to it.
func (c *lagClock) seconds(now time.Duration, pos wal.LSN) float64 {
	i := sort.Search(len(c.pos), func(i int) bool { return c.pos[i] > pos })
	if i == len(c.pos) {
		return 0
	}
	return (now - c.at[i]).Seconds()
}

func (e *Engine) lookAtLag() {
	end := e.position()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lag.look(time.Since(e.began), end)
}

// lagStatus fills in the lag of each position.
func (e *Engine) lagStatus(st *Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, p := time.Since(e.began), st.Positions
	st.Lag = make(map[string]Lag, 7)
	for name, at := range map[string]wal.LSN{
		"received": p.Received.LSN, "journaled": p.Journaled.LSN, "acked": p.Acked.LSN, "routed": p.Routed.LSN,
		"applied": p.Applied.LSN, "durable": p.Durable.LSN,
	} {
		if at > 0 {
			st.Lag[name] = Lag{Bytes: max(0, int64(p.Received.LSN)-int64(at)), Seconds: e.lag.seconds(now, at)}
		}
	}
}
