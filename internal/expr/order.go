package expr

import (
	"strconv"
	"strings"
)

// orderPrefix is the length of "SELECT 1 ORDER BY ": faults are counted in the
// text that the clause would be part of (http-protocol §16.1).
const orderPrefix = 18

// Order is a checked ORDER BY clause. It is immutable.
type Order struct{ sql string }

// SQL is the clause without its first two words, "" if it orders nothing. It
// holds nothing of the user's text but names as quoted identifiers.
func (o *Order) SQL() string { return o.sql }

// CompileOrder reads and checks an ORDER BY clause over the columns of one table:
// names and constants, each with ASC or DESC, NULLS FIRST or LAST. Constants
// order nothing and are left out, as are names that come again. Every refusal is
// an *Error of the field "order_by".
func CompileOrder(text string, cols []Column) (*Order, error) {
	if len(text) > MaxSize {
		return nil, orderError("ORDER BY clause is bigger than maximum size of " + strconv.Itoa(MaxSize) + " bytes")
	}
	if !validText(text) {
		return nil, orderError(`invalid byte sequence for encoding "UTF8"`)
	}
	p := &orderParser{
		cursor: cursor{src: text, tokens: lex(text), prefix: orderPrefix, field: "order_by"},
		byName: map[string]int{},
	}
	for i := range cols {
		p.byName[cols[i].Name] = i
	}
	p.clause()
	if p.err != nil {
		return nil, p.err
	}
	return &Order{printOrder(p.terms, cols)}, nil
}

func orderError(msg string) *Error { return &Error{Field: "order_by", Msg: msg} }

// term is one item of the clause.
type term struct {
	column int // -1: a constant
	desc   bool
	nulls  string // "", "FIRST", "LAST"
}

func printOrder(terms []term, cols []Column) string {
	var b strings.Builder
	p := printer{&b}
	seen := map[int]bool{-1: true}
	for _, t := range terms {
		if seen[t.column] {
			continue
		}
		seen[t.column] = true
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		p.ident(cols[t.column].Name)
		b.WriteString([...]string{" ASC", " DESC"}[truth(t.desc)])
		if t.nulls != "" {
			b.WriteString(" NULLS " + t.nulls)
		}
	}
	return b.String()
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// orderParser reads the clause token by token. Of an expression that is not
// allowed it reads as much as it takes to say what it is.
type orderParser struct {
	cursor
	byName map[string]int
	terms  []term
}

func (p *orderParser) clause() {
	for {
		p.term()
		if p.err != nil {
			return
		}
		t := p.peek()
		switch {
		case t.is(","):
			p.advance()
			continue
		case t.kind == tokEnd:
		case t.is(";"):
			p.fail("Unexpected `;` in order by")
		case t.kind == tokKeyword && isClauseWord(t.text):
			p.fail(endsWithClauses)
		default:
			p.unexpected()
		}
		return
	}
}

func (p *orderParser) term() {
	t := term{column: p.operand()}
	switch {
	case p.err != nil:
		return
	case p.peek().word("asc"):
		p.advance()
	case p.peek().word("desc"):
		p.advance()
		t.desc = true
	case p.peek().word("using"):
		p.refuse(p.peek(), "USING is not supported in ORDER BY clauses")
		return
	}
	if p.plain("nulls") {
		p.advance()
		switch {
		case p.plain("first"):
			t.nulls = "FIRST"
		case p.plain("last"):
			t.nulls = "LAST"
		default:
			p.unexpected()
			return
		}
		p.advance()
	}
	p.terms = append(p.terms, t)
}

// plain says whether the next token is that word, not in quotes. It is none of
// the words that expressions know.
func (p *orderParser) plain(word string) bool {
	t := p.peek()
	return t.kind == tokIdent && t.text == word && p.src[t.pos] != '"'
}

// operand reads a name or a constant, perhaps in parentheses, and makes sure that
// it is all there is.
func (p *orderParser) operand() (column int) {
	depth := 0
	for ; p.peek().is("("); depth++ {
		open := p.advance()
		if isSelectWord(p.peek()) {
			p.notAllowed(open, "SubLink")
			return -1
		}
	}
	column = p.primary()
	for p.err == nil {
		t := p.peek()
		switch {
		case depth > 0 && t.is(")"):
			p.advance()
			depth--
		case depth > 0 && t.is(","):
			p.notAllowed(t, "RowExpr")
		default:
			if node := continuation(t, p.peekAt(1)); node != "" {
				p.notAllowed(t, node)
			} else if depth > 0 {
				p.unexpected()
			}
			return column
		}
	}
	return -1
}

// primary reads a name or a constant.
func (p *orderParser) primary() (column int) {
	t := p.peek()
	switch t.kind {
	case tokInt, tokDecimal, tokString, tokBits:
		p.advance()
		return -1
	case tokParam:
		p.refuse(t, "parameter $"+t.text+" is not supported in ORDER BY clauses")
		return -1
	case tokOp:
		p.notAllowed(t, "A_Expr")
		return -1
	case tokIdent:
		return p.name()
	case tokKeyword:
		return p.word(t)
	}
	p.unexpected()
	return -1
}

func (p *orderParser) word(t token) (column int) {
	switch t.text {
	case "true", "false", "null":
		p.advance()
		return -1
	}
	if node := beginning(t.text, p.peekAt(1)); node != "" {
		p.notAllowed(t, node)
		return -1
	}
	if t.class == reserved || t.class == typeFuncName {
		p.unexpected()
		return -1
	}
	return p.name()
}

// name reads a column's name.
func (p *orderParser) name() (column int) {
	first := p.peek()
	parts, star := p.parts()
	switch {
	case p.err != nil:
		return -1
	case star.kind == tokOp:
		p.notAllowed(star, "A_Star")
		return -1
	}
	switch t := p.peek(); {
	case t.is("("):
		p.notAllowed(first, "FuncCall")
		return -1
	case t.kind == tokString:
		p.notAllowed(first, "TypeCast")
		return -1
	}
	name := strings.Join(parts, ".")
	i, ok := p.byName[name]
	if !ok || len(parts) > 1 {
		p.refuse(first, "unknown reference "+name)
		return -1
	}
	return i
}

// beginning names the node of Postgres's tree that a keyword begins, "" if none.
func beginning(word string, next token) string {
	switch word {
	case "case":
		return "CaseExpr"
	case "not":
		return "BoolExpr"
	case "cast":
		return "TypeCast"
	case "array":
		return "A_ArrayExpr"
	}
	if node := wordNode(word, next); node != "" || !next.is("(") {
		return node
	}
	switch word {
	case "coalesce":
		return "CoalesceExpr"
	case "greatest", "least":
		return "MinMaxExpr"
	case "nullif":
		return "A_Expr"
	case "row":
		return "RowExpr"
	case "left", "right", "extract":
		return "FuncCall"
	}
	return ""
}

// continuation names the node that a token makes of the operand before it, "" if
// the operand ends there.
func continuation(t, next token) string {
	switch {
	case t.kind == tokOp:
		return "A_Expr"
	case t.is("::"):
		return "TypeCast"
	case t.is("["):
		return "A_Indirection"
	case t.kind != tokKeyword:
		return ""
	}
	switch t.text {
	case "and", "or":
		return "BoolExpr"
	case "isnull", "notnull":
		return "NullTest"
	case "is":
		if next.word("true") || next.word("false") || next.word("unknown") {
			return "BooleanTest"
		}
		return "NullTest"
	case "not", "between", "in", "like", "ilike", "similar", "operator":
		return "A_Expr"
	case "at":
		return "FuncCall"
	case "collate":
		return "CollateClause"
	}
	return ""
}

func (p *orderParser) notAllowed(t token, node string) {
	p.refuse(t, node+" expressions are not allowed in ORDER BY clauses")
}

func (p *orderParser) refuse(t token, reason string) { p.failAt(t.pos, reason) }
