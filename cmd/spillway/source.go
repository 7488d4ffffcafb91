package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/api"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// source lets the api room, which does not know the engine, speak to it.
type source struct{ *engine.Engine }

var _ api.Source = source{}

func (s source) Table(ctx context.Context, schema, name string) (*shape.Table, error) {
	t, err := s.Engine.Table(ctx, schema, name)
	return t, translate(err)
}

func (s source) Create(ctx context.Context, def *shape.Def) (*registry.Shape, error) {
	sp, err := s.Engine.Create(ctx, def)
	return sp, translate(err)
}

func (s source) Subset(ctx context.Context, sub *shape.Subset, onStart func(wal.Snapshot) error, onRow func(wal.Tuple) error) error {
	return translate(s.Engine.Subset(ctx, sub, onStart, onRow))
}

func (s source) Active(ctx context.Context) error { return translate(s.Engine.Active(ctx)) }

func (s source) Ready(ctx context.Context) error { return translate(s.Engine.Ready(ctx)) }

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
