package admin

import (
	"math"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/wal"
)

// step is one position of the way of a row, with its lag to the one before.
type step struct {
	Name    string
	Means   string
	At      wal.LSN
	Known   bool
	Lag     int64 // bytes behind the step before; 0 for the first
	First   bool
	Tone    string  // "ok", "warn" or "bad"
	Promise bool    // the position that Postgres is told
	Absent  string  // what it means that the position is not known
	Seconds float64 // how long ago the journal came there
}

// steps lists the positions in the order in which a row passes them.
func steps(st engine.Status) []step {
	p := st.Positions
	all := []step{
		{Name: "received", Means: "Postgres has sent it", At: p.Received.LSN, First: true},
		{Name: "journaled", Means: "fsynced in our journal", At: p.Journaled.LSN},
		{Name: "acked", Means: "Postgres was told it may forget it", At: p.Acked.LSN, Promise: true},
		{Name: "routed", Means: "handed to the shapes it touches", At: p.Routed.LSN},
		{Name: "applied", Means: "in the shapes' logs, clients see it", At: p.Applied.LSN},
		{Name: "durable", Means: "the shapes' logs are on disk", At: p.Durable.LSN},
		{Name: "trimmed", Means: "the journal has let go of it, segment by segment", At: p.Trimmed.LSN},
	}
	before := wal.LSN(0)
	for i := range all {
		s := &all[i]
		s.Known, s.Absent = s.At > 0, "not known"
		if s.Known && before > s.At {
			s.Lag = int64(before - s.At)
			s.Seconds = st.Lag[s.Name].Seconds
		}
		s.Tone = tone(s.Lag, st.Journal.BudgetBytes)
		if s.Name == "trimmed" {
			s.Tone, s.Absent = "ok", "nothing yet" // what is kept beyond need is not a lag
		}
		if s.Known {
			before = s.At
		}
	}
	return all
}

// tone says how near something is to its budget.
func tone(used, budget int64) string {
	switch {
	case budget <= 0:
		return "ok"
	case used >= budget/4*3:
		return "bad"
	case used >= budget/4:
		return "warn"
	}
	return "ok"
}

// Width is the length of the lag's bar, 0 to 100: logarithmic from 1 KiB, below
// which nobody lags, to 4 GiB.
func (s step) Width() int {
	if s.Lag < 1<<10 {
		return 0
	}
	return min(100, int(100*(math.Log2(float64(s.Lag))-10)/22)+2)
}

// Exact is the position for a title.
func (s step) Exact() string { return exactBytes(int64(s.At)) }
