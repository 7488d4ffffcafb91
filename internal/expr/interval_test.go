package expr_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// intervalPieces make up texts that are intervals, nearly are, or are not.
var intervalPieces = strings.Split("1|2|-3|+4|.5|1.25|0|12|100|1-2|-1-11|+7-|1.5-2|1:2|-1:02:03.5|+4:5.6|10:60|10:59:60|1::2|3:4:|5.|-.5|2147483647|99999999999|"+
	"day|days|d|D|mon|month|m|min|h|hour|y|yr|year|w|week|s|sec|ms|msec|us|usecs|microseconds|microsecondly|millennium|mil|c|cent|dec|decade|qtr|timezone|ago|AGO|@|"+
	"infinity|-infinity|epoch|now|at|on|bc|t|P|T|PT|P1Y|P1Y2M|P1DT2H|PT3M4.5S|P-1W|P1-2-3|P0001-02-03T04:05:06|20240102|P20240102T030405|T1:2:3|1Y|2M|3D|4H|e5|E1|/|,|;|_|(|ä|\\|\t|x|1/2|2024-01-02|2024-jan|1.2.3", "|")

// TestIntervalText compares what is read of texts of all kinds.
func TestIntervalText(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	g := &generator{rand.New(rand.NewPCG(*seed, 17))}
	var exprs, types []string
	for range 4 * *rounds {
		var b strings.Builder
		for range 1 + g.IntN(5) {
			b.WriteString(g.of(intervalPieces...) + g.of("", " ", " ", " "))
		}
		e := quote(b.String()) + "::interval"
		switch g.IntN(8) {
		case 0:
			e = quote(b.String()) + "::interval" + g.of(timeMarks["{fields}"]...)
		case 1:
			e = quote(g.spoil(g.interval())) + "::interval"
		}
		exprs, types = append(exprs, e), append(types, "interval")
	}
	// strtod knows numbers like 0x1p3.
	o.checkFolding(exprs, types, func(e string) bool { return strings.Contains(e, "0x") })
}

// TestZones: a zone that we take means the same to Postgres; most are left to it.
func TestZones(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	var exprs, types []string
	for _, zone := range strings.Split("UTC|utc|GMT|Z|ZULU|Zulu|UT|UCT|Etc/UTC|etc/utc|Etc/GMT|Etc/GMT0|Etc/GMT+0|Etc/GMT-0|Etc/GMT+5|Etc/GMT+05|Etc/GMT+12|Etc/GMT+13|Etc/GMT-14|Etc/GMT-15|"+
		"etc/gmt+1:30|GMT+5|GMT0|GMT+0|UTC+3|utc-3|UTC+3:30|UTC+03:30:15|UTC+3:|UTC+3:5|UTC+3:60|UTC+3:30:15:1|+02|-02|+02:30|+2|2|02:00|+0230|-0330|<+03>-3|<foo>5|<foo|<>5|"+
		"Greenwich|Universal|UTC24|UTC25|+15:59:59|+16|+24:00:01|| UTC|UTC |+02 |+ 02|+|-|UTC+|--2|UTC--0|UTC+1:-0|+99|+100|Etc/Zulu|Etc/Universal|Etc/UCT|Etc/Greenwich|Etc/|Etc/GMT+|"+
		"Etc/GMT5|CET|EST|EST5EDT|Europe/Berlin|Nope/Zone|x+3", "|") {
		exprs = append(exprs, "timestamp '2024-07-01 12:00' at time zone "+quote(zone), "timestamptz '2024-12-01 12:00Z' at time zone "+quote(zone))
		types = append(types, "timestamptz", "timestamp")
	}
	o.checkFolding(exprs, types, func(e string) bool { return true })
}
