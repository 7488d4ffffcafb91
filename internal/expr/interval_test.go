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
