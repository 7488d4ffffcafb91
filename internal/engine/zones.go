package engine

import (
	"context"
	"errors"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// Zone gives the rules of a time zone, by its name in lower case; nil: the server has none
// of that name. While Postgres is away those of the shapes that live here are still known.
func (e *Engine) Zone(ctx context.Context, name string) (*expr.Zone, error) {
	z, err := e.db.Zone(ctx, name)
	if err == nil || !pgquery.IsUnreachable(err) {
		return z, err
	}
	if z := e.zonesInUse()[name]; z != nil {
		return z, nil
	}
	return nil, errors.Join(ErrUnreachable, err)
}

// zonesInUse are the zones that shapes look at.
func (e *Engine) zonesInUse() map[string]*expr.Zone {
	used := make(map[string]*expr.Zone)
	for _, sp := range e.registry.Zoned() {
		for _, z := range zonesOf(sp) {
			used[z.Name()] = z
		}
	}
	return used
}

func zonesOf(sp *registry.Shape) []*expr.Zone {
	if w := sp.Def().Where; w != nil {
		return w.Zones()
	}
	return nil
}

// reconcileZones rotates the shapes for whose time zones the server has other rules than
// it had when they were made. It tells of that with no word: a package of the system may
// bring other data, and new sessions read that.
func (e *Engine) reconcileZones(ctx context.Context) error {
	now, err := e.db.ZonesNow(ctx, e.zonesInUse())
	if len(now) == 0 {
		return err
	}
	remove := e.stream.Load().ingest.Remove
	for _, sp := range e.registry.Zoned() {
		if state := sp.State(); state != registry.Live && state != registry.Snapshotting {
			continue // it is built anew, and its zones are compared then
		}
		for _, z := range zonesOf(sp) {
			is, known := now[z.Name()]
			if known && (is == nil || is.Rules() != z.Rules()) {
				remove(sp, shape.ReasonZone, "the server has other rules for time zone "+z.Name()+" than it had")
				break
			}
		}
	}
	return err
}
