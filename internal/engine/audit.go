package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// reconcileEvery is how often the tables of shapes are compared with the
	// catalogue: the stream announces a change of a table only with its next row.
	reconcileEvery = 4 // audits
	auditLimit     = 5 * time.Second
	reconcileLimit = time.Minute
	// lagNamed is how far restart_lsn is behind confirmed_flush_lsn, in bytes of
	// WAL, when it is asked what holds it.
	lagNamed = 1 << 20
)

// What an operator wants to be done when Postgres retains more WAL for us than
// the budget.
const (
	HoldSlot = "hold"      // raise an alarm and nothing else
	DropSlot = "drop-slot" // free the WAL: every shape starts again
)

var (
	// errContinuity ends a session whose slot or publication is not what it was:
	// the next one proves what is left, or starts over.
	errContinuity = errors.New("the slot is not as we left it")
	// errWALBudget ends a session to drop the slot.
	errWALBudget = errors.New("Postgres retains more WAL for us than the budget")
)

// audit is what the last looks at the slot have found.
type audit struct {
	slot     *pgquery.SlotHealth // nil: not known
	finding  string              // what is wrong; empty: nothing
	holder   string              // what holds restart_lsn
	waits    []pgquery.LockWait
	retained int64 // at the look before, for its growth
}

// watchDatabase looks at the slot and at the tables from time to time.
func (e *Engine) watchDatabase(ctx context.Context) {
	t := time.NewTicker(e.cfg.AuditEvery)
	defer t.Stop()
	seen := make(map[uint32]looked)
	for n := 1; ; n++ {
		select {
		case <-t.C:
			limit, cancel := context.WithTimeout(ctx, auditLimit)
			e.auditSlot(limit)
			cancel()
			if n%reconcileEvery != 0 {
				continue
			}
		case <-e.families.look:
			n--
		case <-ctx.Done():
			return
		}
		limit, cancel := context.WithTimeout(ctx, reconcileLimit)
		if err := e.reconcile(limit, seen); err != nil && ctx.Err() == nil {
			e.log.Warn("compare tables with the catalogue; will try again", "err", err)
		}
		if err := e.reconcileZones(limit); err != nil && ctx.Err() == nil {
			e.log.Warn("compare the rules of time zones; will try again", "err", err)
		}
		cancel()
	}
}

// auditSlot looks whether slot and publication are as this process left them.
// Who the server is cannot change within a session: each one proves that when it
// begins.
func (e *Engine) auditSlot(ctx context.Context) {
	was := e.audited()
	h, err := e.db.SlotHealth(ctx, e.cfg.Slot())
	if err != nil {
		e.noteAudit(&audit{finding: was.finding, holder: was.holder})
		return
	}
	now := &audit{slot: &h, retained: h.RetainedBytes}
	there, err := e.db.PublicationExists(ctx, e.cfg.Publication())
	if err != nil {
		e.noteAudit(now)
		return
	}
	if why := e.broken(&h, there); why != "" {
		now.finding = why
		e.log.Error("the audit of the slot found a fault; the session ends and continuity is proven anew", "why", why)
		e.endSession(fmt.Errorf("%w: %s", errContinuity, why))
	}
	if h.WALStatus == "unreserved" || h.WALStatus == "lost" {
		now.finding = "Postgres is about to remove WAL that the slot needs, or has: wal_status is " + h.WALStatus
	}
	if h.Exists && h.ConfirmedFlush > h.Restart+lagNamed {
		if now.holder, err = e.db.RestartHolder(ctx, e.cfg.Slot()); err != nil {
			e.log.Debug("ask what holds the slot", "err", err)
		}
	}
	if e.registry.Counts().Snapshotting > 0 {
		if now.waits, err = e.db.LockWaits(ctx); err != nil {
			e.log.Debug("ask who waits for a lock", "err", err)
		}
	}
	e.keepWALBudget(ctx, now, was)
	if now.finding != was.finding && now.finding != "" {
		e.log.Warn("audit", "finding", now.finding)
	}
	e.noteAudit(now)
}

// broken says what of the slot is not as it was left, "" if all is.
func (e *Engine) broken(h *pgquery.SlotHealth, published bool) string {
	s := e.session.Load()
	if s == nil || !e.streaming() {
		return "" // the next session looks for itself
	}
	switch pid := int32(s.Info().BackendPID); {
	case !h.Exists:
		return "the slot is gone"
	case !published:
		return "the publication is gone"
	case h.Active && h.ActivePID != pid:
		return fmt.Sprintf("the slot is read by pid %d, which is not us", h.ActivePID)
	}
	// Read after the slot was: what we sent by then is no less. A slot that is new is ahead
	// of a journal that has nothing.
	if end := max(e.position(), wal.LSN(e.from.Load())); h.ConfirmedFlush > max(end, s.Positions().Acked) {
		return fmt.Sprintf("confirmed_flush_lsn is %s, and we have come to %s", h.ConfirmedFlush, end)
	}
	return ""
}

// keepWALBudget acts before the WAL that Postgres retains for us would exceed its
// budget at the next look.
func (e *Engine) keepWALBudget(ctx context.Context, now, was *audit) {
	budget := e.cfg.WALBudget
	if budget == 0 || !now.slot.Exists || was.slot == nil {
		return
	}
	growth := max(0, now.retained-was.retained)
	if now.retained+growth <= budget {
		return
	}
	what := fmt.Sprintf("Postgres retains %d bytes of WAL for us, the budget is %d", now.retained, budget)
	if now.holder != "" {
		what += "; it is held by " + now.holder
	}
	if e.cfg.OnWALBudget != DropSlot {
		now.finding = what
		return
	}
	e.log.Error("the slot is dropped, as SPILLWAY_ON_WAL_BUDGET says: every shape starts again", "why", what)
	now.finding = what + "; the slot is dropped"
	if e.session.Load() != nil {
		e.endSession(errWALBudget) // which drops it
		return
	}
	if err := e.dropSlot(ctx); err != nil {
		e.log.Error("drop the slot; will try again", "err", err)
	}
}

// endSession ends the replication session, if there is one, for a reason.
func (e *Engine) endSession(why error) {
	if cut := e.cut.Load(); cut != nil {
		(*cut)(why)
	}
}

func (e *Engine) audited() *audit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lastAudit
}

func (e *Engine) noteAudit(a *audit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastAudit = a
}

// auditStatus fills in what the audit has found.
func (e *Engine) auditStatus(st *Status) {
	a := e.audited()
	p := &st.Postgres
	p.WALBudgetBytes, p.OnWALBudget = e.cfg.WALBudget, e.cfg.OnWALBudget
	if a.slot != nil && a.slot.Exists {
		p.RetainedBytes = &a.slot.RetainedBytes
		p.WALStatus = a.slot.WALStatus
	}
	p.Audit, p.RestartLSNHeldBy = a.finding, a.holder
	if st.Health == HealthActive && a.finding != "" {
		st.Health, st.Reason = HealthDegraded, a.finding
	}
	for _, w := range e.creator.Waiting() {
		x := Waiting{Handle: w.Shape.Handle(), Seconds: time.Since(w.Since).Seconds(), Rows: w.Rows, For: w.Step}
		if l := e.families.waitOn(w.Shape.Def().Table.OID, a.waits); l != nil {
			x.For = fmt.Sprintf("waiting for lock of pid %d", l.Blocker)
		}
		st.Waiting = append(st.Waiting, x)
	}
}
