package expr_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/wal"
)

var everyZone = flag.Bool("expr.zones", false, "compare all zones that the server has")

// learn asks Postgres for the rules of zones, as the service does.
func (o *oracle) learn(names ...string) {
	o.t.Helper()
	db, err := pgquery.Open(pgquery.Config{URL: o.url})
	if err != nil {
		o.t.Fatal(err)
	}
	defer db.Close()
	if o.zones == nil {
		o.zones = make(expr.Zones)
	}
	for _, name := range names {
		if o.zones[name], err = db.Zone(o.t.Context(), name); err != nil {
			o.t.Fatal(err)
		}
		if o.zones[name] == nil {
			o.t.Errorf("the server has no time zone %s", name)
		}
	}
}

// histories are zones that are different from each other: with and without summer time,
// before and behind the date line, at odd offsets and with odd changes; abbreviations of
// one meaning and of several; rules.
var histories = []string{
	"Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "Europe/Istanbul", "Europe/Lisbon", "America/New_York", "America/St_Johns",
	"America/Sao_Paulo", "America/Juneau", "America/Caracas", "America/Scoresbysund", "America/Mexico_City", "Asia/Kathmandu", "Asia/Kolkata",
	"Asia/Tehran", "Asia/Gaza", "Asia/Manila", "Asia/Tokyo", "Asia/Pyongyang", "Asia/Jerusalem", "Australia/Lord_Howe", "Australia/Sydney", "Pacific/Apia",
	"Pacific/Kwajalein", "Pacific/Chatham", "Pacific/Auckland", "Africa/Casablanca", "Africa/Cairo", "Africa/Monrovia", "Africa/Freetown", "Antarctica/Troll",
	"CET", "EST5EDT", "EST", "CEST", "PDT", "MSK", "ALMT", "IST", "CET-1CEST,M3.5.0,M10.5.0/3", "<-03>3<-02>,M10.3.0/0,M2.3.0/0", "AAA+5BBB", "XXX-3:07:11",
}

// TestZoneHistories compares what zones do here and in Postgres, in both directions: at
// and around all their changes, and at random times from the first to the last there are.
func TestZoneHistories(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 19))}
	o := newOracle(t)
	names := histories
	if *everyZone {
		rows, err := o.query("select name from pg_timezone_names where name !~ '^(posix|right)/' union select abbrev from pg_timezone_abbrevs order by 1")
		if err != nil {
			t.Fatal(err)
		}
		names = nil
		for _, r := range rows {
			names = append(names, string(r[0]))
		}
	}
	compared := 0
	for _, name := range names {
		folded := strings.ToLower(name)
		if _, err := expr.Compile("timestamp '2000-01-01' at time zone "+quote(name)+" is null", nil, nil); err != nil {
			o.learn(folded)
		}
		compared += o.compareZone(name, g.moments(o.zones[folded]))
	}
	t.Logf("%d zones, %d conversions", len(names), compared)
	if compared < 2000*len(names) {
		t.Errorf("only %d conversions were compared", compared)
	}
}

// moments are times, in microseconds since 2000-01-01, around the changes of a zone and
// elsewhere. Far in the future there are too many to take all.
func (g *generator) moments(z *expr.Zone) []int64 {
	const second, day = 1000000, 86400 * 1000000
	var list []int64
	if z != nil {
		utc, local := z.Changes()
		for _, c := range slices.Concat(utc, local) {
			if c.At < 110*365*day || g.chance(20) {
				for _, d := range []int64{0, 1, 3600 * second} {
					list = append(list, c.At+d, c.At-d)
				}
			}
		}
	}
	for range 1500 {
		list = append(list, (g.Int64N(109200000)-2451000)*day+g.Int64N(day))
	}
	for range 500 {
		list = append(list, g.Int64N(800*365*day)-400*365*day)
	}
	return list
}

// compareZone converts times to a zone and from it, here and in Postgres.
func (o *oracle) compareZone(name string, moments []int64) int {
	o.t.Helper()
	cols := []expr.Column{{Name: "l", Type: expr.Type{OID: 1114, Name: "timestamp"}}, {Name: "u", Type: expr.Type{OID: 1184, Name: "timestamptz"}}}
	toUTC, _, err := expr.ValueIn(o.zones, "l at time zone "+quote(name), cols)
	if err != nil {
		o.t.Errorf("%s: %v", name, err)
		return 0
	}
	toZone, _, err := expr.ValueIn(o.zones, "u at time zone "+quote(name), cols)
	if err != nil {
		o.t.Fatal(err)
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(moments), " ", ","), "[]")
	rows, err := o.query(fmt.Sprintf(`select l, l::timestamptz, l at time zone %[1]s, l::timestamptz at time zone %[1]s from (
		select date '2000-01-01' + (u / 86400000000)::int + (u %% 86400000000) * interval '1 microsecond' as l from unnest('{%[2]s}'::int8[]) u offset 0) t`, quote(name), list))
	if err != nil {
		o.t.Fatal(name, err)
	}
	faults := 0
	for _, r := range rows {
		row := wal.Tuple{r[0], r[1]}
		got1, err1 := toUTC(row)
		got2, err2 := toZone(row)
		if err := errors.Join(err1, err2); err != nil || string(got1) != string(r[2]) || string(got2) != string(r[3]) {
			o.t.Errorf("%s: %s: here %s and %s, Postgres %s and %s (%v)", name, r[0], got1, got2, r[2], r[3], err)
			if faults++; faults == 5 {
				break
			}
		}
	}
	return 2 * len(rows)
}

// TestZoneLimits: the first and the last times there are, beyond which there is nothing.
func TestZoneLimits(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	o.learn("asia/tokyo", "america/new_york", "msk")
	var exprs, types []string
	for _, zone := range []string{"Asia/Tokyo", "America/New_York", "MSK"} {
		for _, at := range []string{"4714-11-24 00:00 BC", "4714-11-24 03:00 BC", "4714-11-24 08:59:59.999999 BC", "4714-11-24 09:18:58 BC", "4714-11-24 09:19 BC", "4714-11-25 BC",
			"294276-12-31 23:59:59.999999", "294276-12-31 15:00", "294276-12-31 14:59:59.999999", "294276-12-31 19:00", "294276-12-31 21:00", "infinity", "-infinity"} {
			exprs = append(exprs, "timestamp '"+at+"' at time zone "+quote(zone), "timestamptz '"+at+"' at time zone "+quote(zone))
			types = append(types, "timestamptz", "timestamp")
		}
		exprs, types = append(exprs, "null::timestamp at time zone "+quote(zone), "timestamp '2000-01-01' at time zone null"), append(types, "timestamptz", "timestamptz")
	}
	o.checkFolding(exprs, types, func(string) bool { return false })
}

// TestGrid: no zone has two changes that pgquery's grid could miss. Go's data is not the
// server's, but what a version of the data adds has never been that close.
func TestGrid(t *testing.T) {
	o := newOracle(t)
	rows, err := o.query("select name from pg_timezone_names where name !~ '^(posix|right)/' order by 1")
	if err != nil {
		t.Fatal(err)
	}
	zones, least, whose := 0, time.Hour*1e5, ""
	first, last := time.Now(), time.Now()
	for _, r := range rows {
		loc, err := time.LoadLocation(string(r[0]))
		if err != nil {
			continue // the system's own names
		}
		zones++
		changes := transitions(loc)
		for i, at := range changes {
			if i > 0 && at.Sub(changes[i-1]) < least {
				least, whose = at.Sub(changes[i-1]), string(r[0])+" "+at.String()
			}
		}
		if n := len(changes); n > 0 {
			if changes[0].Before(first) {
				first = changes[0]
			}
			if changes[n-1].After(last) {
				last = changes[n-1]
			}
		}
	}
	t.Logf("%d zones, changes from %s to %s, the closest of %s after %s", zones, first, last, whose, least)
	if zones < 400 || least < 3*24*time.Hour || first.Year() < 1810 || last.Year() > 2099 {
		t.Error("the grid is not fine enough, or not long enough")
	}
}

// transitions are the changes of a zone up to where its rule for each year begins.
func transitions(loc *time.Location) []time.Time {
	var list []time.Time
	for t := time.Date(1500, 1, 1, 0, 0, 0, 0, loc); t.Year() < 2099; {
		_, end := t.ZoneBounds()
		if end.IsZero() || !end.After(t) {
			break
		}
		list, t = append(list, end), end
	}
	return list
}

func TestZoneRules(t *testing.T) {
	from := expr.ZoneFrom
	z, err := expr.NewZone("Mars/Port", []expr.Change{{At: from, East: 3600}, {At: 7, East: -7200}}, []expr.Change{{At: from, East: 3600}, {At: 9, East: -7200}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := expr.ReadZone(z.Name(), z.Rules())
	if err != nil || again.Rules() != z.Rules() || again.Offset(6, false) != 3600 || again.Offset(7, false) != -7200 || again.Offset(7, true) != 3600 {
		t.Errorf("%v, %v", again, err)
	}
	// 400 years later and earlier, and beyond what is known, it is the same again.
	const cycle = 146097 * 86400 * 1000000
	for _, at := range []int64{expr.ZoneFrom - 1, expr.ZoneFrom, expr.ZoneUntil - 1, expr.ZoneUntil, expr.ZoneUntil + 500*cycle, expr.ZoneFrom - 10*cycle} {
		want := int64(3600)
		if at > 7 || at < expr.ZoneFrom && (at-expr.ZoneFrom)%cycle+expr.ZoneFrom+cycle >= 7 {
			want = -7200
		}
		if got := z.Offset(at, false); got != want {
			t.Errorf("at %d: %d, want %d", at, got, want)
		}
	}
	for n := range len(z.Rules()) {
		if _, err := expr.ReadZone("x", z.Rules()[:n]); err == nil {
			t.Errorf("rules cut at %d are read", n)
		}
	}
	for _, list := range [][]expr.Change{nil, {{At: 0, East: 1}}, {{At: from, East: 1}, {At: from, East: 2}}, {{At: from, East: 86401}}, {{At: from}, {At: expr.ZoneUntil, East: 1}}} {
		if _, err := expr.NewZone("x", list, list); err == nil {
			t.Errorf("%v is a zone", list)
		}
	}
}

// TestZoneNames: which zone a clause lacks, and which cannot be asked for.
func TestZoneNames(t *testing.T) {
	z, err := expr.NewZone("mars/port", []expr.Change{{At: expr.ZoneFrom, East: 3600}, {At: 7}}, []expr.Change{{At: expr.ZoneFrom, East: 3600}, {At: 7}})
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := expr.NewZone("mst", []expr.Change{{At: expr.ZoneFrom, East: -7 * 3600}}, []expr.Change{{At: expr.ZoneFrom, East: -7 * 3600}})
	if err != nil {
		t.Fatal(err)
	}
	zones := expr.Zones{"mars/port": z, "mst": fixed, "nope": nil, "odd": expr.RefusedZone("odd", "it is odd")}
	for _, c := range []struct{ where, msg, lacks string }{
		{"ts at time zone 'Mars/Port' < ts", "", ""},
		{"ts at time zone 'MARS/port' < ts", "", ""},
		{"ts at time zone 'Europe/Berlin' < ts", `At location 16: the rules of the time zone "Europe/Berlin" are not known here`, "europe/berlin"},
		{"ts at time zone 'CET-1CEST,M3.5.0,M10.5.0/3' < ts", `At location 16: the rules of the time zone "CET-1CEST,M3.5.0,M10.5.0/3" are not known here`, "cet-1cest,m3.5.0,m10.5.0/3"},
		{"ts at time zone 'A0B,J100/0,J100/1:30' < ts", `At location 16: the time zone "A0B,J100/0,J100/1:30" is not supported: of rules, only those like CET-1CEST,M3.5.0,M10.5.0/3 with two months between the changes are`, ""},
		{"ts at time zone 'A0B,M12.1.0,M1.1.0' < ts", `At location 16: the time zone "A0B,M12.1.0,M1.1.0" is not supported: of rules, only those like CET-1CEST,M3.5.0,M10.5.0/3 with two months between the changes are`, ""},
		{"ts at time zone 'nope' < ts", `At location 16: time zone "nope" not recognized`, ""},
		{"ts at time zone 'odd' < ts", `At location 16: the time zone "odd" is not supported: it is odd`, ""},
		{"ts at time zone 'Zürich' < ts", `At location 16: the time zone "Zürich" is not supported, as no name of a zone is like that`, ""},
		{"ts at time zone zone < tz", "At location 3: the time zone must be a constant", ""},
		{"tt at time zone 'MST' < tt", "", ""},
		{"tt at time zone 'Mars/Port' < tt", `At location 16: the time zone "Mars/Port" has no fixed offset: what it is for a time without a date depends on the clock`, ""},
		{"ts at time zone null < ts", "", ""},
	} {
		e, err := zones.Compile(c.where, nil, timeItems)
		var refusal *expr.Error
		switch {
		case c.msg == "" && err == nil:
			if again, err := zones.Reload(e.SQL(), timeItems); err != nil || again.SQL() != e.SQL() || len(again.Zones()) != len(e.Zones()) {
				t.Errorf("%s: read again: %v", e.SQL(), err)
			}
		case !errors.As(err, &refusal) || refusal.Msg != c.msg || refusal.Zone != c.lacks:
			t.Errorf("%s:\n got %v\nwant %s", c.where, err, c.msg)
		}
	}
	e, err := zones.Compile("ts at time zone 'Mars/Port' < ts or tz at time zone 'mars/port' > tz or tt at time zone 'MST' < tt or ts at time zone 'utc' < ts or '2000-01-01Z'::timestamptz at time zone 'mars/port' = ts", nil, timeItems)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Zones(); !slices.Equal(got, []*expr.Zone{z, fixed}) {
		t.Errorf("it looks at %d zones", len(got))
	}
}
