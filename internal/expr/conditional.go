package expr

import "github.com/spillway-sync/spillway/internal/wal"

// COALESCE, GREATEST, LEAST, NULLIF and CASE.

// special checks the forms that are written like functions.
func (c *checker) special(a *astSpecial) (node, error) {
	args, err := c.exprs(a.args)
	if err != nil {
		return nil, err
	}
	if a.name == "NULLIF" {
		return c.nullIf(a, args)
	}
	common, err := c.alike(a, a.name, args)
	if err != nil {
		return nil, err
	}
	if a.name == "COALESCE" {
		return c.coalesce(a, common, args)
	}
	return c.extreme(a, common, args)
}

// alike brings nodes to their common type, in place. What is for the message.
func (c *checker) alike(at ast, what string, nodes []node) (typ, error) {
	common, ok := commonType(nodes)
	if !ok {
		return typ{}, c.unmatched(at, what, nodes)
	}
	if common.kind == kindOther {
		return typ{}, c.fail(at, what+" of type "+common.String()+" is not supported")
	}
	for i := range nodes {
		n, err := c.coerce(nodes[i], common)
		if err != nil {
			return typ{}, err
		}
		nodes[i] = n
	}
	return common, nil
}

func (c *checker) unmatched(at ast, what string, nodes []node) error {
	first := nodes[0].typeOf()
	for _, n := range nodes[1:] {
		if t := n.typeOf(); t.kind != kindUnknown && !t.same(first) {
			if first.kind != kindUnknown {
				return c.fail(at, what+" types "+first.String()+" and "+t.String()+" cannot be matched")
			}
			first = t
		}
	}
	return c.fail(at, what+" types cannot be matched")
}

// coalesce leaves out NULLs, and what stands behind a constant that is none.
func (c *checker) coalesce(at ast, t typ, args []node) (node, error) {
	var kept []node
	if t.nameless() {
		kept, args = args, nil
	}
	for _, n := range args {
		if isNull(n) {
			continue
		}
		kept = append(kept, n)
		if _, ok := n.(*constant); ok {
			break
		}
	}
	switch len(kept) {
	case 0:
		return null(at, t), nil
	case 1:
		return kept[0], nil
	}
	return &applied{t: t, args: kept, lax: true, compile: firstOf, sql: sqlCall("COALESCE")}, nil
}

// firstOf evaluates operands up to the first that is not NULL.
func firstOf(args []valueFn) valueFn {
	return func(row wal.Tuple) (value, error) {
		for _, f := range args {
			if v, err := f(row); err != nil || !v.null {
				return v, err
			}
		}
		return value{null: true}, nil
	}
}

// extreme is GREATEST or LEAST: of values that are equal the first.
func (c *checker) extreme(at *astSpecial, t typ, args []node) (node, error) {
	compare := orderOf(t)
	if compare == nil {
		return nil, c.fail(at, at.name+" of type "+t.String()+" is not supported")
	}
	n := &applied{t: t, args: args, lax: true, sql: sqlCall(at.name)}
	if t.collates() {
		if err := c.checkNeed(at, needBytewise, collationOf(n)); err != nil {
			return nil, err
		}
	}
	sign := 1
	if at.name == "LEAST" {
		sign = -1
	}
	n.apply = func(v []value) (value, error) {
		best := value{null: true}
		for _, x := range v {
			if x.null {
				continue
			}
			if best.null {
				best = x
				continue
			}
			order, err := compare(x, best)
			if err != nil {
				return value{}, err
			}
			if sign*order > 0 {
				best = x
			}
		}
		return best, nil
	}
	return c.computed(at, n)
}

// orderOf is the order of a type's values; nil: it has none, or none that we know.
func orderOf(t typ) func(a, b value) (int, error) {
	switch {
	case t.kind == kindJSON || t.kind == kindJSONB || t.elem == kindJSON || t.elem == kindJSONB:
		return nil
	case t.kind == kindEnum:
		return enumCompare(t.decl)
	case t.elem == kindEnum:
		return enumArrayCompare(t.decl)
	case t.kind == kindArray:
		compare := elementCompare(t.elem)
		return func(a, b value) (int, error) { return compareArrays(a.array, b.array, compare), nil }
	}
	compare := elementCompare(t.kind)
	return func(a, b value) (int, error) { return compare(a, b), nil }
}

// nullIf: the value of the first operand, as the equality takes it, unless both
// are equal.
func (c *checker) nullIf(at *astSpecial, args []node) (node, error) {
	n, err := c.choice(at, "=", args[0], args[1])
	if err != nil {
		return nil, err
	}
	eq := n.(*operation)
	if (isNull(eq.l) || isNull(eq.r)) && !eq.l.typeOf().nameless() {
		return eq.l, nil // as Postgres's planner does
	}
	compare := eq.op.compare
	return c.computed(at, &applied{t: eq.l.typeOf(), args: []node{eq.l, eq.r}, lax: true, sql: sqlCall(at.name), apply: func(v []value) (value, error) {
		if !v[0].null && !v[1].null && compare(v[0], v[1]) == 0 {
			return value{null: true}, nil
		}
		return v[0], nil
	}})
}

// choose checks CASE. CASE x WHEN v is CASE WHEN x = v: x can be repeated, as it
// gives the same each time. The operands of the node are condition and result of
// each WHEN, and what ELSE has.
func (c *checker) choose(a *astCase) (node, error) {
	var conditions []node
	for _, w := range a.whens {
		n, err := c.condition(a, w.condition)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, n)
	}
	// The result of ELSE counts first for the common type (transformCaseExpr).
	other, err := c.expr(a.otherwise)
	if err != nil {
		return nil, err
	}
	results := []node{other}
	for _, w := range a.whens {
		n, err := c.expr(w.result)
		if err != nil {
			return nil, err
		}
		results = append(results, n)
	}
	t, err := c.alike(a, "CASE", results)
	if err != nil {
		return nil, err
	}
	var args []node
	otherwise := results[0]
	for i, n := range conditions {
		if k, ok := n.(*constant); ok && !t.nameless() {
			if k.value.null || k.value.n == 0 {
				continue
			}
			otherwise = results[i+1]
			break
		}
		args = append(args, n, results[i+1])
	}
	if args == nil {
		return otherwise, nil
	}
	return &applied{t: t, args: append(args, otherwise), lax: true, compile: firstTrue, sql: caseSQL}, nil
}

// condition is what stands behind a WHEN.
func (c *checker) condition(a *astCase, when ast) (node, error) {
	if a.arg == nil {
		return c.bool(when)
	}
	arg, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	if arg, err = c.text(arg); err != nil {
		return nil, err
	}
	n, err := c.expr(when)
	if err != nil {
		return nil, err
	}
	return c.apply(when, "=", arg, n)
}

// firstTrue evaluates conditions up to the first that is true, and its result.
func firstTrue(args []valueFn) valueFn {
	return func(row wal.Tuple) (value, error) {
		for i := 0; i+1 < len(args); i += 2 {
			v, err := args[i](row)
			if err != nil {
				return v, err
			}
			if !v.null && v.n != 0 {
				return args[i+1](row)
			}
		}
		return args[len(args)-1](row)
	}
}

func caseSQL(p printer, args []node) {
	p.WriteString("CASE")
	for i := 0; i+1 < len(args); i += 2 {
		p.WriteString(" WHEN ")
		p.node(args[i])
		p.WriteString(" THEN ")
		p.node(args[i+1])
	}
	p.WriteString(" ELSE ")
	p.node(args[len(args)-1])
	p.WriteString(" END")
}
