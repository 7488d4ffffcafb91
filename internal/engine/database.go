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

func (d database) Publish(ctx context.Context, t *shape.Table) (snapshot.Family, error) {
	// Before it is published: whatever is among these is looked after.
	published, err := d.family(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := d.e.db.Publish(ctx, d.e.cfg.Publication(), t); err != nil {
		return nil, d.renewed(t, err)
	}
	return published, d.e.publishing.first(ctx, t.OID)
}

// family is the edges above and below a partitioned table, nil if they need not be the
// same when its first rows are read, as new partitions are published with their root.
func (d database) family(ctx context.Context, t *shape.Table) (snapshot.Family, error) {
	if t.Kind != 'p' {
		return nil, nil
	}
	edges, listed, err := d.e.db.ListedKin(ctx, t.OID)
	if err != nil || !listed {
		return nil, err
	}
	return edges, nil
}

// sent is an error if a partition has come since a table was published: the rows that
// it gets after the first ones may not be sent.
func (d database) sent(ctx context.Context, published snapshot.Family, found []pgquery.Edge) error {
	edges, ok := published.([]pgquery.Edge)
	if !ok {
		return nil
	}
	return d.e.families.same(ctx, edges, found)
}

func (d database) WritersGone(ctx context.Context, t *shape.Table, pause func(context.Context, time.Duration) error) (wal.LSN, error) {
	return d.e.db.WritersGone(ctx, t, pause)
}

func (d database) Snapshot(ctx context.Context, def *shape.Def, published snapshot.Family, onSight func(wal.Snapshot) error, onStart func() error, onRow func(wal.Tuple) error) error {
	if err := d.e.chaos.BeforeSnapshot(ctx); err != nil {
		return err
	}
	f := d.e.families
	if def.Table.Kind == 'p' {
		f.matters.Store(true)
	}
	started := func(s wal.Snapshot, edges []pgquery.Edge) error {
		if err := d.sent(ctx, published, edges); err != nil {
			return err
		}
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
