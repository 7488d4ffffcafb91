package expr_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/wal"
)

var (
	seed   = flag.Uint64("expr.seed", 1, "seed of the differential test")
	rounds = flag.Int("expr.clauses", 900, "clauses of each differential test at the least")
	wanted = flag.Int("expr.pairs", 0, "pairs of expression and row that each of them compares at the least")
	lasts  = flag.Duration("expr.time", 0, "how long each of them lasts at the least")
)

// enough says when a differential test may end.
func enough() func(clauses, pairs int) bool {
	start := time.Now()
	return func(clauses, pairs int) bool {
		return clauses >= *rounds && pairs >= *wanted && time.Since(start) >= *lasts
	}
}

func TestMain(m *testing.M) { pgtest.Main(m) }

// oracle is a Postgres with a table of edge values.
type oracle struct {
	t    testing.TB
	conn *pgx.Conn
	cols []expr.Column
	rows []wal.Tuple // without id

	url   string
	zones expr.Zones
}

// testColumns are the columns of the oracle's table, two of most types.
var testColumns = []struct{ name, decl, family string }{
	{"b", "bool", "bool"}, {"b2", "bool", "bool"},
	{"i2", "int2", "number"}, {"i4", "int4", "number"}, {"i4b", "int4", "number"}, {"i8", "int8", "number"},
	{"n", "numeric", "number"}, {"n2", "numeric", "number"},
	{"f4", "float4", "number"}, {"f8", "float8", "number"}, {"f8b", "float8", "number"},
	{"dom", "posint", "number"},
	{"t", `text collate "C.utf8"`, "string"}, {"t2", `text collate "C.utf8"`, "string"},
	{"v", `varchar(20) collate "C.utf8"`, "string"},
	{"c", `char(6) collate "C.utf8"`, "string"}, {"c2", `char(6) collate "C.utf8"`, "string"},
	{"nm", "name", "string"},
	{"u", "uuid", "uuid"}, {"u2", "uuid", "uuid"}, {"by", "bytea", "bytes"}, {"by2", "bytea", "bytes"},
	{"d", "date", "time"}, {"d2", "date", "time"},
	{"ts", "timestamp", "time"}, {"ts2", "timestamp", "time"},
	{"tz", "timestamptz", "zoned"}, {"tz2", "timestamptz", "zoned"},
	{"tm", "time", "clock"}, {"tm2", "time", "clock"}, {"tt", "timetz", "clock"}, {"iv", "interval", "span"}, {"iv2", "interval", "span"},
	{"e", "mood", "enum"}, {"e2", "mood", "enum"},
	{"j", "jsonb", "other"}, {"p", "point", "other"}, {"r", "pair", "other"}, {"arr", "int4[]", "other"},
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	db := pgtest.New(t)
	o := &oracle{t: t, conn: db.Conn(), url: db.URL}
	o.exec(`set datestyle = 'ISO, DMY'; set timezone = 'UTC'; set extra_float_digits = 1; set intervalstyle = 'iso_8601'`)
	o.exec(`create type mood as enum ('sad', 'ok', 'glad', 'a b'); create type pair as (a int, b text);
		create domain posint as int4 check (value <> 77)`)
	decls := make([]string, len(testColumns))
	for i, c := range testColumns {
		decls[i] = c.name + " " + c.decl
	}
	o.exec("create table x (id int primary key, " + strings.Join(decls, ", ") + ")")
	o.readColumns()
	return o
}

func (o *oracle) exec(sql string) {
	o.t.Helper()
	if _, err := o.conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		o.t.Fatalf("%v\nin: %s", err, sql)
	}
}

// query returns output texts, nil for NULL.
func (o *oracle) query(sql string) ([]wal.Tuple, error) {
	results, err := o.conn.PgConn().Exec(context.Background(), sql).ReadAll()
	if err != nil {
		return nil, err
	}
	rows := make([]wal.Tuple, len(results[0].Rows))
	for i, r := range results[0].Rows {
		rows[i] = wal.Tuple(r)
	}
	return rows, nil
}

// readColumns describes the table from the catalogue.
func (o *oracle) readColumns() {
	rows, err := o.query(`select a.attname, t.oid, t.typname, case when t.typbasetype = 0 then t.oid else t.typbasetype end,
		b.typelem <> 0 and b.typlen = -1, b.typtype, e.oid, e.typname, e.typtype
		from pg_attribute a join pg_type t on t.oid = a.atttypid
		join pg_type b on b.oid = case when t.typbasetype = 0 then t.oid else t.typbasetype end left join pg_type e on e.oid = b.typelem
		where attrelid = 'x'::regclass and attnum > 1 order by attnum`)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, r := range rows {
		c := expr.Column{Name: string(r[0]), Bytewise: true, Deterministic: true, Case: expr.CaseUnicode}
		fmt.Sscan(string(r[1]), &c.Type.OID)
		fmt.Sscan(string(r[3]), &c.Type.Base)
		c.Type.Name = string(r[2])
		c.Type.Array = string(r[4]) == "t"
		if c.Type.Name == "name" { // collation "C"
			c.Case = expr.CaseASCII
		}
		switch string(r[5]) {
		case "e":
			c.Type.Enum = []string{"sad", "ok", "glad", "a b"}
		case "b":
			if string(r[8]) == "e" {
				c.Type.Elem = &expr.Type{Name: string(r[7]), Enum: []string{"sad", "ok", "glad", "a b"}}
				fmt.Sscan(string(r[6]), &c.Type.Elem.OID)
			}
		case "c":
			c.Type.Row = true
		}
		o.cols = append(o.cols, c)
	}
}

// fill inserts n rows of random values.
func (o *oracle) fill(g *generator, n int) {
	var b strings.Builder
	for id := range n {
		fmt.Fprintf(&b, "insert into x values (%d", id)
		for _, c := range testColumns {
			b.WriteString(", ")
			if g.chance(12) {
				b.WriteString("NULL")
				continue
			}
			decl, _, _ := strings.Cut(c.decl, " ")
			b.WriteString(quote(g.value(decl)) + "::" + decl)
		}
		b.WriteString(");\n")
	}
	o.exec(b.String())
	names := make([]string, len(testColumns))
	for i, c := range testColumns {
		names[i] = c.name
	}
	rows, err := o.query("select " + strings.Join(names, ", ") + " from x order by id")
	if err != nil {
		o.t.Fatal(err)
	}
	o.rows = rows
}

// addedColumn is a column of one test.
type addedColumn struct {
	name, decl string
	value      func() string
}

// extend adds columns, and fills the table with n rows.
func (o *oracle) extend(g *generator, n int, added []addedColumn) {
	o.t.Helper()
	decls := make([]string, len(added))
	for i, c := range added {
		decls[i] = "add column " + c.name + " " + c.decl
	}
	o.exec("alter table x " + strings.Join(decls, ", "))
	o.cols = nil
	o.readColumns()
	o.fill(g, n)
	var b strings.Builder
	for _, c := range added {
		for id := range n {
			if !g.chance(10) {
				fmt.Fprintf(&b, "update x set %s = %s where id = %d;", c.name, quote(c.value()), id)
			}
		}
	}
	o.exec(b.String())
	rows, err := o.query("select (x).* from x order by id")
	if err != nil {
		o.t.Fatal(err)
	}
	for i := range rows {
		o.rows[i] = rows[i][1:]
	}
}

func quote(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// tally counts what the differential test did.
type tally struct {
	accepted, refused, pairs, failing int
}

// TestDifferential evaluates random clauses on random rows here and in Postgres.
// Postgres is asked both for the user's text and for the canonical one.
func TestDifferential(t *testing.T) {
	t.Logf("seed %d: repeat with -args -expr.seed=%d", *seed, *seed)
	g := &generator{rand.New(rand.NewPCG(*seed, 7))}
	o := newOracle(t)
	o.fill(g, 60)
	var sum tally
	for done := enough(); !done(sum.accepted+sum.refused, sum.pairs); {
		text := g.clause(3)
		yes, err := expr.Compile(text, nil, o.cols)
		var refusal *expr.Error
		if errors.As(err, &refusal) {
			sum.refused++
			o.checkRefusal(text, refusal)
			continue
		}
		if err != nil {
			t.Fatalf("%s: error of type %T: %v", text, err, err)
		}
		no, err := expr.Compile("NOT ("+text+")", nil, o.cols)
		if err != nil {
			t.Fatalf("NOT (%s): %v", text, err)
		}
		sum.accepted++
		o.compare(text, yes, no, &sum)
		checkCanonical(t, yes, o.cols)
		o.checkTerms(yes)
	}
	t.Logf("%d clauses accepted, %d refused; %d pairs compared; Postgres failed on %d",
		sum.accepted, sum.refused, sum.pairs, sum.failing)
	if *rounds >= 900 && sum.pairs < 20000 {
		t.Errorf("only %d pairs were compared", sum.pairs)
	}
}

// compare evaluates one clause on all rows.
func (o *oracle) compare(text string, yes, no *expr.Expr, sum *tally) {
	sql := "select (" + text + "), " + yes.SQL() + " from x"
	got, err := o.query(sql + " order by id")
	if err == nil {
		for i, row := range o.rows {
			o.compareRow(text, yes, no, row, got[i], sum)
		}
		return
	}
	o.mustBeRuntime(text, yes, err)
	for i, row := range o.rows {
		got, err := o.query(fmt.Sprintf("%s where id = %d", sql, i))
		if err != nil {
			o.mustBeRuntime(text, yes, err)
			sum.failing++
			continue
		}
		o.compareRow(text, yes, no, row, got[0], sum)
	}
}

// mustBeRuntime: Postgres may fail on a value, not on the form of a clause that
// was accepted.
func (o *oracle) mustBeRuntime(text string, e *expr.Expr, err error) {
	o.t.Helper()
	var pg *pgconn.PgError
	const collationConflict = "42P22" // two columns with collations of their own
	if !errors.As(err, &pg) || strings.HasPrefix(pg.Code, "42") && pg.Code != collationConflict {
		o.t.Fatalf("accepted, but Postgres refuses: %v\nclause    %s\ncanonical %s", err, text, e.SQL())
	}
}

func (o *oracle) compareRow(text string, yes, no *expr.Expr, row, want wal.Tuple, sum *tally) {
	o.t.Helper()
	sum.pairs++
	truth := func(b []byte) string {
		if b == nil {
			return "NULL"
		}
		return string(b)
	}
	got := "NULL"
	y, err := yes.Match(row)
	n, err2 := no.Match(row)
	switch {
	case err != nil || err2 != nil:
		got = "an error"
	case y:
		got = "t"
	case n:
		got = "f"
	}
	if got != truth(want[0]) || got != truth(want[1]) {
		var values []string
		for _, i := range yes.Columns() {
			values = append(values, fmt.Sprintf("%s = %q", o.cols[i].Name, truth(row[i])))
		}
		o.t.Errorf("clause    %s\ncanonical %s\nrow       %s\nhere %s, Postgres %s for the clause, %s for the canonical text",
			text, yes.SQL(), strings.Join(values, ", "), got, truth(want[0]), truth(want[1]))
	}
}

// checkRefusal: what is refused as malformed, or for its types, is refused by
// Postgres too.
func (o *oracle) checkRefusal(text string, refusal *expr.Error) {
	if !strings.Contains(refusal.Msg, "operator overload") && !strings.Contains(refusal.Msg, "syntax error") {
		return
	}
	if _, err := o.query("select (" + text + ") from x where id = 0"); err == nil {
		o.t.Errorf("%s: %v, but Postgres reads it", text, refusal)
	}
}

// checkCanonical: the canonical text is a fixed point.
func checkCanonical(t testing.TB, e *expr.Expr, cols []expr.Column) {
	t.Helper()
	again, err := expr.Reload(e.SQL(), cols)
	if err != nil {
		t.Fatalf("canonical text refused: %v\n%s", err, e.SQL())
	}
	if again.SQL() != e.SQL() {
		t.Errorf("canonical text changes:\n%s\n%s", e.SQL(), again.SQL())
	}
}

// checkTerms: a row that matches has all that one of the terms asks for; if the terms are
// the whole clause, also the other way round.
func (o *oracle) checkTerms(e *expr.Expr) {
	terms, known := e.Terms()
	if !known {
		if e.Whole() {
			o.t.Errorf("no terms are all of %s", e.SQL())
		}
		return
	}
	for _, row := range o.rows {
		if ok, err := e.Match(row); err != nil || !ok {
			if e.Whole() && slices.ContainsFunc(terms, func(t expr.Term) bool { return readable(o.cols, row, t) && has(o.cols, row, t) }) {
				o.t.Errorf("row %q has all that one of the terms %v asks for, but not %s (%v)", row, terms, e.SQL(), err)
			}
			continue
		}
		if !slices.ContainsFunc(terms, func(t expr.Term) bool { return has(o.cols, row, t) }) {
			o.t.Errorf("row %q matches %s but none of the terms %v", row, e.SQL(), terms)
		}
	}
}

// readable reports that nothing of what a term asks for has to be guessed.
func readable(cols []expr.Column, row wal.Tuple, term expr.Term) bool {
	return !slices.ContainsFunc(term, func(a expr.Anchor) bool {
		_, ok := expr.AppendKey(nil, cols[a.Col].Type, row[a.Col])
		return !ok
	})
}

func has(cols []expr.Column, row wal.Tuple, term expr.Term) bool {
	for _, a := range term {
		if row[a.Col] == nil {
			return false
		}
		keys, ok := []string(nil), false
		switch a.Kind {
		case expr.AnchorHas:
			keys, ok = expr.AppendKeys(nil, cols[a.Col].Type, row[a.Col])
		case expr.AnchorPart:
			keys, ok = expr.AppendParts(nil, row[a.Col])
		}
		if ok && !slices.Contains(keys, a.Low) {
			return false
		}
		if a.Kind == expr.AnchorHas || a.Kind == expr.AnchorPart {
			continue
		}
		b, ok := expr.AppendKey(nil, cols[a.Col].Type, row[a.Col])
		key := string(b)
		switch {
		case !ok:
		case a.Kind == expr.AnchorIs && key != a.Low:
			return false
		case a.Kind == expr.AnchorWithin && (key < a.Low || !a.Open && key >= a.High):
			return false
		}
	}
	return true
}
