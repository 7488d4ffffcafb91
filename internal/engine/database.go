package engine

import (
	"context"
	"errors"
	"time"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// database is Postgres as new shapes need it.
type database struct{ e *Engine }

func (d database) Publish(ctx context.Context, t *shape.Table) error {
	if err := d.e.db.Publish(ctx, d.e.cfg.Publication(), t); err != nil {
		return d.renewed(t, err)
	}
	return d.e.publishing.first(ctx, t.OID)
}

func (d database) WritersGone(ctx context.Context, t *shape.Table, pause func(context.Context, time.Duration) error) (wal.LSN, error) {
	return d.e.db.WritersGone(ctx, t, pause)
}

func (d database) Snapshot(ctx context.Context, def *shape.Def, onSight func(wal.Snapshot) error, onStart func() error, onRow func(wal.Tuple) error) error {
	if err := d.e.chaos.BeforeSnapshot(ctx); err != nil {
		return err
	}
	f := d.e.families
	if def.Table.Kind == 'p' {
		f.matters.Store(true)
	}
	started := func(s wal.Snapshot, edges []pgquery.Edge) error {
		// Before the shape is in the stream: who gets whose rows is what it saw.
		if err := f.admit(ctx, def.Table.OID, edges, func() error { return onSight(s) }); err != nil {
			return err
		}
		return onStart()
	}
	return d.renewed(def.Table, d.e.db.Snapshot(ctx, def, started, onRow))
}

// renewed makes the next request look the table up again if err says that it has
// changed: the stream may never tell, and the client, who is sent to start again,
// would be given the same definition for ever.
func (d database) renewed(t *shape.Table, err error) error {
	if errors.Is(err, pgquery.ErrSchemaChanged) {
		d.e.db.Invalidate(t.OID)
	}
	return err
}

// Explain says what a client is told about a snapshot that failed.
func (d database) Explain(err error) error {
	var failure *snapshot.Failure
	switch {
	case errors.As(err, &failure):
		return failure
	case errors.Is(err, pgquery.ErrSchemaChanged):
		return &snapshot.SchemaChanged{Err: err}
	}
	if text, ok := pgquery.ClientText(err); ok {
		return &snapshot.Failure{Message: text, Known: true, Err: err}
	}
	if pgquery.IsUnreachable(err) {
		return &snapshot.Failure{Message: "Database connection not available", Known: true, Err: err}
	}
	return &snapshot.Failure{Message: "Unexpected error while creating snapshot", Err: err}
}

// Subset reads rows of a shape as they are now. Errors of the database are given
// the forms that clients are told of; all others, those of the callbacks among
// them, are returned as they are.
func (e *Engine) Subset(ctx context.Context, s *shape.Subset, onStart func(wal.Snapshot) error, onRow func(wal.Tuple) error) error {
	d := database{e}
	err := d.renewed(s.Def.Table, e.db.Subset(ctx, s, onStart, onRow))
	text, _ := pgquery.ClientText(err)
	switch class := pgquery.Classify(err); {
	case class == nil:
		return err
	case errors.Is(class, pgquery.ErrUnreachable):
		return errors.Join(ErrUnreachable, err)
	case errors.Is(class, pgquery.ErrValue):
		return &snapshot.BadClause{Field: "where", Message: text, Err: err}
	case errors.Is(class, pgquery.ErrOrder):
		return &snapshot.BadClause{Field: "order_by", Message: text, Err: err}
	}
	return d.Explain(err)
}
