package engine

import (
	"context"
	"errors"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// reconcile rotates the shapes of tables that changed without a word in the
// stream. seen remembers what was found in order before.
func (e *Engine) reconcile(ctx context.Context, seen map[uint32]pgquery.Fingerprint) error {
	byTable := make(map[uint32][]*registry.Shape)
	for sp := range e.registry.All() {
		if sp.State() == registry.Live {
			oid := sp.Def().Table.OID
			byTable[oid] = append(byTable[oid], sp)
		}
	}
	e.db.InvalidateOthers(func(oid uint32) bool { return byTable[oid] != nil })
	if len(byTable) == 0 {
		return nil
	}
	oids := make([]uint32, 0, len(byTable))
	for oid := range byTable {
		oids = append(oids, oid)
	}
	found, _, err := e.db.Kin(ctx, oids)
	if err != nil {
		return err
	}
	if err := e.families.see(ctx, oids, found); err != nil {
		return err
	}
	now, err := e.db.Watch(ctx, oids)
	if err != nil {
		return err
	}
	for oid, shapes := range byTable {
		f, ok := now[oid]
		if ok && seen[oid] == f {
			continue
		}
		e.db.Invalidate(oid)
		if err := e.reexamine(ctx, shapes, f, ok); err != nil {
			return err
		}
		if f.Full {
			seen[oid] = f // or it is looked at until it is
		}
	}
	return nil
}

// reexamine looks at one table again. ok: it is still there, with fingerprint f.
func (e *Engine) reexamine(ctx context.Context, shapes []*registry.Shape, f pgquery.Fingerprint, ok bool) error {
	remove := e.stream.Load().ingest.Remove
	var t *shape.Table
	if ok {
		var err error
		t, err = e.db.Table(ctx, f.Schema, f.Name)
		if err != nil && !errors.Is(err, pgquery.ErrNoTable) {
			return err
		}
	}
	for _, sp := range shapes {
		switch {
		case t == nil:
			remove(sp, shape.ReasonSchema, "the table was dropped")
		case !f.Published:
			// The next request publishes it again, or says why that fails.
			remove(sp, shape.ReasonIdentity, "the table, or a partition of it, is not wholly in the publication any more")
		default:
			if err := sp.Def().Fits(t); err != nil {
				remove(sp, shape.ReasonSchema, err.Error())
			}
		}
	}
	if t != nil && f.Published && !f.Full {
		return e.setIdentity(ctx, t)
	}
	return nil
}

// setIdentity puts a replica identity right that was changed behind our back, or
// that a new partition came with. No change was lost so far: the first that comes
// without its old row rotates the shapes that it concerns.
func (e *Engine) setIdentity(ctx context.Context, t *shape.Table) error {
	err := e.db.Publish(ctx, e.cfg.Publication(), t)
	if err == nil || pgquery.IsUnreachable(err) {
		return err
	}
	e.log.Warn("the replica identity of a table is not FULL: shapes rotate with its next UPDATE or DELETE", "table", t.Schema+"."+t.Name, "err", err)
	return nil
}
