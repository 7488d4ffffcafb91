package expr_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// computed is a random expression that is no bool.
func (g *generator) computed(depth int) string {
	family := g.of("number", "number", "number", "number", "time", "string", "bool", "uuid", "zoned", "enum", "bytes")
	return g.term(family, depth)
}

func (g *generator) term(family string, depth int) string {
	if depth == 0 || g.chance(5) {
		if g.chance(3) {
			return g.constant(family)
		}
		return g.columnOf(family)
	}
	l, r := g.term(family, depth-1), g.term(family, depth-1)
	if g.chance(30) { // mostly to be refused
		r = g.term(g.of("number", "string", "time"), depth-1)
	}
	if g.chance(6) {
		return g.conditional(family, l, r)
	}
	switch family {
	case "bool", "uuid", "zoned", "enum":
		if family == "bool" && g.chance(2) {
			return "(" + g.power(g.term("number", depth-1), g.term("number", depth-1)) + g.of(" > ", " <= ", " = ", " <> ") + g.term("number", depth-1) + ")"
		}
		return g.conditional(family, l, r)
	case "string":
		return g.textual(l, r)
	case "bytes":
		if g.chance(3) {
			return "like_escape(" + l + ", " + g.of("'!'", "''", `'\'`, `'\x00'`, "'a'", r) + ")"
		}
		return g.of("("+l+" || "+r+")", g.conditional(family, l, r))
	case "time":
		if g.chance(3) {
			return "(" + g.of("d", "d2") + " - " + g.of("d", "d2", "'2024-02-29'", "epoch") + ")"
		}
		return "(" + g.of("d", "d2", "date '2024-02-29'") + g.of(" + ", " - ") + g.of("i2", "i4", "1", "365", "-7", "i4b") + ")"
	}
	if g.chance(12) {
		return g.of("numeric(5,2)", "numeric(3)", "decimal(20, 10)", "dec(4,4)", "float(3)", "float(53)", "varchar(3)") + " " + quote(g.value("int2"))
	}
	if g.chance(12) {
		return l + "::" + g.of("numeric(5,2)", "numeric(3)", "decimal(20, 10)", "dec(4,4)", "float(3)", "float(53)")
	}
	if g.chance(12) {
		return g.of("int2", "int4", "int8", "float4", "float8", "INT4") + "(" + l + ")"
	}
	if g.chance(8) {
		return g.power(l, r)
	}
	if g.chance(5) {
		return "(" + g.of("- ", "+ ", "@ ", "~ ", "|/ ") + l + ")"
	}
	return "(" + l + g.of(" + ", " - ", " * ", " / ", " % ", " & ", " | ", " # ", " / ", " * ") + r + ")"
}

// power is mostly one whose exponent is small.
func (g *generator) power(l, r string) string {
	if !g.chance(4) {
		r = g.of("2", "3", "0.5", "-1", "-3", "2.0", "1.5", "0.1", "i2::numeric / 1000", "n::numeric(6,2) / 7", "f8 / 10", "'2'", "10::int8", "0", "17.25", "1000")
	}
	if g.chance(3) {
		return g.of("power", "pow", "POWER") + "(" + l + ", " + r + ")"
	}
	return "(" + l + " ^ " + r + ")"
}

// conditional is one of the forms that do not evaluate all they have.
func (g *generator) conditional(family, l, r string) string {
	switch g.IntN(6) {
	case 0, 1:
		return g.of("coalesce(", "COALESCE (") + l + ", " + r + ")"
	case 2:
		return g.of("greatest", "LEAST") + "(" + l + ", " + r + g.of("", ", "+g.columnOf(family), ", NULL") + ")"
	case 3:
		if family == "enum" && l == "NULL" { // where Postgres's planner leaves more aside than we
			l = "e"
		}
		return "nullif(" + l + ", " + r + ")"
	case 4:
		return "case " + l + " when " + r + " then " + g.columnOf(family) + " when " + g.constant(family) + " then " + r + g.of("", " else "+l) + " end"
	}
	return "(case when " + g.atom() + " then " + l + g.of("", " when b then "+g.columnOf(family)) + " else " + r + " end)"
}

// textual is a text made of two.
func (g *generator) textual(l, r string) string {
	other := g.columnOf(g.of("bool", "number", "uuid", "time", "zoned", "enum", "string", "bytes"))
	switch g.IntN(10) {
	case 0:
		return g.of("lower", "upper", "Lower") + "(" + l + ")"
	case 1:
		return "concat(" + l + ", " + r + ", " + other + g.of("", ", NULL", ", 5") + ")"
	case 2:
		return "(" + g.of(l+" || "+other, other+" || "+r) + ")"
	case 3:
		return "like_escape(" + l + ", " + g.of("'!'", "''", `'\'`, "NULL", "'ab'", "'a'", "'日'", r) + ")"
	case 4:
		return l + "::" + g.of("varchar(2)", "char(3)", "char", "character varying(4)", "bpchar(1)", "nchar(5)", "national character (2)")
	case 5:
		return "text(" + other + ")"
	}
	return "(" + l + " || " + r + ")"
}

// TestDifferentialArithmetic computes random expressions on random rows here and
// in Postgres.
func TestDifferentialArithmetic(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 11))}
	o := newOracle(t)
	o.fill(g, 50)
	o.computes(20000, func() string { return g.computed(2) })
}

// TestComputationCatalogue: for each name we know all rows of pg_operator over
// our types, but those that give an interval or a timestamp from parts.
func TestComputationCatalogue(t *testing.T) {
	o := newOracle(t)
	names := quoteList(allTypes)
	rows, err := o.query(`select oprname || ' ' || coalesce(l.typname, '-') || ' ' || r.typname || ' ' || res.typname
		from pg_operator o left join pg_type l on l.oid = oprleft join pg_type r on r.oid = oprright
		join pg_type res on res.oid = oprresult
		where oprnamespace = 'pg_catalog'::regnamespace and (oprleft = 0 or l.typname in (` + names + `))
		and r.typname in (` + names + `) and res.typname in (` + names + `)
		and (oprleft <> 0 and oprname in ('+', '-', '*', '/', '%', '^', '&', '|', '#', '||', '->', '->>') and not (oprname = '-' and l.typname = 'jsonb')
			or oprleft = 0 and oprname in ('+', '-', '@', '~', '|/'))`)
	if err != nil {
		t.Fatal(err)
	}
	compareSets(t, "computation", texts(rows), expr.ComputationNames())
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ", ")
}
