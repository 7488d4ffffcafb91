package expr_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// arrayColumns are the columns of the oracle's table that hold arrays.
var arrayColumns = []struct{ name, elem string }{
	{"ma", "mood"}, {"ma2", "mood"}, {"ja", "jsonb"}, {"ja2", "jsonb"}, {"ints", "int4"}, {"texts", "text"},
	{"ia", "int4"}, {"ia2", "int4"}, {"la", "int8"}, {"ta", "text"}, {"ta2", "text"}, {"na", "numeric"}, {"fa", "float4"},
	{"ba", "bool"}, {"da", "date"}, {"iva", "interval"}, {"tza", "timetz"}, {"ua", "uuid"}, {"va", "varchar"}, {"bya", "bytea"},
}

// arrayText is a literal of an array: any form that array_in takes.
func (g *generator) arrayText(elem string) string {
	switch g.IntN(10) {
	case 0:
		return g.of("{}", " { } ")
	case 1, 2:
		a, b := g.items(elem, 2), g.items(elem, 2)
		return g.of("", "[0:1][1:2]=", " [-1:0][3:4] = ") + "{{" + a + "} , {" + b + "}}"
	case 3:
		return "[2:3]={" + g.items(elem, 2) + "}"
	}
	return g.of("{", " {", "{ ") + g.items(elem, 1+g.IntN(3)) + g.of("}", " }", "} ")
}

func (g *generator) items(elem string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = g.item(elem)
	}
	return strings.Join(list, g.of(",", " , "))
}

func (g *generator) item(elem string) string {
	if g.chance(6) {
		return g.of("NULL", "null", "Null")
	}
	text := g.value(elem)
	if elem == "text" || elem == "varchar" {
		text = g.of("a", "b", "", "NULL", "x y", `q"z`, `b\c`, "c,d", "{", "a ", "日", "5")
	}
	if text == "a" || text == "b" || text == "5" {
		return text
	}
	if g.chance(2) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	if strings.ContainsAny(text, `{}",\ `) || text == "" || strings.EqualFold(text, "null") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return text
}

// arrayOperand is an array of elem.
func (g *generator) arrayOperand(elem string, depth int) string {
	if depth > 0 {
		switch g.IntN(8) {
		case 0:
			return "(" + g.arrayOperand(elem, depth-1) + " || " + g.arrayOperand(elem, depth-1) + ")"
		case 1:
			return "array_append(" + g.arrayOperand(elem, depth-1) + ", " + g.scalar(elem) + ")"
		case 2:
			return "array_prepend(" + g.scalar(elem) + ", " + g.arrayOperand(elem, depth-1) + ")"
		case 3:
			return "(" + g.arrayOperand(elem, depth-1) + ")[" + g.of("", "1", "0", "-1", "2") + ":" + g.of("", "1", "2", "5", "NULL") + "]" + g.of("", "", "[1]", "[:2]")
		case 4:
			return "array_cat(" + g.arrayOperand(elem, depth-1) + ", " + g.arrayOperand(elem, depth-1) + ")"
		case 5:
			return "ARRAY[" + g.scalar(elem) + ", " + g.scalar(elem) + "]"
		case 6:
			return "ARRAY[" + g.arrayOperand(elem, depth-1) + ", " + g.arrayOperand(elem, depth-1) + "]"
		}
	}
	if elem != "mood" && g.chance(3) {
		return quote(g.arrayText(elem)) + "::" + elem + g.of("[]", "[3]", " array", "[][]")
	}
	for {
		if c := arrayColumns[g.IntN(len(arrayColumns))]; c.elem == elem {
			return c.name
		}
	}
}

func (g *generator) scalar(elem string) string {
	if elem == "mood" { // whose name no clause can have
		return g.of("e", "e2", quote(g.value(elem)), "NULL")
	}
	if g.chance(8) {
		return "NULL::" + elem
	}
	return quote(g.value(elem)) + "::" + elem
}

func (g *generator) arrayAtom() string {
	elem := arrayColumns[g.IntN(len(arrayColumns))].elem
	a, b := g.arrayOperand(elem, 2), g.arrayOperand(elem, 2)
	if g.chance(3) {
		b = quote(g.arrayText(elem))
	}
	if g.chance(25) { // mostly to be refused
		b = g.arrayOperand(arrayColumns[g.IntN(len(arrayColumns))].elem, 1)
	}
	comparison := g.of(" = ", " <> ", " < ", " <= ", " > ", " >= ")
	switch g.IntN(14) {
	case 12:
		return g.of("coalesce", "greatest", "least", "nullif") + "(" + a + ", " + b + ")"
	case 13:
		return "case when b then " + a + " else " + b + " end"
	case 0, 1:
		return a + comparison + b
	case 2, 3, 4:
		return a + g.of(" @> ", " <@ ", " && ") + b
	case 5:
		return a + g.of(" is distinct from ", " is not distinct from ") + b
	case 6, 7, 8:
		return g.scalar(elem) + comparison + g.of("any", "all", "SOME") + " (" + b + ")"
	case 9:
		return "(" + a + ")[" + g.of("1", "2", "0", "NULL", "'1'", "1.5") + "]" + g.of("", "[1]") + g.of(" is null", " = "+g.scalar(elem))
	case 10:
		return g.of("array_ndims", "cardinality") + "(" + a + ")" + comparison + g.of("1", "2", "3")
	}
	return g.of("array_length", "array_lower", "array_upper") + "(" + a + ", " + g.of("1", "2", "0") + ")" + comparison + g.of("1", "2", "0")
}

// otherAtom is of the other families here: ANY over columns, rows, enums, casts.
func (g *generator) otherAtom() string {
	comparison := g.of(" = ", " <> ", " < ", " <= ", " > ", " >= ")
	switch g.IntN(9) {
	case 0:
		return "i4" + comparison + g.of("any", "all") + "(" + g.of("ia", "la", "na", "fa", "'{1,5,NULL}'", "'{}'", "'[3:4]={5,42}'", "ARRAY[i2, i4b]") + ")"
	case 1:
		return g.of("t", "v", "c", "nm", "'a'") + comparison + g.of("any", "all") + "(" + g.of("ta", "va", `'{a,"a ",NULL}'::text[]`, "'{ab,a}'::varchar[]") + ")"
	case 2:
		return g.of("t", "v", "c") + g.of(" like ", " not like ", " ~~ ", " ilike ") + g.of("any", "all") + "(" + g.of(`'{a%,%b}'`, `'{_,NULL}'`, "'{}'") + ")"
	case 3:
		return "(i4, t)" + comparison + g.of("(5, 'a')", "(i4b, t2)", "(NULL, 'b')", "row(42, NULL)", "(i8, v)")
	case 4:
		return "(i4, b) " + g.of("", "not ") + "in ((1, true), (5, false), (NULL, true))"
	case 5:
		return "row(i4, t)" + g.of(" is null", " is not null", " is distinct from row(5, 'a')", " is not distinct from row(NULL, NULL)")
	case 6:
		return "e " + g.of("=", "<>", "<", ">=") + g.of("any", "all") + g.of("('{sad,glad}')", "('{ok,NULL}')", "('{\"a b\"}')")
	case 7:
		return g.of("ia::text = '{1,5}'", "ia::int8[] = la", "ta::text = '{a}'", "la::int4[] = ia", "ta::varchar[] = va", "'{1,2}'::text::int4[] && ia",
			"ba::text[] = '{true,false}'", "na::float8[] && '{1}'", "ia::text[] && ta", "va::varchar(1)[]", "ta::char(2)[]", "na::numeric(4,1)[] = na", "'{abc,NULL,ä}'::varchar(2)[] || va", "ARRAY[t, v]::char(3)[]", "ia::varchar(1)[] @> '{1}'",
			"ia || i8 = la", "ia || 5 && '{5}'", "5 || ia @> '{5}'", "'{7}' || ia @> '{7}'")
	}
	return g.of("f4", "f8", "n", "i8") + g.of(" = any", " <> all") + g.of("('{0.1,1}'::numeric[])", "('{0.1,5}'::float8[])", "('{0.1}'::float4[])", "('{1,5}'::int2[])", "('{5,NULL,1}')")
}

// newArrayOracle has a table like that of newOracle with arrays in it.
func newArrayOracle(t testing.TB, g *generator) *oracle {
	o := newOracle(t)
	o.exec("create domain ints as int4[]; create domain texts as text[]")
	var added []addedColumn
	for _, c := range arrayColumns {
		decl := c.elem + "[]"
		if c.name == c.elem+"s" || c.name == "ints" {
			decl = c.name // a domain
		}
		if c.elem == "text" || c.elem == "varchar" {
			decl += ` collate "C.utf8"`
		}
		added = append(added, addedColumn{c.name, decl, func() string { return g.arrayText(c.elem) }})
	}
	o.extend(g, 40, added)
	return o
}

// TestDifferentialArrays compares arrays, ANY and ALL, and rows.
func TestDifferentialArrays(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 11))}
	newArrayOracle(t, g).computes(15000, func() string {
		if g.chance(3) {
			return g.otherAtom()
		}
		return g.arrayAtom()
	})
}
