package expr

// anyOf reads [op] ANY (…), ALL, SOME; nil if something else follows.
func (p *parser) anyOf(left ast, pos position, op string) ast {
	t := p.peek()
	if p.err != nil || !t.word("any") && !t.word("all") && !t.word("some") || !p.peekAt(1).is("(") {
		return nil
	}
	if isSelectWord(p.peekAt(2)) {
		p.refuse(t.pos, "only `value IN (SELECT ...)` sublinks are supported right now")
		return nil
	}
	p.advance()
	p.expect("(")
	arr := p.expr(0, false)
	p.expect(")")
	return &astAny{pos, op, t.text == "all", left, arr}
}

// array reads ARRAY[…].
func (p *parser) array(pos position) ast {
	p.advance()
	if t := p.peek(); t.is("(") && isSelectWord(p.peekAt(1)) {
		p.refuse(int(pos), "only `value IN (SELECT ...)` sublinks are supported right now")
		return nil
	}
	p.expect("[")
	return p.elements(pos)
}

// elements reads what follows the opening bracket: expressions, or brackets, but
// not both.
func (p *parser) elements(pos position) ast {
	if p.enter(); p.err != nil {
		return nil
	}
	a := &astArray{position: pos}
	if p.accept("]") {
		return a
	}
	nested := p.peek().is("[")
	for p.err == nil {
		at := position(p.peek().pos)
		if nested {
			p.expect("[")
			a.elems = append(a.elems, p.elements(at))
		} else {
			a.elems = append(a.elems, p.expr(0, false))
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect("]")
	return a
}

// subscripts reads one or more [i] or [a:b] behind left; open is the first
// bracket. Only a column, a parameter and parentheses can have them.
func (p *parser) subscripts(left ast, open token) ast {
	switch left.(type) {
	case *astColumn, *astParam:
	default:
		if p.i < 2 || !p.tokens[p.i-2].is(")") {
			p.i--
			p.unexpected()
			return nil
		}
	}
	a := &astSubscript{position: position(open.pos), arg: left}
	for p.err == nil {
		a.subs = append(a.subs, p.oneSubscript())
		if !p.accept("[") {
			break
		}
	}
	if len(a.subs) > maxDimensions {
		p.refuse(open.pos, dimensionsError(len(a.subs)).Error())
	}
	return a
}

func (p *parser) oneSubscript() subscript {
	var s subscript
	if !p.peek().is(":") {
		s.high = p.expr(0, false)
	}
	if p.accept(":") {
		s = subscript{low: s.high, slice: true}
		if !p.peek().is("]") {
			s.high = p.expr(0, false)
		}
	}
	p.expect("]")
	return s
}

// row reads ROW(…).
func (p *parser) row(pos position) ast {
	p.advance()
	p.expect("(")
	r := &astRow{position: pos}
	if !p.peek().is(")") {
		r.fields = p.list()
	}
	p.expect(")")
	return r
}

// brackets reads what follows the name of an array type.
func (p *parser) brackets() {
	if p.acceptWord("array") {
		if p.accept("[") {
			p.size(true)
		}
		return
	}
	for p.accept("[") {
		p.size(false)
	}
}

func (p *parser) size(must bool) {
	if p.peek().kind == tokInt {
		p.advance()
	} else if must {
		p.unexpected()
	}
	p.expect("]")
}
