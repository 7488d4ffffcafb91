package expr

import (
	"strconv"
	"strings"
)

// call reads the arguments of a function.
func (p *parser) call(pos position, parts []string) ast {
	p.expect("(")
	const aggregation = "aggregation is not supported in this context"
	t := p.peek()
	switch {
	case t.is("*"), t.word("distinct"), t.word("all"):
		p.refuse(int(pos), aggregation)
	case t.word("variadic"):
		p.refuse(int(pos), "explicit VARIADIC function calls are not currently supported")
	}
	var args []ast
	if !p.peek().is(")") {
		args = p.list()
	}
	if p.err == nil && p.peek().word("order") {
		p.refuse(int(pos), aggregation)
	}
	p.expect(")")
	if t := p.peek(); t.word("filter") || t.word("over") || t.word("within") {
		p.refuse(int(pos), aggregation)
	}
	if len(parts) == 2 && parts[0] == "pg_catalog" {
		parts = parts[1:]
	}
	return &astCall{pos, strings.Join(parts, "."), args}
}

// cast reads CAST(x AS t).
func (p *parser) cast(pos position) ast {
	p.advance()
	p.expect("(")
	arg := p.expr(0, false)
	p.expectWord("as")
	to := p.typeName()
	p.expect(")")
	return &astCast{pos, arg, to}
}

// literalType reads a keyword's type if a string follows it: integer '1',
// double precision '1.5', timestamp with time zone '…'.
func (p *parser) literalType() (typeName, bool) {
	from := p.i
	if _, ok := keywordTypes[p.peek().text]; !ok && p.peek().text != "double" {
		return typeName{}, false
	}
	name := p.keywordType()
	if p.peek().is("(") && takesMods(name.name) {
		name = p.typeMods(name)
	}
	if p.err == nil && (name.name == "" || p.peek().kind != tokString) {
		p.i = from
		return typeName{}, false
	}
	return name, true
}

// keywordTypes are the spellings that the grammar itself knows.
var keywordTypes = map[string]string{
	"bigint": "int8", "bit": "bit", "boolean": "bool", "char": "bpchar", "character": "bpchar", "dec": "numeric",
	"decimal": "numeric", "float": "float8", "int": "int4", "integer": "int4", "interval": "interval",
	"national": "bpchar", "nchar": "bpchar", "numeric": "numeric", "real": "float4", "smallint": "int2",
	"time": "time", "timestamp": "timestamp", "varchar": "varchar",
}

// keywordType reads the words of a type the grammar knows. The empty name means
// that it is none.
func (p *parser) keywordType() typeName {
	t := p.advance()
	name := typeName{position: position(t.pos), name: keywordTypes[t.text]}
	switch t.text {
	case "double":
		if !p.acceptWord("precision") {
			return typeName{}
		}
		name.name = "float8"
	case "char", "character", "nchar":
		name.name = p.character(name.name)
	case "national":
		if !p.acceptWord("character") && !p.acceptWord("char") {
			return typeName{}
		}
		name.name = p.character(name.name)
	case "interval":
		if p.peek().is("(") {
			p.secondDigits(&name.span)
		}
	case "float":
		name.name = p.floatType()
	case "time", "timestamp":
		if p.peek().is("(") {
			name = p.typeMods(name)
		}
		if name.name = p.timeZone(name.name); p.peek().is("(") {
			p.unexpected()
		}
	}
	return name
}

// character reads [VARYING].
func (p *parser) character(name string) string {
	if t := p.peek(); t.kind == tokIdent && t.text == "varying" {
		p.advance()
		return "varchar"
	}
	return name
}

// floatType reads [(n)], a number of bits.
func (p *parser) floatType() string {
	if !p.peek().is("(") {
		return "float8"
	}
	var bits typeName
	if bits = p.typeMods(bits); p.err != nil {
		return ""
	}
	switch n, ok := atoi([]byte(bits.mods[0])); {
	case len(bits.mods) > 1 || !ok || n < 1 || n > 53:
		p.refuse(p.tokens[p.i-1].pos, "the precision of float must be a number from 1 to 53")
	case n < 25:
		return "float4"
	}
	return "float8"
}

// timeZone reads [WITH|WITHOUT TIME ZONE].
func (p *parser) timeZone(name string) string {
	with := p.peek().word("with")
	without := p.peek().kind == tokIdent && p.peek().text == "without"
	if !(with || without) || !p.peekAt(1).word("time") || !p.peekAt(2).word("zone") {
		return name
	}
	p.i += 3
	if with {
		return name + "tz"
	}
	return name
}

// typeName reads a type after :: or AS, or before a literal.
func (p *parser) typeName() typeName {
	t := p.peek()
	if p.err != nil {
		return typeName{}
	}
	name := typeName{position: position(t.pos)}
	one := false // char without a length is char(1)
	_, known := keywordTypes[t.text]
	switch {
	case t.kind == tokKeyword && (known || t.text == "double" && p.peekAt(1).word("precision")):
		name = p.keywordType()
		if name.name == "" {
			p.unexpected()
		}
		if name.name == "interval" && name.span.none() {
			name.span = p.intervalFields()
		}
		one = name.name == "bpchar" && !p.peek().is("(")
	case t.kind == tokIdent, t.kind == tokKeyword && (t.class == unreserved || t.class == typeFuncName):
		name.name = p.qualifiedType(name.position, p.names())
	default:
		p.unexpected()
	}
	if one {
		name.mods = []string{"1"}
	}
	return p.typeSuffix(name)
}

// typeSuffix reads array brackets, whose number and sizes mean nothing to
// Postgres, and modifiers.
func (p *parser) typeSuffix(name typeName) typeName {
	if p.peek().is("(") {
		if !takesMods(name.name) {
			p.refuse(int(name.position), "type modifiers are not supported")
		}
		name = p.typeMods(name)
	}
	t := p.peek()
	switch {
	case p.err != nil:
	case t.is("["), t.word("array"):
		name.array = true
		p.brackets()
	}
	return name
}

// takesMods: types with numbers behind their name. Those of an interval are read
// by secondDigits.
func takesMods(name string) bool {
	return name == "varchar" || name == "bpchar" || name == "numeric" || isTimed(name)
}

// typeMods reads numbers in parentheses.
func (p *parser) typeMods(name typeName) typeName {
	p.expect("(")
	for p.err == nil {
		if p.peek().kind != tokInt {
			p.unexpected()
		}
		name.mods = append(name.mods, p.advance().text)
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	return name
}

// qualifiedType drops the one schema whose types we know.
func (p *parser) qualifiedType(pos position, parts []string) string {
	if len(parts) == 2 && parts[0] == "pg_catalog" {
		return parts[1]
	}
	if len(parts) > 1 {
		p.refuse(int(pos), "unsupported type "+strings.Join(parts, "."))
	}
	return parts[0]
}

// arity is how messages name a function.
func arity(name string, n int) string { return name + "/" + strconv.Itoa(n) }
