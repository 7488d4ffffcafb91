package expr

import "strings"

// is reads what follows IS.
func (p *parser) is(left ast, pos position, bound bool) ast {
	not := p.acceptWord("not")
	t := p.peek()
	if t.word("distinct") {
		p.advance()
		p.expectWord("from")
		right := p.expr(precIs+1, bound)
		p.notAgain(precIs, precIs, bound)
		return &astDistinct{pos, left, right, not}
	}
	if bound {
		p.unexpected()
		return nil
	}
	switch {
	case t.word("null"):
		p.advance()
		return &astNullTest{pos, left, not}
	case t.word("true"), t.word("false"), t.word("unknown"):
		p.advance()
		return &astTruthTest{pos, left, not, t.text}
	case t.kind == tokIdent && p.peekAt(1).text == "normalized" && strings.HasPrefix(t.text, "nf"): // NFC, NFKD …
		p.refuse(int(pos), "unknown or unsupported function is_normalized/2")
	case t.kind == tokIdent && refusedTests[t.text] != "":
		p.refuse(int(pos), refusedTests[t.text])
	default:
		p.unexpected()
	}
	return nil
}

// refusedTests are what else can stand behind IS.
var refusedTests = map[string]string{
	"document":   "XmlExpr is not supported in this context",
	"json":       "JsonIsPredicate is not supported in this context",
	"normalized": "unknown or unsupported function is_normalized/1",
}

// jsonForms are the constructors of JSON that the grammar has from Postgres 16 on.
var jsonForms = map[string]string{
	"json_object": "JsonObjectConstructor", "json_array": "JsonArrayConstructor", "json_scalar": "JsonScalarExpr",
	"json_serialize": "JsonSerializeExpr", "json_exists": "JsonFuncExpr", "json_query": "JsonFuncExpr", "json_value": "JsonFuncExpr",
	"json_objectagg": "JsonObjectAgg", "json_arrayagg": "JsonArrayAgg",
}

// pattern reads what follows [NOT] BETWEEN, IN, LIKE, ILIKE, SIMILAR.
func (p *parser) pattern(left ast, pos position, word string, not bool) ast {
	switch word {
	case "between":
		return p.between(left, pos, not)
	case "in":
		return p.in(left, pos, not)
	case "similar":
		p.expectWord("to")
		p.refuse(int(pos), "unknown or unsupported function similar_to_escape/1")
		return nil
	}
	op := "~~"
	if word == "ilike" {
		op = "~~*"
	}
	if not {
		op = "!" + op
	}
	if any := p.anyOf(left, pos, op); any != nil || p.err != nil {
		p.notAgain(precPattern, precPattern, false)
		return any
	}
	right := p.expr(precPattern+1, false)
	if p.acceptWord("escape") {
		right = &astCall{pos, "like_escape", []ast{right, p.expr(precPattern+1, false)}}
	}
	p.notAgain(precPattern, precPattern, false)
	return &astBinary{pos, op, left, right}
}

func (p *parser) between(left ast, pos position, not bool) ast {
	symmetric := p.acceptWord("symmetric")
	if !symmetric {
		p.acceptWord("asymmetric")
	}
	low := p.expr(0, true)
	p.expectWord("and")
	high := p.expr(precPattern+1, false)
	p.notAgain(precPattern, precPattern, false)
	return &astBetween{pos, left, low, high, not, symmetric}
}

func (p *parser) in(left ast, pos position, not bool) ast {
	if t := p.peekAt(1); p.peek().is("(") && isSelectWord(t) {
		p.refuse(t.pos, "subqueries are not supported yet")
		return nil
	}
	p.expect("(")
	list := p.list()
	p.expect(")")
	return &astIn{pos, left, list, not}
}

// isSelectWord: the token can begin a subquery.
func isSelectWord(t token) bool {
	return t.word("select") || t.word("values") || t.word("with") || t.word("table")
}

// list reads one or more expressions.
func (p *parser) list() []ast {
	var list []ast
	for p.err == nil {
		list = append(list, p.expr(0, false))
		if !p.accept(",") {
			break
		}
	}
	return list
}

// primary reads a literal, a parameter, a name, a call, or parentheses.
func (p *parser) primary() ast {
	t := p.peek()
	pos := position(t.pos)
	switch t.kind {
	case tokInt, tokDecimal:
		p.advance()
		return &astNumber{pos, t.text, t.kind == tokDecimal}
	case tokString:
		p.advance()
		return &astString{pos, t.text}
	case tokParam:
		p.advance()
		return &astParam{pos, t.text}
	case tokBits:
		p.refuse(t.pos, "BitString values are not supported")
		return nil
	case tokIdent:
		return p.name()
	case tokKeyword:
		return p.wordPrimary(t)
	}
	if p.accept("(") {
		return p.parentheses()
	}
	p.unexpected()
	return nil
}

func (p *parser) parentheses() ast {
	t := p.peek()
	if isSelectWord(t) {
		p.refuse(t.pos, "only `value IN (SELECT ...)` sublinks are supported right now")
		return nil
	}
	inner := p.expr(0, false)
	if p.accept(",") {
		fields := append([]ast{inner}, p.list()...)
		p.expect(")")
		return &astRow{position(t.pos), fields}
	}
	p.expect(")")
	return inner
}

// wordPrimary reads an expression that begins with a keyword.
func (p *parser) wordPrimary(t token) ast {
	pos := position(t.pos)
	switch t.text {
	case "true", "false":
		p.advance()
		return &astBool{pos, t.text == "true"}
	case "null":
		p.advance()
		return &astNull{pos}
	case "cast":
		return p.cast(pos)
	case "case":
		return p.caseOf(pos)
	case "coalesce", "greatest", "least", "nullif":
		if p.peekAt(1).is("(") {
			return p.special(pos)
		}
	case "extract":
		if p.peekAt(1).is("(") {
			return p.extract(pos)
		}
	case "array":
		return p.array(pos)
	case "row":
		if p.peekAt(1).is("(") {
			return p.row(pos)
		}
	}
	if reason := refusedWord(t.text, p.peekAt(1)); reason != "" {
		p.refuse(t.pos, reason)
		return nil
	}
	if t.class == reserved {
		p.unexpected()
		return nil
	}
	if to, ok := p.literalType(); ok {
		text := p.advance()
		if to.name == "interval" && to.span.none() {
			to.span = p.intervalFields()
		}
		return &astCast{pos, &astString{position(text.pos), text.text}, to}
	}
	return p.name()
}

// special reads COALESCE(…) and its like.
func (p *parser) special(pos position) ast {
	s := &astSpecial{position: pos, name: strings.ToUpper(p.advance().text)}
	p.advance()
	if s.name == "NULLIF" {
		s.args = append(s.args, p.expr(0, false))
		p.expect(",")
		s.args = append(s.args, p.expr(0, false))
	} else {
		s.args = p.list()
	}
	p.expect(")")
	return s
}

// caseOf reads CASE … END. Without an ELSE it is NULL.
func (p *parser) caseOf(pos position) ast {
	p.advance()
	n := &astCase{position: pos, otherwise: &astNull{pos}}
	if !p.peek().word("when") {
		n.arg = p.expr(0, false)
	}
	for p.err == nil && (len(n.whens) == 0 || p.peek().word("when")) {
		p.expectWord("when")
		condition := p.expr(0, false)
		p.expectWord("then")
		n.whens = append(n.whens, when{condition, p.expr(0, false)})
	}
	if p.acceptWord("else") {
		n.otherwise = p.expr(0, false)
	}
	p.expectWord("end")
	return n
}

// refusedWord gives the reason when a keyword begins a construct that Postgres
// has and we have not.
func refusedWord(word string, next token) string {
	if word == "collation" && next.word("for") {
		return "unknown or unsupported function pg_collation_for/1"
	}
	switch node := wordNode(word, next); node {
	case "":
		return ""
	case "SubLink":
		return "only `value IN (SELECT ...)` sublinks are supported right now"
	case "FuncCall":
		return "unknown or unsupported function " + word
	default:
		return node + " is not supported in this context"
	}
}

// name reads a column, a call, or type 'literal' that begins with a plain name.
func (p *parser) name() ast {
	first := p.peek()
	pos := position(first.pos)
	if p.peekAt(1).kind == tokString && (first.kind == tokIdent || first.class != columnName) {
		to := p.typeName()
		text := p.advance()
		return &astCast{pos, &astString{position(text.pos), text.text}, to}
	}
	if node := jsonForms[first.text]; node != "" && p.peekAt(1).is("(") {
		p.refuse(first.pos, node+" is not supported in this context")
	}
	parts := p.names()
	t := p.peek()
	switch {
	case p.err != nil:
		return nil
	case t.is("("):
		if first.class == columnName && len(parts) == 1 {
			p.unexpected()
			return nil
		}
		return p.call(pos, parts)
	case t.kind == tokString && len(parts) > 1:
		p.advance()
		to := typeName{position: pos, name: p.qualifiedType(pos, parts)}
		return &astCast{pos, &astString{position(t.pos), t.text}, to}
	case first.class == typeFuncName:
		p.unexpected()
		return nil
	}
	return &astColumn{pos, parts}
}

// names reads a name with its qualifiers.
func (p *parser) names() []string {
	parts, star := p.parts()
	if star.kind == tokOp {
		p.refuse(star.pos, "A_Star is not supported in this context")
	}
	return parts
}
