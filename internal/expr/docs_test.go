package expr_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// forms are the constructs that are neither operators nor functions, each with an
// example.
var forms = []struct{ form, clause string }{
	{"`AND`, `OR`, `NOT`", "ok AND NOT ok2 OR n = 1"},
	{"`CAST(x AS t)`, `x::t`, `t 'literal'`", "CAST(n AS text) = '5' AND d > date '2024-01-01'"},
	{"`timestamp(p)`, `time(p)`, with a time zone or without", "ts::timestamp(0) = '2024-01-01'"},
	{"`interval '…' fields`, `x::interval fields`, `interval(p)`", "ts + interval '1:30' hour to minute > '2024-01-01'"},
	{"`varchar(n)`, `char(n)`, `numeric(p, s)`, `float(n)`", "title::varchar(3) = 'abc'"},
	{"`x IS [NOT] NULL`, of any type", "pair IS NOT NULL"},
	{"`x IS [NOT] TRUE`, `FALSE`, `UNKNOWN`", "ok IS NOT TRUE"},
	{"`x IS [NOT] DISTINCT FROM y`", "n IS DISTINCT FROM 5"},
	{"`x [NOT] IN (…)`", "n NOT IN (1, 2, 3)"},
	{"`x [NOT] BETWEEN [SYMMETRIC] a AND b`", "n BETWEEN 1 AND 9"},
	{"`x [NOT] LIKE p [ESCAPE e]`, `ILIKE`", "title LIKE '100!%%' ESCAPE '!'"},
	{"`x op ANY (array)`, `SOME`, `ALL`", "title LIKE ANY ('{a%,b%}')"},
	{"`ARRAY[…]`, `a[i]`, `a[i:j]`", "tags[1] = 'a' AND tags[2:3] = ARRAY['b', 'c']"},
	{"`(a, b) op (c, d)`, `ROW(…)`, also in `IN` and `IS`", "(n, id) > (1, 2)"},
	{"`COALESCE(…)`", "COALESCE(n, 0) = 0"},
	{"`GREATEST(…)`, `LEAST(…)`", "GREATEST(n, id) > 5"},
	{"`NULLIF(x, y)`", "NULLIF(n, 0) = 1"},
	{"`CASE WHEN … THEN … [ELSE …] END`, `CASE x WHEN …`", "CASE n WHEN 1 THEN ok ELSE ok2 END"},
	{"`EXTRACT(unit FROM x)`", "EXTRACT(year FROM ts) = 2024"},
	{"`x AT TIME ZONE z`", "ts AT TIME ZONE 'Europe/Berlin' > '2024-01-01'"},
	{"`$1` … `$n`", "'5' = title"},
}

// refusals are what Postgres has and this language has not, each with a clause
// that shows it.
var refusals = []struct{ what, clause, why string }{
	{"more than six different powers in a clause", "n^.1+n^.2+n^.3+n^.4+n^.5+n^.6+n^.7 > 9", "each of them may be one of two values, and the clause is evaluated for all choices"},
	{"regular expressions: `~`, `~*`, `SIMILAR TO`", "title ~ 'a.c'", "the server's engine, with its locale, would have to be rebuilt"},
	{"the order of text whose collation does not compare bytes; of literals alone", "en < 'x'", "it depends on the C library's or ICU's version. A column with `COLLATE \"C\"` has an order"},
	{"`lower()`, `upper()`, `ILIKE` where the locale is ICU's, Turkish, Azeri or Lithuanian, or the encoding is not UTF8", "lower(xx) = 'a'",
		"they follow rules of the language. With other locales, letters beyond Latin, Greek and Cyrillic fail on the row; constants of ASCII without an i are taken anywhere"},
	{"collations that are not deterministic", "nd = 'x'", "texts are equal there that differ"},
	{"the order of jsonb, `GREATEST` of it", "j < '{}'", "it follows the database's collation"},
	{"`jsonb - x`, `#-`, `@?`, `@@`, `j['a']`, functions of JSON", "j @? '$.a'", "not there; `->`, `#>` and `@>` are"},
	{"a time zone that is no constant", "ts AT TIME ZONE title > '2024-01-01'", "the server is asked for a zone's rules when the clause is read"},
	{"rules of a time zone that are not for two days of the year, months apart", "ts AT TIME ZONE 'A0B,J99,J100' > '2024-01-01'", "its changes might be too close to be found by asking"},
	{"`interval 'infinity'`", "ts - ts < interval 'infinity'", "Postgres 17 has it, older ones have not"},
	{"weeks and quarters of intervals in `EXTRACT`", "EXTRACT(quarter FROM ts - ts) = 1", "versions of Postgres differ"},
	{"literals of dates that are not ISO, that move with the clock, or that name a zone", "d = 'today'", "their meaning depends on settings, the clock or the server's time zone data"},
	{"what is not immutable", "now() > ts", "a row would have to come and go without a change"},
	{"the same, as words", "CURRENT_DATE = d", "the same"},
	{"any other function", "length(title) = 3", "each would have to be exactly as Postgres's"},
	{"`numericout(x)`, `dateout(x)` and the like; `date + int8`", "numericout(price) = '1'", "Electric knows them, but not Postgres, which it fails on when it reads the rows; `numeric_out(x)` and `date + int4` are there"},
	{"aggregates, `OVER`, `FILTER`", "count(*) > 1", "a clause is about one row"},
	{"`VARIADIC`", "concat(VARIADIC tags) = 'a'", "not there"},
	{"`COLLATE`", `title COLLATE "C" = 'a'`, "not there; the collation is the column's"},
	{"subqueries but `x IN (SELECT …)`", "EXISTS (SELECT 1)", "as in Electric"},
	{"bit strings", "B'1' = B'1'", "no type of the language"},
	{"types that are not in the list, but for `IS NULL`", "pair = pair", "no operators are known"},
	{"casts between bytea and integers", "n::bytea = '1'", "new in Postgres 18"},
	{"casts to an enum", "'sad'::mood = mood", "its name would need its schema; a literal takes the type of its partner"},
	{"a domain over an enum, but for `IS NULL`", "grade = 'sad'", "Postgres has no operator for it either"},
	{"`numeric(p, s)` with a scale below 0 or above p", "price::numeric(3, 5) = 1", "new in Postgres 15"},
	{"`char(n)` with n above 8192", "title::char(10000) = 'a'", "it would take that much memory for each row"},
	{"`ARRAY[…]` of a domain over an array", "ARRAY[dtags] = '{}'", "Postgres makes an array of the domain of it"},
	{"`OPERATOR(…)`", "n OPERATOR(pg_catalog.=) 1", "not there"},
	{"XML, `IS DOCUMENT`, `IS JSON`", "title IS DOCUMENT", "not there"},
}

// TestReference keeps the tables of docs/where.md in step with the code's.
func TestReference(t *testing.T) {
	const begin, end = "<!-- language: made by go test ./internal/expr -run TestReference -rewrite -->\n\n", "<!-- end of language -->\n"
	cols := append(items[:len(items):len(items)],
		expr.Column{Name: "dtags", Type: expr.Type{OID: 90005, Base: 1009, Name: "dtags", Array: true}, Deterministic: true},
		expr.Column{Name: "grade", Type: expr.Type{OID: 90006, Base: 90001, Name: "grade", Enum: []string{"sad"}}})
	cols[17].Deterministic = true
	cell := func(s string) string { return "`" + strings.ReplaceAll(s, "|", `\|`) + "`" }
	var b strings.Builder
	b.WriteString(begin + expr.Reference() + "### Forms\n\n| form | example | as it is kept |\n|---|---|---|\n")
	berlin, err := expr.NewZone("europe/berlin", []expr.Change{{At: expr.ZoneFrom, East: 3600}}, []expr.Change{{At: expr.ZoneFrom, East: 3600}})
	if err != nil {
		t.Fatal(err)
	}
	zones := expr.Zones{"europe/berlin": berlin}
	for _, f := range forms {
		e, err := zones.Compile(f.clause, nil, cols)
		if err != nil {
			t.Errorf("%s: %v", f.clause, err)
			continue
		}
		b.WriteString("| " + f.form + " | " + cell(f.clause) + " | " + cell(e.SQL()) + " |\n")
	}
	b.WriteString("\n### What is refused\n\n| what | example | answer, behind `At location n:` | why |\n|---|---|---|---|\n")
	for _, r := range refusals {
		_, err := expr.Compile(r.clause, nil, cols)
		var refusal *expr.Error
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", r.clause, err)
			continue
		}
		_, msg, _ := strings.Cut(refusal.Msg, ": ")
		b.WriteString("| " + r.what + " | " + cell(r.clause) + " | " + strings.ReplaceAll(msg, "|", `\|`) + " | " + r.why + " |\n")
	}
	b.WriteString("\n" + end)
	const path = "../../docs/where.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(doc), begin)
	_, tail, found2 := strings.Cut(rest, end)
	if !found || !found2 {
		t.Fatalf("%s has no place for the tables", path)
	}
	want := head + b.String() + tail
	if *rewrite {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(doc) {
		t.Errorf("%s is out of date: go test -run TestReference -rewrite", path)
	}
}
