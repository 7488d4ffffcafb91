package engine

import (
	"context"
	"errors"
	"time"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// readyWait is how long a request waits for the service to become able to
// answer it (http-protocol §18.2).
const readyWait = 5 * time.Second

// Errors of the methods that serve clients' requests.
var (
	ErrNoTable     = errors.New("no such table")
	ErrUnreachable = errors.New("the database cannot be reached")
)

// NotReady says what a request would have to wait for longer than it may.
type NotReady struct{ Reason string }

func (n *NotReady) Error() string { return n.Reason }

// Table describes a table. While Postgres is away the tables of the shapes that
// live here are still known.
func (e *Engine) Table(ctx context.Context, schema, name string) (*shape.Table, error) {
	t, err := e.db.Table(ctx, schema, name)
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, pgquery.ErrNoTable):
		return nil, ErrNoTable
	case !pgquery.IsUnreachable(err):
		return nil, err
	}
	var newest registry.InUse
	for _, t := range e.registry.Tables() {
		if t.Table.Schema == schema && t.Table.Name == name && t.Live >= newest.Live {
			newest = t
		}
	}
	if newest.Table != nil {
		return newest.Table, nil
	}
	return nil, errors.Join(ErrUnreachable, err)
}

// Find returns the shape of an equal definition, or nil.
func (e *Engine) Find(def *shape.Def) *registry.Shape { return e.registry.Find(def.Key()) }

// ByHandle returns a shape that lives here, or nil.
func (e *Engine) ByHandle(h shape.Handle) *registry.Shape { return e.registry.ByHandle(h) }

// Fate says why a shape that lived here went, if that is still known.
func (e *Engine) Fate(h shape.Handle) (shape.Reason, bool) {
	t, ok, err := e.registry.Tombstone(h)
	if err != nil {
		e.log.Warn("look up what became of a shape", "handle", h, "err", err)
	}
	return t.Reason, ok && err == nil
}

// Damaged gives up a shape whose log cannot be read.
func (e *Engine) Damaged(sp *registry.Shape, err error) {
	e.stream.Load().ingest.Remove(sp, shape.ReasonStorage, err.Error())
}

// Create finds or makes a shape. To make one takes a live stream: Create waits
// for it for a short while.
func (e *Engine) Create(ctx context.Context, def *shape.Def) (*registry.Shape, error) {
	if sp := e.Find(def); sp != nil {
		return sp, nil
	}
	short, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := e.Active(short); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if e.cfg.MaxShapes > 0 {
		return e.createWithin(ctx, def)
	}
	return e.creator.Create(def)
}

// Active waits until the stream is live: shapes can be made and removed. It
// returns a *NotReady when ctx ends before.
func (e *Engine) Active(ctx context.Context) error {
	e.mu.Lock()
	active := e.active
	e.mu.Unlock()
	select {
	case <-active:
		return nil
	default:
	}
	select {
	case <-active:
		return nil
	case <-ctx.Done():
		return e.notReady()
	}
}

// Delete removes a shape because a client wants it.
func (e *Engine) Delete(sp *registry.Shape) {
	e.stream.Load().ingest.Remove(sp, shape.ReasonDeleted, "a client asked for it")
}

// Ready waits until what is on disk can be served.
func (e *Engine) Ready(ctx context.Context) error {
	select {
	case <-e.stream.Load().ingest.CaughtUp():
		return nil
	default:
	}
	select {
	case <-e.stream.Load().ingest.CaughtUp():
		return nil
	case <-ctx.Done():
		return &NotReady{Reason: ReasonData}
	}
}

func (e *Engine) notReady() *NotReady {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &NotReady{Reason: e.reason}
	if n.Reason == "" {
		n.Reason = reasonReplication
	}
	return n
}

// Routed is how far the stream has come.
func (e *Engine) Routed() wal.LSN { return e.stream.Load().ingest.Routed() }

// Health is the state that clients are told.
func (e *Engine) Health() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.health {
	case HealthActive, HealthWaiting:
		return string(e.health)
	}
	return string(HealthStarting)
}

// streamSwitch is the stream for those who make shapes; it stays valid when
// the engine starts over.
type streamSwitch struct{ e *Engine }

func (s streamSwitch) Routed() wal.LSN { return s.e.Routed() }

func (s streamSwitch) Pin(ctx context.Context, id shape.ID) error {
	return s.e.stream.Load().ingest.Pin(ctx, id)
}

func (s streamSwitch) Join(ctx context.Context, sp *registry.Shape, from wal.LSN) error {
	return s.e.stream.Load().ingest.Join(ctx, sp, from)
}

func (s streamSwitch) Remove(sp *registry.Shape, reason shape.Reason, detail string) {
	s.e.stream.Load().ingest.Remove(sp, reason, detail)
}
