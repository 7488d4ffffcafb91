package expr_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// json is a JSON text in one of the ways to write it; keys may come twice.
func (g *generator) json(depth int) string {
	blank := g.of("", "", " ", "\n", " \t")
	n := g.IntN(4)
	switch kind := g.IntN(8); {
	case depth > 0 && kind < 3:
		pairs := make([]string, n)
		for i := range pairs {
			pairs[i] = g.jsonString() + g.of(":", ": ", " :") + g.json(depth-1)
		}
		return blank + "{" + strings.Join(pairs, g.of(",", " , ")) + "}"
	case depth > 0 && kind < 5:
		elems := make([]string, n)
		for i := range elems {
			elems[i] = g.json(depth - 1)
		}
		return "[" + blank + strings.Join(elems, g.of(",", ", ")) + "]" + blank
	case kind == 5:
		return g.jsonString()
	case kind == 6:
		return blank + g.of("null", "true", "false", "true")
	}
	return g.of("0", "1", "1.0", "1.00", "-0", "-1.5e-3", "1e2", "1E+2", "100", "0.10", "123456789012345678901234567890.50", "5", "2", "-0.0", "40000", "1e5")
}

func (g *generator) jsonString() string {
	return g.of(`"a"`, `"b"`, `"a"`, `"ab"`, `""`, `"\u0061"`, `"q\"\\\/\b\n\r\t\f"`, `"日\u00e4"`, `"\ud83d\ude00"`, `"\u0001"`, `"1"`, `"a b"`, `"true"`, `"5"`, "\"\u007f\"", `"{}"`)
}

// jsonTerm is an expression over the columns of json.
func (g *generator) jsonTerm(depth int) string {
	if depth == 0 || g.chance(6) {
		if g.chance(4) {
			return quote(g.json(2)) + g.of("::jsonb", "::json", "::jsonb", "")
		}
		return g.of("ja", "jb", "ja", "jb", "js")
	}
	l := g.jsonTerm(depth - 1)
	switch g.IntN(9) {
	case 0, 1, 2:
		return "(" + l + " -> " + g.key() + ")"
	case 3, 4:
		return "(" + l + " #> " + g.jsonPath() + ")"
	case 5:
		return "(" + l + " || " + g.jsonTerm(depth-1) + ")"
	case 6:
		return "coalesce(" + l + ", " + g.jsonTerm(depth-1) + ")"
	case 7:
		return l + g.of("::jsonb", "::json", "::text::jsonb")
	}
	return "(case when b then " + l + " else " + g.jsonTerm(depth-1) + " end)"
}

func (g *generator) key() string {
	return g.of("'a'", "'b'", "'ab'", "''", "0", "1", "-1", "-2", "NULL", "t", "i2", "'0'", "'ä'")
}

func (g *generator) jsonPath() string {
	return quote(g.of("{}", "{a}", "{0}", "{a,b}", "{-1}", "{a,-1}", "{0,a}", "{b,0}", "{ 1 }", "{+0}", `{" -1"}`, "{a,NULL}", "{1x}", "{{a},{b}}", "{-3000000000}", "{-1,-1}", "{b,-1,a}"))
}

func (g *generator) jsonAtom() string {
	l, r := g.jsonTerm(2), g.jsonTerm(1)
	switch g.IntN(12) {
	case 0, 1:
		return l + g.of(" @> ", " <@ ") + r
	case 2:
		return l + g.of(" = ", " <> ") + r
	case 3:
		return l + g.of(" is distinct from ", " is not distinct from ") + r
	case 4:
		return "(" + l + " ? " + g.of("'a'", "'b'", "'1'", "t", "NULL") + ")"
	case 5:
		return l + g.of(" ?| ", " ?& ") + g.of("'{a,b}'", "'{}'", "'{a,NULL}'", "array['a', t]", "NULL", "'{{a,1},{b,ab}}'")
	case 6:
		return "(" + l + " ->> " + g.key() + ")" + g.of("", " = 'a'", " = '1'", " like 'a%'", " || 'x'", " is null")
	case 7:
		return "(" + l + " #>> " + g.jsonPath() + ")"
	case 8:
		return l + g.of(" in (", " not in (") + quote(g.json(1)) + ", " + quote(g.json(1)) + g.of("", ", NULL", ", '1.0'") + ")"
	case 9:
		return "(" + l + ")::" + g.of("text", "bool", "int2", "int4", "int8", "numeric", "float4", "float8", "numeric(5,1)", "varchar(4)")
	case 10:
		return "concat(" + l + ", 'x', " + r + ")"
	}
	return l
}

// TestDifferentialJSON compares the operators and casts of json and jsonb.
func TestDifferentialJSON(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 17))}
	o := newOracle(t)
	any := func() string { return g.json(3) }
	o.extend(g, 50, []addedColumn{{"ja", "jsonb", any}, {"jb", "jsonb", any}, {"js", "json", func() string {
		if g.chance(5) { // what a json may hold, but no text
			return g.of(`{"a": "\u0000", "b": 1}`, `["\ud800", 1]`, `"\udc00"`, `{"b": [1, {"\u0000": 2}]}`)
		}
		return any()
	}}})
	o.computes(20000, g.jsonAtom)
}
