package expr

import (
	"strings"
)

// printSQL writes the canonical text. Every operator is in parentheses, every
// cast is written out, every constant carries its type: what Postgres makes of
// the text does not depend on its rules for choosing operators, and reading the
// text again gives the same tree.
func printSQL(n node) string {
	var b strings.Builder
	p := printer{&b}
	p.node(n)
	return b.String()
}

type printer struct{ *strings.Builder }

func (p printer) node(n node) {
	switch n := n.(type) {
	case *column:
		p.ident(n.col.Name)
	case *constant:
		p.constant(n)
	case *cast:
		p.node(n.arg)
		p.WriteString("::" + n.row.to.info().name)
	case *quantified:
		p.quantified(n)
	case *rowOrder:
		p.rowOrder(n)
	case *applied:
		n.sql(p, n.args)
	case *operation:
		p.infix(n.l, operatorSQL(n.op.name), n.r)
	case *inList:
		p.in(n)
	case *logic:
		p.logic(n)
	case *negation:
		p.WriteString("(NOT ")
		p.node(n.arg)
		p.WriteByte(')')
	case *nullTest:
		p.suffix(n.arg, n.not, nullWord(n))
	case *truthTest:
		p.suffix(n.arg, n.not, [...]string{no: "FALSE", yes: "TRUE", unknown: "UNKNOWN"}[n.what])
	case *distinct:
		word := "IS DISTINCT FROM"
		if n.not {
			word = "IS NOT DISTINCT FROM"
		}
		p.infix(n.l, word, n.r)
	}
}

// nullWord: for a row, IS DISTINCT FROM NULL is not IS NOT NULL. (The sense of
// NOT is the other way round.)
func nullWord(n *nullTest) string {
	if n.whole && isRow(n.arg) {
		return "DISTINCT FROM NULL"
	}
	return "NULL"
}

func isRow(n node) bool {
	t := n.typeOf()
	return t.kind == kindOther && t.decl.Row
}

func (p printer) suffix(arg node, not bool, word string) {
	if strings.HasPrefix(word, "DISTINCT") {
		not = !not
	}
	p.WriteByte('(')
	p.node(arg)
	p.WriteString(" IS ")
	if not {
		p.WriteString("NOT ")
	}
	p.WriteString(word + ")")
}

func operatorSQL(name string) string {
	switch name {
	case "~~":
		return "LIKE"
	case "!~~":
		return "NOT LIKE"
	case "~~*":
		return "ILIKE"
	case "!~~*":
		return "NOT ILIKE"
	}
	return name
}

func (p printer) infix(l node, word string, r node) {
	p.WriteByte('(')
	p.node(l)
	p.WriteString(" " + word + " ")
	p.node(r)
	p.WriteByte(')')
}

func (p printer) logic(n *logic) {
	word := " AND "
	if n.or {
		word = " OR "
	}
	p.WriteByte('(')
	for i, arg := range n.args {
		if i > 0 {
			p.WriteString(word)
		}
		p.node(arg)
	}
	p.WriteByte(')')
}

func (p printer) in(n *inList) {
	p.WriteByte('(')
	p.node(n.arg)
	p.WriteString(" IN (")
	for i, k := range n.list {
		if i > 0 {
			p.WriteString(", ")
		}
		p.constant(k)
	}
	p.WriteString("))")
}

// constant writes true, false, or 'text'::type. An enum's type goes without
// saying, and saying it would need its schema.
func (p printer) constant(n *constant) {
	switch k := n.t.kind; {
	case n.t.nameless():
		if n.value.null {
			p.WriteString("NULL")
			return
		}
		p.literal(string(n.t.output(n.value)))
		return
	case n.value.null:
		p.WriteString("NULL")
	case k == kindBool:
		p.WriteString([...]string{"false", "true"}[n.value.n])
		return
	default:
		p.literal(string(n.t.output(n.value)))
	}
	p.WriteString("::" + n.t.String())
}

func (p printer) ident(name string) {
	p.WriteString(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
}

// literal quotes a text so that standard_conforming_strings does not matter.
func (p printer) literal(text string) {
	text = strings.ReplaceAll(text, "'", "''")
	if strings.Contains(text, `\`) {
		p.WriteString("E")
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	p.WriteString("'" + text + "'")
}
