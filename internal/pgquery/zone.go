package pgquery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/expr"
)

const (
	// zoneLimit is how long it may take to ask for the rules of one zone, or to compare
	// some; half a second of the server's is usual.
	zoneLimit = 20 * time.Second
	// zoneAge is how long the rules of a zone are trusted. Data of time zones may be
	// those of the system, which are changed without a word to the server.
	zoneAge = time.Minute
	// zonesAtOnce are compared in one pass of ZonesNow; the others have their turn in
	// later ones.
	zonesAtOnce = 16
	// maxZones are kept.
	maxZones = 1024
)

// zoneCache keeps the rules of zones by their names.
type zoneCache struct {
	turn chan struct{} // one at a time asks for rules: that is work for the server

	mu    sync.Mutex // never held while Postgres is asked
	known map[string]*knownZone
}

type knownZone struct {
	zone   *expr.Zone // nil: the server has none of that name
	looked time.Time  // when the server was asked; zero: it has to be
}

func newZoneCache() zoneCache {
	return zoneCache{turn: make(chan struct{}, 1), known: make(map[string]*knownZone)}
}

// get returns what is known of a zone, and whether that can be trusted.
func (c *zoneCache) get(name string) (z *expr.Zone, trusted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.known[name]
	if k == nil {
		return nil, false
	}
	return k.zone, time.Since(k.looked) < 2*zoneAge
}

// put notes what the server said at a time. Unknown names are not kept: anybody can
// make up many.
func (c *zoneCache) put(name string, z *expr.Zone, looked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if z == nil {
		delete(c.known, name)
		return
	}
	for other, k := range c.known {
		if len(c.known) < maxZones || c.known[name] != nil {
			break
		}
		if other != name && time.Since(k.looked) > zoneAge {
			delete(c.known, other)
		}
	}
	if len(c.known) < maxZones || c.known[name] != nil {
		c.known[name] = &knownZone{z, looked}
	}
}

// doubt makes the server be asked again for the zones of these names; none: for all.
func (c *zoneCache) doubt(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, k := range c.known {
		if len(names) == 0 || slices.Contains(names, name) {
			k.looked = time.Time{}
		}
	}
}

// take waits for the turn to ask.
func (c *zoneCache) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// DoubtZones makes the server be asked again for the rules of all zones.
func (db *DB) DoubtZones() { db.zones.doubt() }

// Zone returns the rules of a time zone, by its name in lower case, as a new session of
// the server has them; nil: the server knows no zone of that name. The pointer is the
// same as long as nothing about the zone changes.
func (db *DB) Zone(ctx context.Context, name string) (*expr.Zone, error) {
	if z, ok := db.zones.get(name); ok {
		return z, nil
	}
	if err := db.zones.take(ctx); err != nil {
		return nil, fmt.Errorf("ask for the rules of time zone %q: %w", name, err)
	}
	defer func() { <-db.zones.turn }()
	z, ok := db.zones.get(name)
	if ok {
		return z, nil // somebody else has asked meanwhile
	}
	// What was begun is brought to its end though the client has gone: the next one
	// would begin anew.
	err := db.freshZones(context.WithoutCancel(ctx), func(ctx context.Context, tx pgx.Tx) (err error) {
		z, err = renewedZone(ctx, tx, name, z)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the rules of time zone %q: %w", name, err)
	}
	db.zones.put(name, z, time.Now())
	return z, nil
}

// ZonesNow tells what has become of zones that are in use, by their names, as far as
// that is known; nil: the server has none of that name any more.
func (db *DB) ZonesNow(ctx context.Context, used map[string]*expr.Zone) (map[string]*expr.Zone, error) {
	if len(used) == 0 {
		return nil, nil
	}
	if err := db.zones.take(ctx); err != nil {
		return nil, fmt.Errorf("compare the rules of time zones: %w", err)
	}
	defer func() { <-db.zones.turn }()
	now := make(map[string]*expr.Zone)
	err := db.freshZones(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for _, name := range db.zones.due(used) {
			was, _ := db.zones.get(name)
			if was == nil {
				was = used[name]
			}
			looked := time.Now()
			z, err := renewedZone(ctx, tx, name, was)
			if err != nil {
				return err
			}
			if z != was {
				db.snapshot.dropIdle() // their sessions have the rules of before
			}
			db.zones.put(name, z, looked)
			now[name] = z
		}
		return nil
	})
	for name := range used {
		if z, ok := db.zones.get(name); ok {
			now[name] = z
		}
	}
	if err != nil {
		err = fmt.Errorf("compare the rules of time zones: %w", err)
	}
	return now, err
}

// due are the zones whose rules were not looked at for too long, the longest first.
func (c *zoneCache) due(used map[string]*expr.Zone) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	looked := make(map[string]time.Time)
	var names []string
	for name := range used {
		if k := c.known[name]; k != nil {
			looked[name] = k.looked
		}
		if time.Since(looked[name]) > zoneAge {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return looked[a].Compare(looked[b]) })
	return names[:min(len(names), zonesAtOnce)]
}

// freshZones runs f in a session that has not looked at any zone yet: a session keeps
// the rules that it has read.
func (db *DB) freshZones(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, zoneLimit)
	defer cancel()
	return db.admin.fresh(ctx, beginLook+zoneSettings+"SET LOCAL work_mem = '32MB';\n"+limits(zoneLimit, lockLimit), func(tx pgx.Tx) error { return f(ctx, tx) })
}

// sameZones makes sure that a session, inside a transaction, has the rules by which the
// stream is evaluated.
func (db *DB) sameZones(ctx context.Context, conn *pgx.Conn, zones []*expr.Zone) error {
	if len(zones) == 0 {
		return nil
	}
	if _, err := conn.PgConn().Exec(ctx, zoneSettings.whole()).ReadAll(); err != nil {
		return err
	}
	for _, z := range zones {
		same, err := agrees(ctx, conn, z)
		if err != nil && !hasCode(err, codeNoZone) {
			return err
		}
		if !same {
			db.zones.doubt(z.Name())
			db.snapshot.dropIdle() // which may be as old as this one
			return &Error{Kind: ErrSchemaChanged, Err: fmt.Errorf("the rules of time zone %q are not those that they were", z.Name())}
		}
	}
	_, err := conn.PgConn().Exec(ctx, zonesDone.whole()).ReadAll()
	return err
}

// zonesIn are the zones that clauses look at.
func zonesIn(clauses ...*expr.Expr) []*expr.Zone {
	var zones []*expr.Zone
	for _, c := range clauses {
		if c != nil {
			zones = append(zones, c.Zones()...)
		}
	}
	return zones
}
