package expr

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// prefixLen is the length of "SELECT 1 WHERE ": syntax errors are counted in the
// text that the clause would be part of (http-protocol §6).
const prefixLen = 15

// maxNesting bounds the recursion of the parser, maxDepth (check.go) that of
// everything behind it. The canonical text of a tree of maxDepth needs at most
// three levels here for each of its own.
const maxNesting = 4 * maxDepth

// Binding powers, in the order of Postgres's gram.y.
const (
	precOr = iota + 1
	precAnd
	precNot
	precIs
	precCompare
	precPattern // BETWEEN IN LIKE ILIKE SIMILAR
	precOp      // all other operators
	precAdd
	precMul
	precPow
	precAt
	precCollate
	precUnary
	precPostfix // [ ] and ::
)

// parser is a Pratt parser over the token list.
type parser struct {
	cursor
	nesting int
}

// parse reads a whole clause.
func parse(src string) (ast, error) {
	if !validText(src) {
		return nil, whereError(`invalid byte sequence for encoding "UTF8"`)
	}
	p := &parser{cursor: cursor{src: src, tokens: lex(src), prefix: prefixLen, field: "where"}}
	tree := p.expr(0, false)
	p.end()
	if p.err != nil {
		return nil, p.err
	}
	return tree, nil
}

// end checks that nothing follows the expression.
func (p *parser) end() {
	if p.err != nil {
		return
	}
	split := false
	for p.accept(";") {
		split = true
	}
	t := p.peek()
	switch {
	case t.kind == tokEnd:
	case split:
		p.fail(`unescaped ";" causing statement split`)
	case t.kind == tokKeyword && isClauseWord(t.text):
		p.fail(endsWithClauses)
	default:
		p.unexpected()
	}
}

const endsWithClauses = "malformed query ending with SQL clauses"

// isClauseWord: what may follow a WHERE clause in a SELECT.
func isClauseWord(word string) bool {
	switch word {
	case "group", "having", "window", "order", "limit", "offset", "fetch", "for", "union", "intersect", "except":
		return true
	}
	return false
}

func (p *parser) accept(punct string) bool {
	if p.err == nil && p.peek().is(punct) {
		p.advance()
		return true
	}
	return false
}

func (p *parser) acceptWord(word string) bool {
	if p.err == nil && p.peek().word(word) {
		p.advance()
		return true
	}
	return false
}

func (p *parser) expect(punct string) {
	if !p.accept(punct) {
		p.unexpected()
	}
}

func (p *parser) expectWord(word string) {
	if !p.acceptWord(word) {
		p.unexpected()
	}
}

// refuse reports a construct that is well formed but not supported.
func (p *parser) refuse(pos int, reason string) {
	if p.err == nil {
		p.err = errorAt(p.src, pos, reason)
	}
}

// expr reads an expression whose operators bind at least as tightly as minPrec.
// bound marks the lower bound of BETWEEN (gram.y's b_expr), where the word
// operators but IS DISTINCT FROM are not allowed.
func (p *parser) expr(minPrec int, bound bool) ast {
	saved := p.nesting
	defer func() { p.nesting = saved }()
	if p.enter(); p.err != nil {
		return nil
	}
	left := p.prefix(bound)
	for p.err == nil {
		prec := p.infixPrec(bound)
		if prec == 0 || prec < minPrec {
			return left
		}
		left = p.infix(left, prec, bound)
	}
	return nil
}

// enter counts one level of nesting.
func (p *parser) enter() {
	if p.nesting++; p.nesting > maxNesting {
		p.refuse(p.peek().pos, "expression is nested too deeply")
	}
}

// prefix reads what can stand at the beginning of an expression.
func (p *parser) prefix(bound bool) ast {
	t := p.peek()
	switch {
	case t.word("not") && !bound:
		p.advance()
		arg := p.expr(precNot, false)
		return &astNot{position(t.pos), arg}
	case t.kind == tokOp && (t.text == "-" || t.text == "+"):
		p.advance()
		return signed(t, p.expr(precUnary, bound))
	case t.kind == tokOp && binaryPrec(t.text) == precOp:
		p.advance()
		arg := p.expr(precOp+1, bound)
		return &astUnary{position(t.pos), t.text, arg}
	}
	return p.primary()
}

// signed folds a minus into a number, as gram.y's doNegate does: -2147483648 is
// an int4.
func signed(op token, arg ast) ast {
	if n, ok := arg.(*astNumber); ok && op.text == "-" {
		text := "-" + n.text
		if n.text[0] == '-' {
			text = n.text[1:]
		}
		return &astNumber{position(op.pos), text, n.decimal}
	}
	return &astUnary{position(op.pos), op.text, arg}
}

// binaryPrec is the binding power of an operator between two operands.
func binaryPrec(op string) int {
	switch op {
	case "<", ">", "=", "<=", ">=", "<>":
		return precCompare
	case "+", "-":
		return precAdd
	case "*", "/", "%":
		return precMul
	case "^":
		return precPow
	}
	return precOp
}

// infixPrec is the binding power of what comes next, 0 if it cannot continue an
// expression.
func (p *parser) infixPrec(bound bool) int {
	t := p.peek()
	switch t.kind {
	case tokOp:
		return binaryPrec(t.text)
	case tokPunct:
		if t.text == "::" || t.text == "[" {
			return precPostfix
		}
	case tokKeyword:
		if t.text == "is" {
			return precIs
		}
		if !bound {
			return p.wordPrec(t)
		}
	}
	return 0
}

func (p *parser) wordPrec(t token) int {
	switch t.text {
	case "or":
		return precOr
	case "and":
		return precAnd
	case "isnull", "notnull":
		return precIs
	case "between", "in", "like", "ilike", "similar":
		return precPattern
	case "not":
		switch n := p.peekAt(1); {
		case n.word("between"), n.word("in"), n.word("like"), n.word("ilike"), n.word("similar"):
			return precPattern
		}
	case "operator", "overlaps":
		return precOp
	case "at":
		return precAt
	case "collate":
		return precCollate
	}
	return 0
}

// infix reads an operator and what follows it.
func (p *parser) infix(left ast, prec int, bound bool) ast {
	if prec > precAnd { // chains of AND and OR are flat
		p.enter()
	}
	t := p.advance()
	pos := position(t.pos)
	if t.kind == tokOp {
		if any := p.anyOf(left, pos, t.text); any != nil || p.err != nil {
			p.notAgain(prec, precCompare, bound)
			return any
		}
		// Comparisons are not associative, the other operators are to the left.
		right := p.expr(prec+1, bound)
		p.notAgain(prec, precCompare, bound)
		return &astBinary{pos, t.text, left, right}
	}
	switch t.text {
	case "or", "and":
		right := p.expr(prec+1, false)
		return chain(pos, prec == precOr, left, right)
	case "is":
		return p.is(left, pos, bound)
	case "isnull":
		return &astNullTest{pos, left, false}
	case "notnull":
		return &astNullTest{pos, left, true}
	case "::":
		to := p.typeName()
		return &astCast{pos, left, to}
	case "[":
		return p.subscripts(left, t)
	case "operator":
		p.refuse(t.pos, "OPERATOR() is not supported in this context")
	case "overlaps":
		p.refuse(t.pos, "unknown or unsupported function overlaps/4")
	case "at":
		return p.atTimeZone(left, pos)
	case "collate":
		p.refuse(t.pos, "CollateClause is not supported in this context")
	}
	if p.err != nil {
		return nil
	}
	not := t.text == "not"
	if not {
		t = p.advance()
	}
	return p.pattern(left, pos, t.text, not)
}

// notAgain refuses an operator of a level that does not associate when another
// of the same level follows: a = b = c.
func (p *parser) notAgain(prec, level int, bound bool) {
	if p.err == nil && prec == level && p.infixPrec(bound) == level {
		p.unexpected()
	}
}

// chain joins two operands of AND or OR, taking in the arms of an operand that
// is such a chain itself.
func chain(pos position, or bool, l, r ast) ast {
	c, ok := l.(*astLogic)
	if !ok || c.or != or {
		c = &astLogic{pos, or, []ast{l}}
	}
	if rc, ok := r.(*astLogic); ok && rc.or == or {
		c.args = append(c.args, rc.args...)
	} else {
		c.args = append(c.args, r)
	}
	return c
}

// whereError is a fault of the clause.
func whereError(msg string) *Error { return &Error{Field: "where", Msg: msg} }

// errorAt is a fault at a byte offset of the clause. Clients get characters.
func errorAt(src string, pos int, reason string) *Error {
	n := utf8.RuneCountInString(src[:min(pos, len(src))])
	return whereError("At location " + strconv.Itoa(n) + ": " + reason)
}

// validText: what a UTF8 database can hold.
func validText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
