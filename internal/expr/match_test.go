package expr_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the tables of docs/where.md")

// truth evaluates a clause to TRUE, FALSE or NULL.
func truth(t *testing.T, where string, cols []expr.Column, row wal.Tuple) string {
	t.Helper()
	for _, c := range []struct{ form, result string }{
		{"%s", "TRUE"}, {"NOT (%s)", "FALSE"}, {"(%s) IS UNKNOWN", "NULL"},
	} {
		e, err := expr.Compile(fmt.Sprintf(c.form, where), nil, cols)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		ok, err := e.Match(row)
		if err != nil {
			return "error: " + err.Error()
		}
		if ok {
			return c.result
		}
	}
	return "none"
}

// TestTruthTables goes through all combinations of three truth values.
func TestTruthTables(t *testing.T) {
	cols := []expr.Column{col("a", 16, "bool"), col("b", 16, "bool"), col("c", 16, "bool")}
	// As ranks FALSE 0, NULL 1, TRUE 2: AND is the least, OR the greatest.
	texts := [][]byte{[]byte("f"), nil, []byte("t")}
	names := []string{"FALSE", "NULL", "TRUE"}
	check := func(where string, row wal.Tuple, want int) {
		t.Helper()
		if got := truth(t, where, cols, row); got != names[want] {
			t.Errorf("%s for %q: got %s, want %s", where, row, got, names[want])
		}
	}
	is := func(b bool) int {
		if b {
			return 2
		}
		return 0
	}
	for i := range 27 {
		a, b, c := i%3, i/3%3, i/9
		row := wal.Tuple{texts[a], texts[b], texts[c]}
		check("a AND b AND c", row, min(a, b, c))
		check("a OR b OR c", row, max(a, b, c))
		check("a OR b AND c", row, max(a, min(b, c)))
		check("NOT a", row, 2-a)
		check("a IS TRUE", row, is(a == 2))
		check("a IS NOT TRUE", row, is(a != 2))
		check("a IS FALSE", row, is(a == 0))
		check("a IS NOT FALSE", row, is(a != 0))
		check("a IS UNKNOWN", row, is(a == 1))
		check("a IS NOT UNKNOWN", row, is(a != 1))
		check("a IS NULL", row, is(a == 1))
		check("a IS DISTINCT FROM b", row, is(a != b))
		check("a IS NOT DISTINCT FROM b", row, is(a == b))
		equal := 1
		if a != 1 && b != 1 {
			equal = is(a == b)
		}
		check("a = b", row, equal)
		check("a <> b", row, 2-equal)
		check("a IN (b)", row, equal)
		check("a NOT IN (b)", row, 2-equal)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct{ column, value, where, want string }{
		{"n", "1", "n IN (1, NULL)", "TRUE"},
		{"n", "2", "n IN (1, NULL)", "NULL"},
		{"n", "1", "n NOT IN (1, NULL)", "FALSE"},
		{"n", "2", "n NOT IN (1, NULL)", "NULL"},
		{"n", "NULL", "n = 1", "NULL"},
		{"n", "NULL", "NOT (n > 1)", "NULL"},
		{"n", "5", "n BETWEEN SYMMETRIC 9 AND 1", "TRUE"},
		{"n", "5", "n NOT BETWEEN 7 AND NULL", "TRUE"},
		{"n", "5", "n = 5.00", "TRUE"},
		{"title", "a.c", "title LIKE 'a.c'", "TRUE"},
		{"title", "abc", "title LIKE 'a.c'", "FALSE"},
		{"title", "a\nb", "title LIKE 'a%'", "TRUE"},
		{"title", "日本", "title LIKE '__'", "TRUE"},
		{"title", "100%", `title LIKE '100\%'`, "TRUE"},
		{"title", "100x", `title LIKE '100\%'`, "FALSE"},
		{"title", "", "title LIKE ''", "TRUE"},
		{"title", "", "title LIKE '%'", "TRUE"},
		{"title", "NULL", "title NOT LIKE 'x'", "NULL"},
		{"title", "AbC", "title ILIKE 'a%c'", "TRUE"},
		{"title", "a ", "title = 'a'", "FALSE"},
		{"c", "ab   ", "c = 'ab'", "TRUE"},
		{"c", "ab   ", "c LIKE 'ab'", "FALSE"},
		{"price", "1.0", "price = 1.00", "TRUE"},
		{"price", "NaN", "price = 'NaN'", "TRUE"},
		{"price", "NaN", "price > 'Infinity'", "TRUE"},
		{"f4", "0.1", "f4 = 0.1", "FALSE"},
		{"f4", "0.1", "f4 = 0.1::float4", "TRUE"},
		{"f4", "-0", "f4 = 0", "TRUE"},
		{"userId", "9007199254740993", `"userId" = 9007199254740992`, "FALSE"},
		{"d", "infinity", "d > '5874897-12-31'", "TRUE"},
		{"d", "0044-03-15 BC", "d < '0001-01-01'", "TRUE"},
		{"ts", "2024-01-01 00:00:00", "ts = '2024-01-01Z'", "TRUE"},
		{"mood", "later", "mood = 'sad'", "FALSE"},
		{"mood", "later", "mood < 'ok'", "error: evaluate <: enum label is not known"},
		{"mood", "sad", "mood < 'ok'", "TRUE"},
		{"n", "x", "n = 1", `error: read column "n" as int4: "x": invalid syntax`},
		{"title", "x", "title::int4 = 1", "error: cast text to int4: invalid syntax"},
		{"en", "ÄRGER", "en ILIKE 'ärg%'", "TRUE"},
		{"en", "İ", "en ILIKE 'i'", "error: evaluate ~~*: the lower case of a letter depends on the server's locale"},
		{"pair", "(,)", "pair IS NULL", "TRUE"},
		{"pair", "(,)", "pair IS NOT NULL", "FALSE"},
		{"pair", `(1,"a,"")")`, "pair IS NOT NULL", "TRUE"},
		{"pair", "(1,)", "pair IS NULL", "FALSE"},
		{"pair", "(1,)", "pair IS NOT NULL", "FALSE"},
		{"pair", "(,)", "pair IS DISTINCT FROM NULL", "TRUE"},
	} {
		row := make(wal.Tuple, len(items))
		for i := range items {
			if items[i].Name == c.column && c.value != "NULL" {
				row[i] = []byte(c.value)
			}
		}
		if got := truth(t, c.where, items, row); got != c.want {
			t.Errorf("%s with %s = %q: got %s, want %s", c.where, c.column, c.value, got, c.want)
		}
	}
}

// TestShortRow: a row without the column is an error, not a NULL.
func TestShortRow(t *testing.T) {
	for _, where := range []string{"n = 1", "n is null", "n < 1.5", "title = 'x'", "n in (1, 2)"} {
		e, err := expr.Compile(where, nil, items)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Match(wal.Tuple{}); err == nil {
			t.Errorf("%s: no error", where)
		}
	}
}

func TestAppendKey(t *testing.T) {
	for _, c := range []struct {
		oid       uint32
		a, b      string
		indexable bool
	}{
		{1700, "1.0", "1.00", true},
		{1700, "-0.0", "0", true},
		{1042, "ab  ", "ab", true},
		{16, "t", "true", true},
		{1114, "2024-01-01 00:00:00", "2024-01-01 00:00:00", true},
		{700, "0", "-0", true},
		{701, "NaN", "NaN", true},
		{1186, "P1M-1DT24H", "P30D", true},
		{1186, "P-1DT1H", "PT-23H", true},
		{1266, "10:00:00+02", "10:00:00+02:00", true},
		{3802, "{}", "{}", false},
		{23, "x", "x", false},
	} {
		typ := expr.Type{OID: c.oid, Base: c.oid}
		a, ok := expr.AppendKey(nil, typ, []byte(c.a))
		b, _ := expr.AppendKey(nil, typ, []byte(c.b))
		if ok != c.indexable || string(a) != string(b) {
			t.Errorf("type %d: %q gives %q, %q gives %q, %v", c.oid, c.a, a, c.b, b, ok)
		}
	}
}

// The keys' bytes order as the values do.
func TestKeysOrder(t *testing.T) {
	for oid, list := range map[uint32]string{
		20:   "-9223372036854775808 -256 -255 -1 0 1 255 256 9223372036854775807",
		1700: "-Infinity -1000 -99.9 -12.5 -12.35 -12.3 -12 -0.5 -0.05 -0.049 0 0.049 0.05 0.5 9 10 10.01 10.1 99.9 1000 Infinity NaN",
		701:  "-Infinity -1e+300 -2 -1.5 -1e-300 0 1e-300 1.5 2 1e+300 Infinity NaN",
		1082: "-infinity 1999-12-31 2000-01-01 2024-02-29 infinity",
		1083: "00:00:00 00:00:00.000001 10:00:00 23:59:59.999999 24:00:00",
		1266: "00:00:00+15:59 12:00:00+02 10:00:00+00 09:00:00-01 24:00:00-15:59",
		1186: "-infinity P-178956970Y-8M P-1M P-29DT-23H PT-0.000001S PT0S PT0.000001S PT23H59M P1D P29DT23H P1M P31D P1Y P2147483647D P178956970Y infinity",
		1042: "a ab abc b",
	} {
		last := ""
		for _, text := range strings.Fields(list) {
			key, ok := expr.AppendKey(nil, expr.Type{OID: oid, Base: oid}, []byte(text))
			if !ok || string(key) <= last {
				t.Errorf("type %d: the key of %s is %x, %v, after %x", oid, text, key, ok, last)
			}
			last = string(key)
		}
	}
}

// benchRow is a row of items.
var benchRow = wal.Tuple{[]byte("42"), []byte("7"), []byte("the title"), []byte("t"), []byte("f"),
	[]byte("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), nil, []byte("9007199254740993"), []byte("ab   "), []byte("12.50"),
	[]byte("2024-02-29"), []byte("2024-02-29 10:11:12.5"), []byte("0.1"), []byte("sad")}

var hot = []string{
	"id = 42", "id <> 41 and n < 9", "title = 'the title'", "ok", "ok = true", "not ok2",
	"u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", `"userId" >= 5`, "id in (1, 2, 42)", "price = 12.5", "price > 3",
	"id = 42 and title = 'the title' and ok", "id = 1 or title like '%itl%'", "title like 'the%'", "title like 't_e %e'",
	"title ilike '%TITLE'", "c = 'ab'", "d > '2024-01-01'", "ts < '2025-01-01'", "f4 > 0", "mood = 'sad'", "j is null",
	"n is distinct from 8", "n between 1 and 9", "n > 1.5", "c like 'ab%'",
}

// TestNoAllocation: what most clauses do costs no memory.
func TestNoAllocation(t *testing.T) {
	for _, where := range hot {
		e, err := expr.Compile(where, nil, items)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := e.Match(benchRow); err != nil || !ok {
			t.Errorf("%s: %v, %v", where, ok, err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = e.Match(benchRow) }); n != 0 {
			t.Errorf("%s: %v allocations", where, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, where := range hot {
		e, err := expr.Compile(where, nil, items)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(where, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Match(benchRow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := expr.Compile("id = $1 AND title LIKE 'a%' AND (ok OR n > 5)", map[string]string{"1": "7"}, items); err != nil {
			b.Fatal(err)
		}
	}
}
