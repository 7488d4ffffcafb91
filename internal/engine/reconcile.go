package engine

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// looked is how a table was found in order, and the newest shape that was then: one
// that came after it may have been defined by what the table was before.
type looked struct {
	pgquery.Fingerprint
	newest shape.ID
	table  *shape.Table
}

// due reports whether a shape has to be compared with its table, which is like f now.
func (l looked) due(f pgquery.Fingerprint, id shape.ID) bool {
	return l.Fingerprint != f || id > l.newest
}

// reconcile rotates the shapes of tables that changed without a word in the
// stream. seen remembers what was found in order before.
func (e *Engine) reconcile(ctx context.Context, seen map[uint32]looked) error {
	watched := make(map[uint32]shape.ID) // the newest shape that is live before Postgres is asked
	for _, t := range e.registry.Tables() {
		if oid := t.Table.OID; t.Live > 0 {
			watched[oid] = max(watched[oid], t.Live)
		}
	}
	e.db.InvalidateOthers(func(oid uint32) bool { return watched[oid] > 0 })
	if len(watched) == 0 {
		return nil
	}
	oids := slices.Sorted(maps.Keys(watched))
	if _, err := e.families.see(ctx, oids, true); err != nil {
		return err
	}
	if err := e.publishing.look(ctx, oids); err != nil {
		return err
	}
	now, err := e.db.Watch(ctx, oids)
	if err != nil {
		return err
	}
	// Not before Postgres was asked: a shape may have come meanwhile, and the table
	// have changed after that.
	shapes, newest := make(map[uint32][]*registry.Shape), e.registry.Settled()
	for sp := range e.registry.After(examined(watched, now, seen, newest)) {
		oid := sp.Def().Table.OID
		if f, ok := now[oid]; watched[oid] > 0 && (!ok || seen[oid].due(f, sp.ID())) {
			shapes[oid] = append(shapes[oid], sp)
		}
	}
	for oid := range watched {
		if l, ok := seen[oid]; ok && l.Fingerprint == now[oid] && shapes[oid] == nil {
			l.newest = newest // there is none that came after it
			seen[oid] = l
		}
	}
	order := slices.Sorted(maps.Keys(shapes))
	found := make(map[uint32]*shape.Table)
	for _, oid := range order {
		f, ok := now[oid]
		if !ok || seen[oid].Fingerprint != f {
			e.db.Invalidate(oid)
		}
		t, err := e.reexamine(ctx, shapes[oid], watched[oid], f, ok, seen[oid])
		if err != nil {
			return err
		}
		found[oid] = t
	}
	if len(order) == 0 {
		return nil
	}
	// A table may have changed after its fingerprint was taken and before it was looked
	// at: then what was found is not what the fingerprint stands for.
	again, err := e.db.Watch(ctx, order)
	if err != nil {
		return err
	}
	for _, oid := range order {
		if f := now[oid]; f.Full && again[oid] == f { // or it is looked at until it is so
			seen[oid] = looked{f, newest, found[oid]}
		}
	}
	return nil
}

// examined is the shape up to which none has to be compared with its table: with no table
// changed, those that came since the last time are all that is to be done.
func examined(watched map[uint32]shape.ID, now map[uint32]pgquery.Fingerprint, seen map[uint32]looked, newest shape.ID) shape.ID {
	for oid := range watched {
		f, there := now[oid]
		l, known := seen[oid]
		if !there || !known || l.Fingerprint != f {
			return 0
		}
		newest = min(newest, l.newest)
	}
	return newest
}

// reexamine looks at one table again, and returns what it is like, nil if it is no more.
// ok: it is still there, with fingerprint f, which is of a moment when shapes up to live
// were live. was is how it was found the last time.
func (e *Engine) reexamine(ctx context.Context, shapes []*registry.Shape, live shape.ID, f pgquery.Fingerprint, ok bool, was looked) (t *shape.Table, err error) {
	remove := e.stream.Load().ingest.Remove
	if ok {
		t, err = e.db.Table(ctx, f.Schema, f.Name)
		if err != nil && !errors.Is(err, pgquery.ErrNoTable) {
			return nil, err
		}
	}
	for _, sp := range shapes {
		switch state := sp.State(); {
		case state != registry.Live && state != registry.Snapshotting:
			// It is built anew, or rests until somebody asks for it to be.
		case t == nil:
			remove(sp, shape.ReasonSchema, "the table was dropped")
		case !f.Published && state == registry.Live && sp.ID() <= live: // or it was being published
			// The next request publishes it again, or says why that fails.
			remove(sp, shape.ReasonIdentity, "the table, or a partition of it, is not wholly in the publication any more")
		default:
			if err := was.fits(sp, t); err != nil {
				remove(sp, shape.ReasonSchema, err.Error())
			}
		}
	}
	if t != nil && f.Published && !f.Full {
		return t, e.setIdentity(ctx, t)
	}
	return t, nil
}

// fits says whether a shape can go on when its table is now t.
func (l looked) fits(sp *registry.Shape, t *shape.Table) error {
	if err := sp.Def().Fits(t); err != nil {
		return err
	}
	if l.table == nil || l.table.OID != t.OID || sp.ID() > l.newest {
		return nil
	}
	return sp.Def().FitsSince(l.table, t)
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
