package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/api"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// source lets the api room, which does not know the engine, speak to it. Until the
// engine has read its data directory nothing is ready, but that can be said already.
type source struct {
	opened chan struct{}  // closed by open
	engine *engine.Engine // set before opened is closed
}

var _ api.Source = (*source)(nil)

func newSource() *source { return &source{opened: make(chan struct{})} }

func (s *source) open(e *engine.Engine) {
	s.engine = e
	close(s.opened)
}

// isOpen says whether there is an engine. The api asks for most things after Ready
// or Active only; those that it asks for before look here.
func (s *source) isOpen() bool {
	select {
	case <-s.opened:
		return true
	default:
		return false
	}
}

func (s *source) wait(ctx context.Context) error {
	if s.isOpen() {
		return nil
	}
	select {
	case <-s.opened:
		return nil
	case <-ctx.Done():
		return &api.NotReady{Reason: engine.ReasonData}
	}
}

func (s *source) Health() string {
	if !s.isOpen() {
		return string(engine.HealthStarting)
	}
	return s.engine.Health()
}

func (s *source) ByHandle(h shape.Handle) *registry.Shape {
	if !s.isOpen() {
		return nil
	}
	return s.engine.ByHandle(h)
}

func (s *source) Ready(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return translate(s.engine.Ready(ctx))
}

func (s *source) Active(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return translate(s.engine.Active(ctx))
}

func (s *source) Table(ctx context.Context, schema, name string) (*shape.Table, error) {
	t, err := s.engine.Table(ctx, schema, name)
	return t, translate(err)
}

func (s *source) Zone(ctx context.Context, name string) (*expr.Zone, error) {
	z, err := s.engine.Zone(ctx, name)
	return z, translate(err)
}

func (s *source) Find(def *shape.Def) *registry.Shape { return s.engine.Find(def) }

func (s *source) Create(ctx context.Context, def *shape.Def) (*registry.Shape, error) {
	sp, err := s.engine.Create(ctx, def)
	return sp, translate(err)
}

func (s *source) Fate(h shape.Handle) (shape.Reason, bool) { return s.engine.Fate(h) }

func (s *source) Subset(ctx context.Context, sub *shape.Subset, onStart func(wal.Snapshot) error, onRow func(wal.Tuple) error) error {
	return translate(s.engine.Subset(ctx, sub, onStart, onRow))
}

func (s *source) Routed() wal.LSN { return s.engine.Routed() }

func (s *source) Damaged(sp *registry.Shape, err error) { s.engine.Damaged(sp, err) }

func (s *source) Delete(sp *registry.Shape) { s.engine.Delete(sp) }

func translate(err error) error {
	var wait *engine.NotReady
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wait):
		return &api.NotReady{Reason: wait.Reason}
	case errors.Is(err, engine.ErrNoTable):
		return api.ErrNoTable
	case errors.Is(err, engine.ErrUnreachable):
		return fmt.Errorf("%w: %w", api.ErrUnreachable, err)
	}
	return err
}
