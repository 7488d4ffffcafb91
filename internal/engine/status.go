package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Health is the state of the service in one word.
type Health string

// The states.
const (
	HealthStarting Health = "starting"
	HealthWaiting  Health = "waiting" // another instance holds the lock
	HealthActive   Health = "active"
	HealthDegraded Health = "degraded" // the journal cannot be written
	HealthStopping Health = "stopping"
)

// Healths are all states.
var Healths = []Health{HealthStarting, HealthWaiting, HealthActive, HealthDegraded, HealthStopping}

// Status is what operators see (flush-tracking §4).
type Status struct {
	Health    Health `json:"health"`
	Reason    string `json:"reason,omitempty"`
	Positions struct {
		Received  Position `json:"received"`
		Journaled Position `json:"journaled"`
		Acked     Position `json:"acked"`
		Routed    Position `json:"routed"`
		Applied   Position `json:"applied"`
		Durable   Position `json:"durable"`
		Trimmed   Position `json:"trimmed"`
	} `json:"positions"`
	// Lag is how far each position is behind what was received.
	Lag map[string]Lag `json:"lag,omitempty"`
	// Alarm says what hits everybody, so that nobody is given up for it; empty:
	// nothing does.
	Alarm   string `json:"alarm,omitempty"`
	Journal struct {
		Bytes       int64   `json:"bytes"`
		BudgetBytes int64   `json:"budget_bytes"`
		SyncMS      float64 `json:"sync_ms"`
		HeldBy      *HeldBy `json:"held_by,omitempty"`
	} `json:"journal"`
	Postgres struct {
		Slot           string `json:"slot"`
		Publication    string `json:"publication"`
		RetainedBytes  *int64 `json:"retained_bytes,omitempty"`
		WALBudgetBytes int64  `json:"wal_budget_bytes"`
		OnWALBudget    string `json:"on_wal_budget"` // hold or drop-slot
		WALStatus      string `json:"wal_status,omitempty"`
		LastError      string `json:"last_error,omitempty"`
		// RestartLSNHeldBy names what keeps Postgres from recycling WAL that we
		// do not need any more: a transaction, a standby, another slot.
		RestartLSNHeldBy string `json:"restart_lsn_held_by,omitempty"`
		// Audit is what the last look at the slot found wrong; empty: nothing.
		Audit string `json:"audit,omitempty"`
		// CanarySeconds is how long the last canary message took from Postgres to
		// the spine; nil: none has come.
		CanarySeconds *float64 `json:"canary_seconds,omitempty"`
	} `json:"postgres"`
	Shapes struct {
		Total        int `json:"total"`
		Live         int `json:"live"`
		Snapshotting int `json:"snapshotting"`
		Suspect      int `json:"suspect"`
		Restarting   int `json:"restarting"`
		Quarantined  int `json:"quarantined"`
		Parked       int `json:"parked"`
	} `json:"shapes"`
	// Ill are the shapes that are quarantined or parked.
	Ill []Ill `json:"ill,omitempty"`
	// Waiting are the shapes whose first rows are being read, with what they
	// wait for, if that is known.
	Waiting []Waiting              `json:"waiting,omitempty"`
	Removed map[shape.Reason]int64 `json:"removed,omitempty"`
	Stalled []Stalled              `json:"stalled,omitempty"`
	Ghosts  []Ghost                `json:"ghosts"`
	Storage struct {
		State string `json:"state"` // ok, slow, stalled, full or failed
		// CanaryMS is how long the last tiny write and fsync took, in ms; of one
		// under way that is late, how long it has been.
		CanaryMS float64 `json:"canary_ms"`
	} `json:"storage"`
	// Ladder counts the steps taken since the start.
	Ladder struct {
		Suspects    int64 `json:"suspects"`
		Restarts    int64 `json:"restarts"`
		Quarantines int64 `json:"quarantines"`
		Rebuilds    int64 `json:"rebuilds"`
		Parkings    int64 `json:"parkings"`
		Alarms      int64 `json:"alarms"`
	} `json:"ladder"`

	StallsTotal int   `json:"stalls_total"`
	Sessions    int64 `json:"sessions"`
}

// Position is an LSN in Postgres's text form.
type Position struct{ wal.LSN }

// MarshalJSON prints the form 0/1A2B3C8.
func (p Position) MarshalJSON() ([]byte, error) { return json.Marshal(p.LSN.String()) }

// UnmarshalJSON reads the same form, for those who ask a service how it is.
func (p *Position) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read a position: %w", err)
	}
	lsn, err := wal.ParseLSN(s)
	p.LSN = lsn
	return err
}

// HeldBy says who holds the journal's boundary.
type HeldBy struct {
	Handle shape.Handle `json:"handle"`
	// From is the position that is still needed.
	From    Position `json:"from"`
	Bytes   int64    `json:"bytes"`
	Seconds float64  `json:"seconds"` // since it has held the boundary there
	Reason  string   `json:"reason"`  // what it is doing: snapshotting, catching up, stalled, …
}

// Ill is a shape that is out of the stream and being built anew.
type Ill struct {
	Handle shape.Handle `json:"handle"`
	State  string       `json:"state"` // quarantined or parked
	Reason shape.Reason `json:"reason"`
	Detail string       `json:"detail"`
	Since  time.Time    `json:"since"`
	// Failures is how many times in a row it was built anew in vain.
	Failures int `json:"failures"`
	// Until is when it will be tried again.
	Until time.Time `json:"until"`
}

// Waiting is a shape whose first rows are being read.
type Waiting struct {
	Handle  shape.Handle `json:"handle"`
	Seconds float64      `json:"seconds"` // since it was created
	Rows    int64        `json:"rows"`    // read so far
	For     string       `json:"for,omitempty"`
}

// Stalled is a worker that was replaced, with the evidence.
type Stalled struct {
	Handle  shape.Handle `json:"handle,omitempty"`
	Shard   int          `json:"shard"`
	Cause   string       `json:"cause"`
	At      Position     `json:"at"`
	Seconds float64      `json:"seconds"`
	Queued  int          `json:"queued"`
	Strikes int          `json:"strikes"`
	When    time.Time    `json:"when"`
	Stack   string       `json:"stack"`
}

// Ghost is a replaced worker that has not returned.
type Ghost struct {
	Shard   int          `json:"shard"`
	Epoch   uint64       `json:"epoch"`
	Handle  shape.Handle `json:"handle,omitempty"`
	Seconds float64      `json:"seconds"` // since it was replaced
	Stack   string       `json:"stack"`
}

// Status reads the present state. It waits for nobody.
func (e *Engine) Status() Status {
	var st Status
	e.mu.Lock()
	st.Health, st.Reason, st.Postgres.LastError = e.health, e.reason, e.lastErr
	st.Removed = maps.Clone(e.removed)
	e.mu.Unlock()

	stream := e.stream.Load()
	// They move while they are read: from the lowest to the highest, so that they
	// are in order as shown.
	p := &st.Positions
	p.Trimmed.LSN = stream.journal.Stats().Oldest
	in := stream.ingest.Status()
	s := e.session.Load()
	if s != nil {
		p.Acked.LSN = s.Positions().Acked
	}
	j := stream.journal.Stats()
	p.Journaled.LSN = j.Synced
	// What is in the journal was received, if not in this session.
	p.Received.LSN = j.Synced
	if s != nil {
		p.Received.LSN = max(p.Received.LSN, s.Positions().Received)
	}
	p.Routed.LSN, p.Applied.LSN, p.Durable.LSN = in.Routed, in.Applied, in.Boundary

	st.Journal.Bytes, st.Journal.BudgetBytes = j.Bytes, e.cfg.JournalBudget
	st.Journal.SyncMS = float64(j.LastSync) / float64(time.Millisecond)
	if in.Held {
		h := &HeldBy{From: Position{in.HeldFrom}, Bytes: int64(in.Routed) - int64(in.HeldFrom)}
		h.Handle = e.handleOf(in.HeldBy)
		st.Journal.HeldBy = h
	}
	st.Postgres.Slot, st.Postgres.Publication = e.cfg.Slot(), e.cfg.Publication()
	counts := e.registry.Counts()
	st.Shapes.Live, st.Shapes.Snapshotting = counts.Live, counts.Snapshotting
	st.Shapes.Total = counts.Live + counts.Snapshotting

	st.Ghosts = make([]Ghost, 0, len(in.Ghosts))
	for _, g := range in.Ghosts {
		st.Ghosts = append(st.Ghosts, Ghost{Shard: g.Shard, Epoch: g.Epoch, Handle: e.handleOf(g.Shape), Seconds: time.Since(g.Since).Seconds(), Stack: g.Stack})
	}
	st.StallsTotal = in.StallsTotal
	for _, s := range in.Stalls {
		st.Stalled = append(st.Stalled, Stalled{
			Handle: s.Handle, Shard: s.Shard, Cause: s.Cause, At: Position{s.At},
			Seconds: s.For.Seconds(), Queued: s.Queued, Strikes: s.Strikes, When: s.When, Stack: s.Stack,
		})
	}
	st.Storage.State = j.State.String()
	if st.Health == HealthActive && j.State >= journal.StateStalled {
		st.Health, st.Reason = HealthDegraded, "the journal is "+j.State.String()
	}
	e.lagStatus(&st)
	e.auditStatus(&st)
	e.freshnessStatus(&st)
	e.ladderStatus(&st)
	st.Sessions = e.sessions.Load()
	return st
}

// handleOf names a shape, "" if it is gone.
func (e *Engine) handleOf(id shape.ID) shape.Handle {
	if sp := e.registry.ByID(id); sp != nil {
		return sp.Handle()
	}
	return ""
}
