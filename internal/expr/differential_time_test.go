package expr_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// timeKinds are the types of the expressions below.
var timeKinds = []string{"interval", "interval", "interval", "timestamp", "timestamp", "timestamptz", "date", "time", "timetz", "number", "bool", "bool", "text"}

// timeTerm is an expression of a type, over the columns and constants of the
// types of date and time.
func (g *generator) timeTerm(kind string, depth int) string {
	if g.chance(60) { // mostly to be refused
		kind = g.of(timeKinds...)
	}
	if depth == 0 || g.chance(6) {
		return g.timeAtom(kind)
	}
	sub := func(kind string) string { return g.timeTerm(kind, depth-1) }
	forms := timeForms[kind]
	form := forms[g.IntN(len(forms))]
	for _, k := range []string{"timestamptz", "timestamp", "interval", "timetz", "time", "date", "number", "int4", "bool"} {
		for strings.Contains(form, "<"+k+">") {
			form = strings.Replace(form, "<"+k+">", sub(k), 1)
		}
	}
	if strings.Contains(form, "<same>") {
		k := g.of("interval", "interval", "timestamp", "timestamptz", "date", "time", "timetz")
		for strings.Contains(form, "<same>") {
			form = strings.Replace(form, "<same>", sub(k), 1)
		}
	}
	for mark, list := range timeMarks {
		for strings.Contains(form, mark) {
			form = strings.Replace(form, mark, g.of(list...), 1)
		}
	}
	return form
}

// timeForms are the ways to make a value of a type; what is in <> is replaced.
var timeForms = map[string][]string{
	"interval": {"(<interval> + <interval>)", "(<interval> - <interval>)", "(<interval> * <number>)", "(<number> * <interval>)",
		"(<interval> / <number>)", "(- <interval>)", "(<timestamp> - <timestamp>)", "(<timestamptz> - <timestamptz>)", "(<time> - <time>)",
		"<time>::interval", "(<interval>)::interval{fields}", "coalesce(<interval>, iv2)", "(- <time>)", "(<timestamp> - <date>)",
		"(<timestamptz> - <timestamp>)", "(<interval> + <time>)", "(<interval> + '1 day')", "('-1:30' + <interval>)", "justify_hours(<interval>)", "justify_days(<interval>)", "justify_interval(<interval>)",
		"date_trunc('{unit}', <interval>)", "age(<timestamp>, <timestamp>)", "age(<timestamptz>, <date>)", "justify_hours(<time>)",
		"greatest(<interval>, iv, '1 day')", "least(iv2, <interval>, <time>)", "case when b then <interval> else iv end", "nullif(<interval>, iv)", "(array[<interval>, iv]::interval{fields}[])[1]", "(array[<interval>]::interval{fields}[])[1]"},
	"timestamp": {"(<date> + <interval>)", "(<interval> + <date>)", "(<date> - <interval>)", "(<timestamp> + <interval>)",
		"(<interval> + <timestamp>)", "(<timestamp> - <interval>)", "(<date> + <time>)", "(<time> + <date>)", "<date>::timestamp",
		"<timestamptz>::timestamp", "coalesce(<timestamp>, d2)", "(<timestamp> + '1 mon')", "('P1D' + <timestamp>)",
		"date_trunc('{unit}', <timestamp>)", "(<timestamptz> at time zone {zone})", "timezone({zone}, <timestamptz>)", "(<date> at time zone {zone})",
		"(<timestamp>)::timestamp({digits})", "cast(<timestamp> as timestamp({digits}) without time zone)", "timestamp({digits}) '1999-12-31 23:59:59.5'"},
	"timestamptz": {"(<timestamptz> + <interval>)", "(<interval> + <timestamptz>)", "(<timestamptz> - <interval>)", "(<date> + <timetz>)",
		"(<timetz> + <date>)", "<timestamp>::timestamptz", "<date>::timestamptz", "coalesce(<timestamptz>, ts2)", "coalesce(<date>, tz)",
		"date_trunc('{unit}', <timestamptz>)", "date_trunc('{unit}', <date>)", "(<timestamp> at time zone {zone})", "timezone({zone}, <timestamp>)",
		"greatest(<timestamp>, <timestamptz>, d)", "cast(<timestamptz> as timestamp({digits}) with time zone)", "(<date>)::timestamptz({digits})"},
	"date": {"<timestamp>::date", "<timestamptz>::date", "(<date> + {int})", "(<date> - {int})", "coalesce(<date>, d)"},
	"time": {"(<time> + <interval>)", "(<interval> + <time>)", "(<time> - <interval>)", "<timestamp>::time", "<timestamptz>::time",
		"<interval>::time", "<timetz>::time", "coalesce(<time>, tm)",
		"(<time>)::time({digits})"},
	"timetz": {"(<timetz> + <interval>)", "(<interval> + <timetz>)", "(<timetz> - <interval>)", "<timestamptz>::timetz", "<time>::timetz",
		"coalesce(<timetz>, tm2)", "(<timetz> at time zone {zone})", "timezone({zone}, <time>)",
		"(<timetz>)::time({digits}) with time zone"},
	"number": {"(<date> - <date>)", "i4", "f8", "n", "{factor}", "extract({part} from <same>)", "extract({part} from <same>)",
		"date_part('{part}', <same>)", "date_part('{part}', <same>)"},
	"bool": {"(<same>{op}<same>)", "(<same>{op}<same>)", "(<same>{op}<same>)", "(<interval> between iv and iv2)", "(<timestamptz> not between d and tz)", "(<date>{op}<timestamptz>)",
		"(<timestamp>{op}<timestamptz>)", "(<timestamptz>{op}<date>)", "(<timestamp>{op}<date>)", "(<same> in (<same>, <same>))",
		"(<same> is distinct from <same>)", "(<time>{op}<interval>)", "(<time>{op}<timetz>)", "(<interval>{op}'1 day')", "(<timestamptz> = any(array[<timestamptz>, <date>]))",
		"(array[<interval>, <interval>]{op}array[<interval>])", "((<interval>)::text{op}(<interval>)::text)", "(<same>)::text in ('PT0S', 'P1D', '00:00:00')", "(<timestamp> between <timestamp> and NULL)",
		"isfinite(<date>)", "isfinite(<timestamp>)", "isfinite(<timestamptz>)", "isfinite(<interval>)"},
	"text": {"(<same>)::text", "interval_out(<interval>)::text", "time_out(<time>)::text", "timetz_out(<timetz>)::text", "timestamp_out(<timestamp>)::text",
		"timestamptz_out(<timestamptz>)::text", "((<same>)::text || (<same>)::text)"},
}

var timeMarks = map[string][]string{
	"{unit}": {"microseconds", "millisecond", "second", "Minute", "hour", "day", "week", "month", "quarter", "year", "DECADE", "century", "millennium", "qtr", "d"},
	"{part}": {"microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century", "millennium",
		"epoch", "epoch", "dow", "isodow", "doy", "isoyear", "timezone", "timezone_hour", "timezone_minute", "h", "m", "julian"},
	"{digits}": {"0", "1", "3", "5", "6"},
	"{zone}": {"'UTC'", "'utc'", "'Etc/GMT+5'", "'Etc/GMT-14'", "'GMT0'", "'Z'", "'-02'", "'+5:30'", "'UTC-03:30:15'", "'<x>7'", "'gmt+11'", "interval '2 hours'",
		"'Europe/Berlin'", "'europe/berlin'", "'America/New_York'", "'Australia/Lord_Howe'", "'EST'", "'msk'", "'Asia/Kathmandu'", "'WET0WEST,M3.5.0/1,M10.5.0'",
		"interval '-5:30:15.9'", "'1:00'::interval", "tm::interval"},
	"{op}":     {" = ", " <> ", " < ", " <= ", " > ", " >= ", " is not distinct from "},
	"{int}":    {"1", "-7", "i2", "i4", "365", "1000000"},
	"{factor}": {"2", "-1", "0.5", "1.5", "3", "0.1", "0", "1e10", "-0.333", "7", "24", "'NaN'::float8", "'Infinity'::float8", "1e-7", "'2'", "f4"},
	"{fields}": {" year", " month", " day", " hour", " minute", " second", " year to month", " day to hour", " day to minute",
		" day to second(2)", " hour to minute", " hour to second", " minute to second(0)", " second(3)", "(0)", "(4)"},
}

func (g *generator) timeAtom(kind string) string {
	switch kind {
	case "bool":
		return g.of("b", "b2", "true", "d is null", "iv is not null")
	case "text":
		return g.of("t", "v", "'P1D'", "iv::text")
	case "number":
		return g.of("i2", "i4", "f8", "n", "2", "0.5", "-3")
	}
	if g.chance(3) {
		if kind == "interval" && g.chance(4) {
			return "interval " + quote(g.of("1", "1-2", "3:04", "-5", "1 2:03:04.56", "7 days", "-1.5")) + g.of(timeMarks["{fields}"][:14]...)
		}
		text := g.value(kind)
		// What has no time of day would be folded to NULL by us, not by Postgres;
		// the last timestamp may be too far from others.
		for strings.Contains(text, "infinity") || strings.HasPrefix(text, "294276") {
			text = g.value(kind)
		}
		return quote(text) + "::" + kind
	}
	return g.spell(g.of(timeColumns(kind)...))
}

func timeColumns(kind string) []string {
	var names []string
	for _, c := range testColumns {
		if c.decl == kind {
			names = append(names, c.name)
		}
	}
	return slices.Clip(names)
}

// TestDifferentialTime computes random expressions of dates, times and intervals
// on random rows here and in Postgres.
func TestDifferentialTime(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 13))}
	o := newOracle(t)
	o.fill(g, 50)
	o.learn("europe/berlin", "america/new_york", "australia/lord_howe", "est", "msk", "asia/kathmandu", "wet0west,m3.5.0/1,m10.5.0")
	o.computes(20000, func() string { return g.timeTerm(g.of(timeKinds...), 1+g.IntN(3)) })
}

// interval is a text that interval_in takes: each of its forms, and edge values.
func (g *generator) interval() string {
	switch g.IntN(12) {
	case 0:
		return g.of("1 day", "24 hours", "1 mon", "30 days", "-1 mon", "1 year", "365 days 5:49:12", "0", "PT0S", "1 day ago", "-24 hours")
	case 1:
		return g.of("178956970 years 7 mons", "-178956970 years -8 mons", "2147483647 days", "-2147483648 days",
			"2562047788:00:54.775807", "-2562047788:00:54.775807", "P178956970Y7MT0.000001S", "100000000:00:00", "290000 years", "106751991 days")
	case 2:
		return g.designators()
	case 3:
		return g.of("", "-", "+") + fmt.Sprintf("%d-%d", g.IntN(300), g.IntN(12)) + g.of("", " 3 4:05:06", " -1 2:03", " +1 -2:03:04.5")
	case 4:
		return fmt.Sprintf("%s%d %s%s", g.of("", "-", "+"), g.IntN(40), g.of("", "-", "+"), g.clock())
	case 5:
		return g.of("", "-", "+") + g.clock()
	}
	var b strings.Builder
	b.WriteString(g.of("", "", "", "@ "))
	units := []string{"years", "mons", "weeks", "days", "hours", "minutes", "seconds"}
	timed := false
	for i, u := range units {
		if !g.chance(3) {
			continue
		}
		timed = timed || i > 3
		n := fmt.Sprint(g.IntN(g.of3(4, 70, 3000)))
		if g.chance(3) {
			n += g.of(".5", ".25", ".1", ".333333", ".999999", ".0000005", ".12345678")
		}
		fmt.Fprintf(&b, "%s%s%s%s%s", g.of("", "", "-", "+"), n, g.of(" ", ""), g.unit(u), g.of(" ", " ", ", "))
	}
	switch g.IntN(6) {
	case 0:
		if !timed {
			b.WriteString(g.of(g.clock(), "1500 ms", "7 microseconds", "1 millisecond 2 us"))
		}
	case 1:
		b.WriteString(g.of("2 decades", "1 century", "1 mil", "1 c"))
	}
	if b.Len() < 3 {
		return "1.5 days"
	}
	return b.String() + g.of("", "", "", "", " ago")
}

func (g *generator) of3(a, b, c int) int { return []int{a, b, c}[g.IntN(3)] }

// unit spells a unit in one of the ways that mean it.
func (g *generator) unit(name string) string {
	if g.chance(2) {
		return name
	}
	switch name {
	case "years":
		return g.of("y", "YEAR", "yr", "yrs")
	case "mons":
		return g.of("mon", "Months", "month")
	case "weeks":
		return g.of("w", "week")
	case "days":
		return g.of("d", "Day")
	case "hours":
		return g.of("h", "hr", "hrs", "HOUR")
	case "minutes":
		return g.of("m", "min", "mins", "minute")
	}
	return g.of("s", "sec", "secs", "Second")
}

func (g *generator) clock() string {
	s := fmt.Sprintf("%d:%02d", g.IntN(g.of3(3, 30, 500)), g.IntN(60))
	if g.chance(2) {
		s += fmt.Sprintf(":%02d", g.IntN(60)) + g.of("", "", ".5", ".123456")
	}
	return s
}

// designators is an interval as ISO 8601 has it.
func (g *generator) designators() string {
	if g.chance(3) {
		return g.of("P0001-02-03T04:05:06", "P1-2-3", "P00010203T040506", "P0001-02-03", "PT04:05:06.5", "P1-2", "P00010203", "PT040506", "P1", "PT1", "PT1:2",
			"P1.5-2", "P-1-2-3T-4:-5:-6.5", "P20240229T101112.5")
	}
	var b strings.Builder
	b.WriteByte('P')
	number := func() string {
		return g.of("", "", "-") + fmt.Sprint(g.IntN(g.of3(3, 30, 4000))) + g.of("", "", "", "", ".5", ".1", ".75", "e1")
	}
	for _, u := range "YMWD" {
		if g.chance(3) {
			b.WriteString(number() + string(u))
		}
	}
	if g.chance(2) {
		b.WriteByte('T')
		for _, u := range "HMS" {
			if g.chance(2) {
				b.WriteString(number() + string(u))
			}
		}
	}
	if b.Len() == 1 {
		return "P1D"
	}
	return b.String()
}
