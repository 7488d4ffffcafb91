package expr_test

import (
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

// TestLargeValues: few operations on large values are computed, many of them fail
// the row: they would take minutes, or gigabytes.
func TestLargeValues(t *testing.T) {
	rep := strings.Repeat
	cols := []expr.Column{col("p", 1700, "numeric"), col("t", 25, "text"), {Name: "a", Type: expr.Type{OID: 1007, Base: 1007, Name: "_int4", Array: true}, Deterministic: true, Bytewise: true}}
	long := rep("7", 131000) + "." + rep("7", 16383)
	for _, c := range []struct {
		number, text, array, where string
		large                      bool
	}{
		{number: long, where: "p * 1 > 0"},
		{number: long, where: "p + p - p > p / 2 AND p % 10 > 0"},
		{number: long, where: "p * 1 < 0" + rep(" OR p * 1 < 0", 3000), large: true},
		{number: long, where: "p * 1 > 0" + rep(" AND p - 1 > 0", 100), large: true},
		{number: long, where: "p > 1" + rep(" AND p > 2", 5000)}, // nothing is computed
		{number: rep("7", 145), where: "1 < p" + rep("*p", 900), large: true},
		{number: rep("7", 20), where: "1 < p" + rep("*p", 400)},
		{number: "7", where: "1 < p" + rep("*p", 900) + rep(" OR p + 1 < p", 3000)},
		{text: rep("x", 1<<20), where: "t || t <> 'a' AND lower(t) = t"},
		{text: rep("x", 1<<20), where: "concat(t, t, t) <> t"},
		{text: rep("x", 1<<20), where: "concat(t" + rep(",t", 10000) + ") = 'a'", large: true},
		{text: rep("x", 1<<20), where: "t" + rep("||t", 900) + " = 'a'", large: true},
		{text: "x", where: "t" + rep("||t", 900) + " <> 'a'"},
		{array: "{1" + rep(",1", 100000) + "}", where: "a || a <> a"},
		{array: "{1" + rep(",1", 100000) + "}", where: "a" + rep("||a", 900) + " = '{}'", large: true},
	} {
		e, err := expr.Compile(c.where, nil, cols)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := e.Match(wal.Tuple{[]byte(c.number + rep("1", 1-min(1, len(c.number)))), []byte(c.text), []byte(c.array + rep("{}", 1-min(1, len(c.array))))})
		switch name := c.where[:min(len(c.where), 40)]; {
		case c.large && (err == nil || !strings.Contains(err.Error(), "too long")):
			t.Errorf("%s…: %v, %v", name, ok, err)
		case !c.large && (err != nil || !ok):
			t.Errorf("%s…: %v, %v", name, ok, err)
		}
	}
}
