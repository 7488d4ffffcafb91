package expr_test

import (
	"math/rand/v2"
	"strings"
)

// generator makes random values and clauses.
type generator struct{ *rand.Rand }

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g *generator) of(list ...string) string { return list[g.IntN(len(list))] }

// value is a text that the type's input function takes.
func (g *generator) value(typ string) string {
	switch base, _, _ := strings.Cut(typ, "("); base {
	case "bool":
		return g.of("t", "f", "yes", "OFF", "1", "fal", " true ")
	case "int2":
		return g.of("0", "1", "-1", "5", "32767", "-32768", "42")
	case "int4", "posint":
		return g.of("0", "1", "-1", "5", "100000", "2147483647", "-2147483648", "42", " 7 ")
	case "int8":
		return g.of("0", "1", "5", "100000", "9007199254740993", "9007199254740992", "9223372036854775807", "-9223372036854775808")
	case "numeric":
		return g.of("0", "1", "1.0", "1.00", "-1.50", "0.1", "0.10", "NaN", "Infinity", "-inf", "5", "1e5", "1.5e-7",
			"123456789012345678901234567890.12", "123456789012345678901234567890.13", "9007199254740993", "2.5", "-0.0", ".5")
	case "float4":
		return g.of("0", "-0", "1", "0.1", "NaN", "Infinity", "-Infinity", "16777217", "1e-40", "3.4e38", "2.5", "1e6", "123456")
	case "float8":
		return g.of("0", "-0", "1", "0.1", "0.10000000149011612", "NaN", "Infinity", "-inf", "9007199254740993", "1e300", "5e-324",
			"2.5", "1e15", "1e-5", "123456789012345680")
	case "uuid":
		return g.of("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
			"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a12")
	case "bytea":
		return g.of("", `\x`, `\x00ff`, `\xAB cd`, `\x61`, "a", `a\\b`, `\001\377`, "a%", "_", `\x615f62`, `\x6125`, "日")
	case "date":
		return g.of("2024-02-29", "2024-1-5", "infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "5874897-12-31",
			"20000-01-01", "epoch", "1999-12-31", "2000-01-01", "2024-02-29 10:11:12", "300000-01-01")
	case "timestamp":
		return g.of("2024-02-29 10:11:12.123456", "2024-02-29", "2024-02-29T00:00:00", "infinity", "-infinity", "0044-03-15 01:02:03 BC",
			"294276-12-31 23:59:59.999999", "epoch", "2000-01-01 24:00:00", "2000-01-02", "1999-12-31 23:59:59.5", "2024-02-29 10:11:12+02",
			"2024-03-31 02:30:00", "2024-10-27 02:00:00", "2024-10-27 02:59:59.999999", "2024-03-10 02:00:00", "1893-04-01 00:06:31.5", "2999-07-01 00:00:00")
	case "timestamptz":
		return g.of("2024-02-29 10:11:12.5+02", "2024-02-29 08:11:12.5Z", "2024-02-29 08:11:12.5", "infinity", "-infinity",
			"0044-03-15 01:02:03+00 BC", "epoch", "2000-01-01 00:00:00-08:30", "2000-01-01 08:30:00 UTC", "2024-02-28 23:00:00-0100",
			"2024-03-31 01:00:00Z", "2024-10-27 00:59:59.999999Z", "2024-11-03 06:00:00Z", "1893-03-31 23:06:32Z", "2999-07-01 00:00:00Z")
	case "time":
		return g.of("10:11:12.5", "00:00", "24:00:00", "23:59:59.999999", "1:02", "12:30 AM", "11:00pm", "10:11:12+02", "08:00Z", "2024-02-29 10:11:12.5")
	case "timetz":
		return g.of("10:11:12.5+02", "00:00", "24:00:00-15:59", "08:11:12.5+00", "23:59:59.999999+15:59:59", "12:30 AM -0830", "08:11:12.5", "0045-02-28 10:11:12-02 BC")
	case "interval":
		return g.interval()
	case "mood":
		return g.of("sad", "ok", "glad", "a b")
	case "json", "jsonb":
		return g.json(2)
	case "point":
		return "(1,2)"
	case "pair":
		return g.of("(,)", "(1,)", `(1,"")`, `(,"a,)""b\\")`, "(1,x)")
	case "int4[]":
		return g.of("{}", "{1,NULL}", "{1,2}")
	}
	return g.text()
}

func (g *generator) text() string {
	if g.chance(3) {
		return g.of("", "a", "A", "ab", "a ", "ab    ", "b", "42", "5", "1.0", "t", "sad", "a%", `a\b`, "a_b", "línea\nnueva", "日本", "Ärger",
			"ÄRGER", "ärger", "K", "K", "Ω", "é", "o'k", "\t7", "2024-02-29", "infinity", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "x🙂y")
	}
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteString(g.of("a", "b", "A", "ä", "Ä", " ", "日", "%", "_", `\`, "\n", "1"))
	}
	return b.String()
}

// pattern is a LIKE pattern that does not end in a lone backslash.
func (g *generator) pattern() string {
	var b strings.Builder
	for range g.IntN(6) {
		b.WriteString(g.of("a", "b", "A", "ä", "%", "_", `\%`, `\_`, `\\`, `\a`, "%%", "%_", " ", "日", "\n", "k", "ω"))
	}
	return b.String()
}

var families = map[string][]string{
	"bool":   {"bool"},
	"number": {"int2", "int4", "int8", "numeric", "float4", "float8"},
	"string": {"text", "varchar", "bpchar", "name"},
	"uuid":   {"uuid"},
	"bytes":  {"bytea"},
	"time":   {"date", "timestamp"},
	"zoned":  {"timestamptz"},
	"clock":  {"time", "timetz"},
	"span":   {"interval"},
	"enum":   {"mood"},
}

func (g *generator) columnOf(family string) string {
	for {
		if c := testColumns[g.IntN(len(testColumns))]; c.family == family {
			return g.spell(c.name)
		}
	}
}

// spell writes a name in one of the ways that mean it.
func (g *generator) spell(name string) string {
	switch g.IntN(8) {
	case 0:
		return `"` + name + `"`
	case 1:
		return strings.ToUpper(name)
	case 2:
		return "(" + name + ")"
	}
	return name
}

// constant is a literal of a family, with its type or without.
func (g *generator) constant(family string) string {
	if g.chance(20) {
		return "NULL"
	}
	typ := families[family][g.IntN(len(families[family]))]
	text := g.value(typ)
	switch {
	case family == "enum" || g.chance(2):
		if family == "number" && g.chance(2) {
			return g.of("5", "1", "0.1", "1.0", "-1", "2.5", "1e5", ".5", "5.", "9007199254740993", "100000", "-2147483648", "3000000000")
		}
		return quote(text)
	case g.chance(3):
		return "cast(" + quote(text) + " as " + typ + ")"
	case g.chance(3) && typ != "bpchar":
		return typ + " " + quote(text)
	}
	return quote(text) + "::" + typ
}

// operand is a column, a constant, or a cast of one.
func (g *generator) operand(family string) string {
	switch n := g.IntN(20); {
	case n < 11:
		return g.columnOf(family)
	case n < 18:
		return g.constant(family)
	case family == "bool":
		return g.of("true", "false", "b = b2")
	case family == "string":
		return g.columnOf(g.of("bool", "number", "string", "uuid", "time", "zoned", "clock", "span", "enum", "bytes")) + "::" + g.of("text", "text", "varchar", "name")
	case family == "number", family == "time", family == "clock":
		types := families[family]
		return g.columnOf(family) + "::" + types[g.IntN(len(types))]
	}
	return g.columnOf(family)
}

func (g *generator) family() string {
	return g.of("bool", "number", "number", "number", "string", "string", "string", "uuid", "time", "time", "zoned", "clock", "span", "enum", "bytes")
}

// clause is a random boolean expression.
func (g *generator) clause(depth int) string {
	if depth == 0 || g.chance(3) {
		return g.atom()
	}
	switch g.IntN(6) {
	case 0:
		return "not " + g.arm(depth-1)
	case 1:
		return g.arm(depth-1) + " is " + g.of("", "NOT ") + g.of("TRUE", "false", "Unknown")
	case 2, 3:
		return g.arm(depth-1) + g.of(" and ", " AND\n") + g.arm(depth-1)
	case 4:
		return g.arm(depth-1) + " or /* c */ " + g.arm(depth-1)
	}
	return g.arm(depth-1) + " and " + g.arm(depth-1) + " or not " + g.arm(depth-1)
}

// arm is mostly in parentheses; without them precedence is tested.
func (g *generator) arm(depth int) string {
	if g.chance(4) {
		return g.clause(depth)
	}
	return "(" + g.clause(depth) + ")"
}

func (g *generator) atom() string {
	f := g.family()
	a, b := g.operand(f), g.operand(f)
	if g.chance(20) { // mostly to be refused
		b = g.operand(g.family())
	}
	switch g.IntN(12) {
	case 0:
		return a + g.of(" is null", " IS NOT NULL", " isnull", " notnull")
	case 1:
		return a + " is " + g.of("", "not ") + "distinct from " + b
	case 2, 3:
		list := make([]string, 1+g.IntN(4))
		for i := range list {
			list[i] = g.constant(f)
			if g.chance(8) {
				list[i] = g.operand(f)
			}
		}
		return a + g.of(" in (", " not in (") + strings.Join(list, ", ") + ")"
	case 4:
		return a + g.of(" between ", " not between ", " between symmetric ", " not between symmetric ") + b + " and " + g.operand(f)
	case 5, 6:
		pattern := quote(g.pattern())
		if g.chance(5) {
			pattern = g.columnOf("string")
		}
		if g.chance(5) {
			return g.columnOf("bytes") + g.of(" like ", " not like ") + g.of(g.constant("bytes"), g.columnOf("bytes"), quote("%a%"), quote("a_"), quote(`\\_%`))
		}
		switch g.IntN(5) {
		case 0:
			return g.of("like", "notlike", "not like") + "(" + g.columnOf("string") + ", " + pattern + ")"
		case 1:
			return g.columnOf("string") + g.of(" like ", " not like ", " ilike ") + pattern + " escape " + g.of("'!'", "''", `'\'`, "'ab'", "'a'", "NULL", "'日'")
		}
		return g.columnOf("string") + g.of(" like ", " not like ", " ilike ", " not ilike ", " ~~ ") + pattern
	case 7:
		return g.columnOf("other") + g.of(" is null", " is not null", " is distinct from null", " is not distinct from null")
	case 8:
		return g.of("b", "b2", "not b", "true", "b is unknown")
	}
	return a + g.of(" = ", " = ", "<>", " != ", " < ", ">", " <= ", ">= ") + b
}
