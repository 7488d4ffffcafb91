package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spillway-sync/spillway/internal/pgrepl"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Texts of http-protocol §18.2 for what a client waits for.
const (
	reasonLock        = "Timeout waiting for Postgres lock acquisition"
	reasonReplication = "Timeout waiting for replication client to be ready"
	// ReasonData is also for those who wait for New.
	ReasonData = "Timeout waiting for shape data to be loaded"
)

const (
	// A connection that was cut after it had worked is made again at once,
	// nearly: a restarted Postgres takes a moment, and tries cost little.
	backoffFirst = 25 * time.Millisecond
	backoffMost  = 10 * time.Second
	slowWait     = 15 * time.Second
	// lockRetry is how often we look whether another instance has gone.
	lockRetry = time.Second
	// closeTime bounds the good-bye to Postgres.
	closeTime = 3 * time.Second
)

// runSessions holds one replication session after the other until ctx is done
// or an error says that no further one would help.
func (e *Engine) runSessions(ctx context.Context) error {
	wait := backoffFirst
	for {
		began := time.Now()
		err := e.holdSession(ctx)
		if ctx.Err() != nil {
			return nil
		}
		e.setInactive(err)
		switch decide(err) {
		case end:
			if errors.Is(err, ErrStorage) {
				return err
			}
			if a := pgrepl.Advice(err); a != "" {
				err = fmt.Errorf("%w\n  %s", err, a)
			}
			return &postgresError{err}
		case slowly:
			// A password that is being changed, a name that does not resolve: it
			// may mend itself, and asking every second helps nobody.
			wait = max(wait, slowWait)
			e.log.Error("Postgres refuses us; will try again", "err", err, "advice", pgrepl.Advice(err), "after", wait)
		case rotate:
			e.log.Error("the replication slot is lost; every shape starts again", "err", err)
			if err := e.dropSlot(ctx); err != nil {
				e.log.Error("drop the lost slot; will try again", "err", err)
			}
		default:
			e.log.Warn("the replication session ended; will try again", "err", err, "after", wait)
		}
		if time.Since(began) > 5*time.Second {
			wait = backoffFirst
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, backoffMost) // also after a slow one
	}
}

// holdSession connects, proves continuity and streams.
func (e *Engine) holdSession(ctx context.Context) (err error) {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	e.cut.Store(&cut)
	defer func() {
		if cause := context.Cause(ctx); errors.Is(cause, errContinuity) || errors.Is(cause, errWALBudget) {
			err = cause
		}
	}()
	s, err := pgrepl.Connect(ctx, pgrepl.Config{
		ConnString: e.cfg.DatabaseURL, Slot: e.cfg.Slot(), Publication: e.cfg.Publication(),
		ApplicationName: "spillway", Logger: e.log,
	})
	if err != nil {
		return fmt.Errorf("connect for replication: %w", err)
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if cerr := s.Close(limit); cerr != nil && err == nil {
			err = fmt.Errorf("close the replication connection: %w", cerr)
		}
	}()
	if err := e.preflight(ctx); err != nil {
		return err
	}
	if err := e.takeLock(ctx, s); err != nil {
		return err
	}
	from, err := e.prove(ctx, s)
	if err != nil {
		return err
	}
	// It may be another server that has taken the place of the last: the next look at the
	// tables asks.
	e.db.DoubtZones()
	st := e.stream.Load()
	e.from.Store(uint64(from))
	e.session.Store(s)
	e.sessions.Add(1)
	e.log.Info("replication begins", "slot", e.cfg.Slot(), "from", from)
	e.setActive()
	e.families.lookNow() // tables may have changed while nobody looked
	defer e.session.CompareAndSwap(s, nil)
	if err := s.Stream(ctx, from, st.journal); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// errStandby: what was the primary recovers, or another server has its address. That
// passes, when it is promoted; only at the start it is a wrong address.
var errStandby = errors.New("the server is a standby at present")

// preflight looks for what only an operator can mend.
func (e *Engine) preflight(ctx context.Context) error {
	faults, err := e.db.Preflight(ctx)
	if err != nil {
		return fmt.Errorf("look at the database's settings: %w", err)
	}
	if len(faults) == 0 {
		return e.advise(ctx)
	}
	var all []error
	passing := e.sessions.Load() > 0
	for _, f := range faults {
		passing = passing && f.Code == "standby"
		all = append(all, fmt.Errorf("%s [%s]\n    %s", f.Problem, f.Code, f.Remedy))
	}
	if passing {
		return errStandby
	}
	return &postgresError{fmt.Errorf("the database cannot be used as it is set up:\n%w", errors.Join(all...))}
}

// advise logs, once, what works but could be set up better.
func (e *Engine) advise(ctx context.Context) error {
	if e.advised {
		return nil
	}
	advice, err := e.db.Advice(ctx)
	if err != nil {
		return fmt.Errorf("look at the database's settings: %w", err)
	}
	for _, a := range advice {
		e.log.Warn(a.Problem, "code", a.Code, "advice", a.Remedy)
	}
	e.advised = true
	return nil
}

// takeLock waits until no other instance works with our slot.
func (e *Engine) takeLock(ctx context.Context, s *pgrepl.Session) error {
	for first := true; ; first = false {
		ok, err := s.TryLock(ctx)
		if err != nil {
			return fmt.Errorf("take the advisory lock: %w", err)
		}
		if ok {
			return nil
		}
		if first {
			e.log.Warn("another instance holds the lock on the slot; waiting until it has gone", "slot", e.cfg.Slot())
			e.setHealth(HealthWaiting, reasonLock)
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *Engine) dropSlot(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	return e.db.DropSlot(limit, e.cfg.Slot())
}

func (e *Engine) setHealth(h Health, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.health, e.reason = h, reason
}

func (e *Engine) setActive() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.health, e.reason, e.lastErr = HealthActive, "", ""
	select {
	case <-e.active:
	default:
		close(e.active)
	}
}

func (e *Engine) setInactive(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.health, e.reason = HealthStarting, reasonReplication
	if err != nil {
		e.lastErr = err.Error()
	}
	select {
	case <-e.active:
		e.active = make(chan struct{})
	default:
	}
}

// position returns the journal's end, for the session to begin at.
func (e *Engine) position() wal.LSN { return e.stream.Load().journal.Synced() }
