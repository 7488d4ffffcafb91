package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/expr"
)

// A clause means what it meant when its shape was made, also while Postgres cannot be
// asked: the rules of its time zones are kept with it. Many shapes look at one zone, so
// it is stored once, under a sum of what it is.

// zoneRecord is a time zone as a server had it.
type zoneRecord struct {
	Name  string `json:"name"`
	Rules []byte `json:"rules"` // expr.Zone.Rules
}

// loadedZone is a zone of the catalogue.
type loadedZone struct {
	zone *expr.Zone
	used bool
}

func zoneSum(z *expr.Zone) string {
	sum := sha256.Sum256([]byte(z.Name() + "\x00" + z.Rules()))
	return hex.EncodeToString(sum[:16])
}

func zoneKey(sum string) []byte { return append([]byte{kindZone}, sum...) }

// newZones are the zones of a clause whose records are not durable yet.
func (r *Registry) newZones(where *expr.Expr) (fresh []*expr.Zone) {
	if where == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, z := range where.Zones() {
		if !r.zones[zoneSum(z)] {
			fresh = append(fresh, z)
		}
	}
	return fresh
}

// haveZones notes that the records of zones are durable. A record stays until the next
// start finds no shape that needs it.
func (r *Registry) haveZones(zones []*expr.Zone) {
	if len(zones) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, z := range zones {
		r.zones[zoneSum(z)] = true
	}
}

// storeZone writes a zone; to write one again changes nothing.
func storeZone(b *pebble.Batch, z *expr.Zone) error {
	rec, err := encode("time zone", zoneRecord{Name: z.Name(), Rules: []byte(z.Rules())})
	if err != nil {
		return err
	}
	return b.Set(zoneKey(zoneSum(z)), rec, nil)
}

func (l *loading) readZones() error {
	return l.r.scan(kindZone, func(k, v []byte) error {
		var rec zoneRecord
		if err := decode("time zone", v, &rec); err != nil {
			return err
		}
		z, err := expr.ReadZone(rec.Name, string(rec.Rules))
		if err != nil {
			l.log.Warn("a time zone of the catalogue cannot be read any more", "zone", rec.Name, "err", err)
			l.orphans = append(l.orphans, zoneKey(string(k)))
			return nil
		}
		l.zones[string(k)] = &loadedZone{zone: z}
		return nil
	})
}

// zonesOf are the zones of a shape's clause.
func (l *loading) zonesOf(sr *shapeRecord) (expr.Zones, error) {
	var zones expr.Zones
	for _, sum := range sr.Zones {
		z := l.zones[sum]
		if z == nil {
			return nil, fmt.Errorf("time zone %s is missing", sum)
		}
		if zones == nil {
			zones = make(expr.Zones)
		}
		zones[z.zone.Name()], z.used = z.zone, true
	}
	return zones, nil
}
