package expr

// atTimeZone reads what follows AT: it is a call of timezone().
func (p *parser) atTimeZone(left ast, pos position) ast {
	if t := p.peek(); t.kind == tokIdent && t.text == "local" {
		p.refuse(int(pos), "AT LOCAL is not supported in this context")
		return nil
	}
	p.expectWord("time")
	p.expectWord("zone")
	zone := p.expr(precAt+1, false)
	return &astCall{pos, "timezone", []ast{zone, left}}
}
