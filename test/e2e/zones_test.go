package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The rules of a time zone are kept with the shape over a restart, and compared with the
// server's. Where the server has others by then, as when a package of the system has
// brought new data, the shapes with that zone start again, and no others.
func TestZoneDataChanges(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE z (id int PRIMARY KEY, ts timestamptz, l timestamp);
		INSERT INTO z SELECT i, t, t FROM generate_series(1, 48) i, LATERAL (SELECT timestamp '2024-03-30 12:00' + i * interval '1 hour' AS t) t`)
	dir := t.TempDir()
	s := newService(t, db.URL, "SPILLWAY_DATA_DIR="+dir, "SPILLWAY_AUDIT_EVERY=100ms")
	clauses := map[string]string{
		"berlin":  "(ts AT TIME ZONE 'Europe/Berlin') < '2024-03-31 04:00'",
		"back":    "(l AT TIME ZONE 'europe/berlin') < '2024-03-31 02:00Z' AND NOT (ts AT TIME ZONE 'Asia/Tokyo') < '2024-03-31'",
		"tokyo":   "(ts AT TIME ZONE 'Asia/Tokyo') < '2024-03-31 09:00'",
		"nowhere": "ts < '2024-03-31 01:00Z'",
	}
	all := map[string]*follower{}
	for name, where := range clauses {
		all[name] = newFollower(s.url, "table", "z", "where", where)
	}
	check := func(what, rotated string) {
		t.Helper()
		for name, f := range all {
			want := strings.Count(rotated, name)
			f.until(t, 60*time.Second, what+": "+name, func() error {
				got, rows := idsOf(f.rows), db.Value("SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), 'none') FROM z WHERE "+clauses[name])
				if f.rotations != want || got != rows {
					return fmt.Errorf("%d rotations, want %d; rows %s, SELECT %s", f.rotations, want, got, rows)
				}
				return nil
			})
			f.rotations = 0
		}
	}
	check("first rows", "")
	handle := all["berlin"].handle
	s.crash()
	db.Exec("UPDATE z SET ts = ts + interval '30 minutes', l = l + interval '30 minutes'")
	s.start()
	db.Exec("INSERT INTO z VALUES (100, '2024-03-31 01:30Z', '2024-03-31 02:30')")
	check("a restart", "")
	s.stop()
	summerless(t, filepath.Join(dir, "catalogue"))
	s.start()
	check("other data", "berlin back")
	if _, why := get(t, s.admin+"/why/"+handle); !strings.Contains(why, "time_zone_changed") {
		t.Errorf("why: %s", why)
	}
	db.Exec("UPDATE z SET ts = ts - interval '30 minutes', l = l - interval '30 minutes'")
	check("new rules", "")
}

// summerless makes a catalogue one whose server did not know yet of summer time in Berlin
// in 2024.
func summerless(t *testing.T, dir string) {
	t.Helper()
	cat, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cat.Close(); err != nil {
			t.Error(err)
		}
	}()
	it, err := cat.NewIter(&pebble.IterOptions{LowerBound: []byte("z"), UpperBound: []byte("z~")})
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for ok := it.First(); ok; ok = it.Next() {
		var rec struct {
			Name  string `json:"name"`
			Rules []byte `json:"rules"`
		}
		if err := json.Unmarshal(it.Value(), &rec); err != nil {
			t.Fatal(err)
		}
		z, err := expr.ReadZone(rec.Name, string(rec.Rules))
		if err != nil {
			t.Fatal(err)
		}
		if rec.Name != "europe/berlin" {
			continue
		}
		utc, local := z.Changes()
		without := func(list []expr.Change) []expr.Change {
			const march2024 = (24*365 + 6 + 80) * 86400 * 1000000
			i := slices.IndexFunc(list, func(c expr.Change) bool { return c.At > march2024 })
			return slices.Delete(slices.Clone(list), i, i+2)
		}
		if z, err = expr.NewZone(rec.Name, without(utc), without(local)); err != nil {
			t.Fatal(err)
		}
		rec.Rules = []byte(z.Rules())
		b, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		if err := cat.Set(slices.Clone(it.Key()), b, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		changed++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if changed != 1 {
		t.Fatalf("%d records of Berlin in the catalogue", changed)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
