package registry

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
)

// TestZonesAreKept: the rules that a shape was made with are there after a restart, once
// for all shapes, and as long as there is one.
func TestZonesAreKept(t *testing.T) {
	h := open(t, vfs.NewMem())
	zone := func(east int32) *expr.Zone {
		list := []expr.Change{{At: expr.ZoneFrom, East: east}, {At: 5, East: 60}}
		z, err := expr.NewZone("mars/port", list, list)
		check(t, err)
		return z
	}
	made := func(z *expr.Zone, sql string) *Shape {
		def, err := shape.BuildDef(boats(), shape.Params{Where: sql, Zones: expr.Zones{"mars/port": z}})
		check(t, err)
		s := create(t, h, def, 1)
		live(t, h, s, 100)
		return s
	}
	old, now := zone(3600), zone(7200)
	first := made(old, "name::timestamp at time zone 'Mars/Port' > '2000-01-01'")
	second := made(now, "name::timestamp at time zone 'mars/port' > '2001-01-01'")
	third := made(now, "name::timestamp at time zone 'mars/port' > '2002-01-01'")
	rules := func(s *Shape, want *expr.Zone) *expr.Zone {
		t.Helper()
		again := h.ByHandle(s.Handle())
		if again == nil {
			t.Fatalf("%s is gone", s.Handle())
		}
		zones := again.Def().Where.Zones()
		if len(zones) != 1 || zones[0].Name() != "mars/port" || zones[0].Rules() != want.Rules() {
			t.Fatalf("%s looks at %v", s.Handle(), zones)
		}
		return zones[0]
	}
	create(t, h, where(t, "crew > 3"), 1)
	zoned := func(want ...*Shape) {
		t.Helper()
		is := h.Zoned()
		for i := range max(len(is), len(want)) {
			if len(is) != len(want) || is[i].Handle() != want[i].Handle() {
				t.Fatalf("%d shapes look at zones, want %d", len(is), len(want))
			}
		}
	}
	zoned(first, second, third)
	h = h.reopen(t)
	zoned(first, second, third)
	rules(first, old)
	if rules(second, now) != rules(third, now) {
		t.Error("two shapes have a zone of their own each")
	}
	check(t, h.Remove(h.ByHandle(first.Handle()), shape.ReasonZone))
	zoned(second, third)
	h = h.reopen(t) // the record without shapes goes here
	rules(second, now)
	if n := zoneRecords(t, h); n != 1 {
		t.Errorf("%d records of zones", n)
	}
	// What is durable is not written again, also after a restart; what went, is.
	made(now, "name::timestamp at time zone 'mars/port' > '2003-01-01'")
	if fresh := h.newZones(h.ByHandle(second.Handle()).Def().Where); len(fresh) != 0 {
		t.Errorf("%d zones would be written again", len(fresh))
	}
	back := made(old, "name::timestamp at time zone 'mars/port' > '2004-01-01'")
	h = h.reopen(t)
	rules(back, old)
	// Without its rules a clause cannot be read.
	check(t, h.db.Delete(zoneKey(zoneSum(now)), pebble.Sync))
	h = h.reopen(t)
	if h.ByHandle(second.Handle()) != nil {
		t.Error("a shape lives without the rules of its zone")
	}
}

func zoneRecords(t *testing.T, h *house) (n int) {
	t.Helper()
	check(t, h.scan(kindZone, func(_, _ []byte) error { n++; return nil }))
	return n
}
