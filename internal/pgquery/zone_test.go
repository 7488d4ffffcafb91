package pgquery

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func zone(t *testing.T, db *DB, name string) *expr.Zone {
	t.Helper()
	z, err := db.Zone(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// older is a zone as it might have been in another version of the data.
func older(t *testing.T, z *expr.Zone, edit func(list []expr.Change, local bool) []expr.Change) *expr.Zone {
	t.Helper()
	utc, local := z.Changes()
	old, err := expr.NewZone(z.Name(), edit(slices.Clone(utc), false), edit(slices.Clone(local), true))
	if err != nil {
		t.Fatal(err)
	}
	return old
}

func TestZone(t *testing.T) {
	pg := pgtest.New(t)
	// What EST means must not depend on whose session it is.
	pg.Exec("alter database " + pg.Name + " set timezone_abbreviations = 'Australia'")
	db := open(t, pg)
	berlin := zone(t, db, "europe/berlin")
	if again := zone(t, db, "europe/berlin"); again != berlin {
		t.Error("the same zone has two pointers")
	}
	db.DoubtZones()
	if again := zone(t, db, "europe/berlin"); again != berlin {
		t.Error("a zone that was compared and has not changed has another pointer")
	}
	const summer2024 = (24*365 + 6 + 183) * aDay
	if got := berlin.Offset(summer2024, false); got != 7200 {
		t.Errorf("Berlin is %d s from UTC in summer", got)
	}
	if got := zone(t, db, "est").Offset(summer2024, false); got != -5*3600 {
		t.Errorf("EST is %d s from UTC", got)
	}
	for _, name := range []string{"nope/zone", "europe", "a", ""} {
		if z := zone(t, db, name); z != nil {
			t.Errorf("%q: %v", name, z)
		}
	}
	if len(db.zones.known) != 2 {
		t.Errorf("%d zones are kept", len(db.zones.known))
	}
}

// TestZoneChanged: every difference between what is known and what a session has is noticed.
func TestZoneChanged(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table items (id int primary key, ts timestamptz); insert into items values (1, '2024-07-01Z'), (2, '2024-12-01Z')")
	db := open(t, pg)
	tab := table(t, db, "items")
	read := func(z *expr.Zone) (ids string, err error) {
		def, err := shape.BuildDef(tab, shape.Params{Zones: expr.Zones{z.Name(): z},
			Where: "extract(hour from ts at time zone '" + z.Name() + "') > 1 or ts at time zone 'utc' is null"})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Snapshot(t.Context(), def, func(wal.Snapshot, []Edge) error { return nil }, func(row wal.Tuple) error {
			ids += string(row[0])
			return nil
		})
		return ids, err
	}
	berlin, freetown := zone(t, db, "europe/berlin"), zone(t, db, "africa/freetown")
	if ids, err := read(berlin); err != nil || ids != "1" {
		t.Errorf("rows %s, %v", ids, err)
	}
	olds := map[string]*expr.Zone{
		"a change was elsewhere, by a microsecond": older(t, berlin, func(list []expr.Change, _ bool) []expr.Change { list[100].At++; return list }),
		"a local change was elsewhere": older(t, berlin, func(list []expr.Change, local bool) []expr.Change {
			if local {
				list[50].At -= 3600 * 1000000
			}
			return list
		}),
		"an offset was another":          older(t, berlin, func(list []expr.Change, _ bool) []expr.Change { list[3].East++; return list }),
		"summer time was not given up":   older(t, berlin, func(list []expr.Change, _ bool) []expr.Change { return list[:len(list)-300] }),
		"the first change was not known": older(t, berlin, func(list []expr.Change, _ bool) []expr.Change { list[1].At = list[0].At; return list[1:] }),
	}
	// Data that was packed another way has Abidjan's history instead.
	short := func(c expr.Change) bool { return c.At > -61*365*aDay && c.East == -2400 }
	if utc, _ := freetown.Changes(); slices.ContainsFunc(utc, short) {
		olds["four days were not known"] = older(t, freetown, func(list []expr.Change, _ bool) []expr.Change {
			i := slices.IndexFunc(list, short)
			return slices.Delete(list, i, i+2)
		})
	}
	for name, old := range olds {
		if _, err := read(old); !errors.Is(err, ErrSchemaChanged) {
			t.Errorf("%s: %v", name, err)
		}
		db.DoubtZones()
		is := map[string]*expr.Zone{"europe/berlin": berlin, "africa/freetown": freetown}[old.Name()]
		db.zones.put(old.Name(), old, time.Time{})
		now, err := db.ZonesNow(t.Context(), map[string]*expr.Zone{old.Name(): old})
		if err != nil || now[old.Name()].Rules() != is.Rules() {
			t.Errorf("%s: it is not seen by the reconciler (%v)", name, err)
		}
		if z := zone(t, db, old.Name()); z.Rules() != is.Rules() {
			t.Errorf("%s: it was not learned anew", name)
		}
	}
	gone := older(t, berlin, func(list []expr.Change, _ bool) []expr.Change { return list })
	lost, err := expr.ReadZone("gone/zone", gone.Rules())
	if err != nil {
		t.Fatal(err)
	}
	now, err := db.ZonesNow(t.Context(), map[string]*expr.Zone{"gone/zone": lost, "europe/berlin": berlin})
	if z, known := now["gone/zone"]; err != nil || !known || z != nil {
		t.Errorf("a zone that the server lacks: %v, %t, %v", z, known, err)
	}
	if _, err := read(lost); !errors.Is(err, ErrSchemaChanged) {
		t.Errorf("a zone that the server lacks: %v", err)
	}
}
