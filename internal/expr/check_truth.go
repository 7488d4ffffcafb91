package expr

// bool checks an operand that must be a bool.
func (c *checker) bool(a ast) (node, error) {
	n, err := c.expr(a)
	if err != nil {
		return nil, err
	}
	switch t := n.typeOf(); t.kind {
	case kindBool:
		return n, nil
	case kindUnknown:
		return c.settle(n.(*constant), boolType, false)
	default:
		return nil, c.fail(a, "expression of type "+t.String()+" is not castable to bool")
	}
}

func (c *checker) logic(a *astLogic) (node, error) {
	args := make([]node, len(a.args))
	for i, arg := range a.args {
		n, err := c.bool(arg)
		if err != nil {
			return nil, err
		}
		args[i] = n
	}
	return joined(a.or, args), nil
}

// joined makes AND or OR of nodes, flat. A constant decides, or can be left out,
// but for one NULL.
func joined(or bool, args []node) node {
	n := &logic{or: or}
	unknown := false
	for _, arg := range flat(or, args) {
		if k, ok := arg.(*constant); ok {
			switch {
			case !k.value.null && (k.value.n != 0) == or:
				return boolConstant(or)
			case !k.value.null || unknown:
				continue
			}
			unknown = true
		}
		n.args = append(n.args, arg)
	}
	switch len(n.args) {
	case 0:
		return boolConstant(!or)
	case 1:
		return n.args[0]
	}
	return n
}

// flat takes in the arms of operands that are such chains themselves.
func flat(or bool, args []node) []node {
	var list []node
	for _, arg := range args {
		if inner, ok := arg.(*logic); ok && inner.or == or {
			list = append(list, inner.args...)
		} else {
			list = append(list, arg)
		}
	}
	return list
}

func boolConstant(b bool) *constant { return &constant{t: boolType, value: boolValue(b)} }

// text gives what is left untyped the type text, as Postgres does.
func (c *checker) text(n node) (node, error) {
	if k, ok := n.(*constant); ok && k.t.kind == kindUnknown {
		return c.settle(k, typ{kind: kindText}, false)
	}
	return n, nil
}

func (c *checker) nullTest(a *astNullTest) (node, error) {
	if r := asRow(a.arg); r != nil {
		return c.rowNull(a, r)
	}
	arg, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	if arg, err = c.text(arg); err != nil {
		return nil, err
	}
	return &nullTest{arg: arg, not: a.not}, nil
}

func (c *checker) truthTest(a *astTruthTest) (node, error) {
	arg, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	name := map[string]string{"true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}[a.what]
	if a.not {
		name = "NOT " + name
	}
	switch t := arg.typeOf(); t.kind {
	case kindBool:
	case kindUnknown:
		if arg, err = c.settle(arg.(*constant), boolType, false); err != nil {
			return nil, err
		}
	default:
		return nil, c.fail(a, "argument of IS "+name+" must be bool, not "+t.String())
	}
	what := map[string]tri{"true": yes, "false": no, "unknown": unknown}[a.what]
	return &truthTest{arg, a.not, what}, nil
}

// distinct: with a literal NULL on one side, Postgres makes it a null test that
// does not look into rows, for any type.
func (c *checker) distinct(a *astDistinct) (node, error) {
	if l, r := asRow(a.l), asRow(a.r); l != nil || r != nil {
		return c.rowDistinct(a, l, r)
	}
	l, err := c.expr(a.l)
	if err != nil {
		return nil, err
	}
	r, err := c.expr(a.r)
	if err != nil {
		return nil, err
	}
	for _, pair := range [][2]node{{l, r}, {r, l}} {
		if pair[1].typeOf().kind == kindUnknown && isNull(pair[1]) {
			arg, err := c.text(pair[0])
			return &nullTest{arg: arg, not: !a.not, whole: true}, err
		}
	}
	n, err := c.choice(a, "=", l, r)
	if err != nil {
		return nil, err
	}
	eq := n.(*operation)
	return &distinct{eq.op, eq.l, eq.r, a.not}, nil
}

// between: x BETWEEN a AND b is x >= a AND x <= b, and so on (transformAExprBetween).
// Operands are checked anew wherever they are repeated, so that the size of the
// tree is counted rightly.
func (c *checker) between(a *astBetween) (node, error) {
	inside := func(low, high ast) (node, error) {
		lowOp, highOp := ">=", "<="
		if a.not {
			lowOp, highOp = "<", ">"
		}
		l, err := c.binary(a, lowOp, a.arg, low)
		if err != nil {
			return nil, err
		}
		h, err := c.binary(a, highOp, a.arg, high)
		if err != nil {
			return nil, err
		}
		return joined(a.not, []node{l, h}), nil
	}
	n, err := inside(a.low, a.high)
	if err != nil || !a.symmetric {
		return n, err
	}
	m, err := inside(a.high, a.low)
	if err != nil {
		return nil, err
	}
	return joined(!a.not, []node{n, m}), nil
}

// in follows transformAExprIn: two or more operands that read no column become
// one array of their common type, if there is one; the others are compared one
// by one. It matters: real IN (0.1, 0.2) compares as real, real IN (0.1) as
// double precision.
func (c *checker) in(a *astIn) (node, error) {
	if r := asRow(a.arg); r != nil {
		return c.rowIn(a, r)
	}
	arg, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	fixed, open, err := c.inOperands(a)
	if err != nil {
		return nil, err
	}
	var arms []node
	if len(fixed) > 1 {
		arms, err = c.inConstants(a, arg, fixed)
		if err != nil {
			return nil, err
		}
	}
	if arms == nil {
		open = a.list
	}
	for _, e := range open {
		eq, err := c.binary(a, "=", a.arg, e)
		if err != nil {
			return nil, err
		}
		arms = append(arms, eq)
	}
	n := joined(true, arms)
	if a.not {
		return c.folded(a, &negation{n})
	}
	return n, nil
}

// inOperands checks the list. fixed are those that read no column, open the
// syntax of the others.
func (c *checker) inOperands(a *astIn) (fixed []node, open []ast, err error) {
	for _, e := range a.list {
		n, err := c.expr(e)
		if err != nil {
			return nil, nil, err
		}
		if readsColumns(n) {
			open = append(open, e)
		} else {
			fixed = append(fixed, n)
		}
	}
	return fixed, open, nil
}

// inConstants makes arg = ANY (fixed); nil without an error when they have no
// common type.
func (c *checker) inConstants(a ast, arg node, fixed []node) ([]node, error) {
	common, ok := commonType(append([]node{arg}, fixed...))
	if !ok || common.kind == kindOther || common.kind == kindArray {
		return nil, nil
	}
	pairs := make([]*operation, len(fixed))
	for i, n := range fixed {
		n, err := c.coerce(n, common)
		if err != nil {
			return nil, err
		}
		if n, err = c.choice(a, "=", arg, n); err != nil {
			return nil, err
		}
		pairs[i] = n.(*operation)
		fixed[i] = pairs[i].r
	}
	if left := pairs[0].l; !left.typeOf().same(arg.typeOf()) {
		// The operator wanted a cast of arg: int8 IN (two float4s) compares as
		// float8. Reading the canonical text, with that cast written out, would
		// bring the constants to the new common type; so do it now. It changes
		// nothing else, as the operator widens them in the same way.
		return c.inConstants(a, left, fixed)
	}
	arms := inArms(pairs)
	for i, n := range arms {
		var err error
		if arms[i], err = c.folded(a, n); err != nil {
			return nil, err
		}
	}
	return arms, nil
}

// inArms makes one list of the comparisons with constants, and puts those with
// other things that read no column behind it.
func inArms(pairs []*operation) []node {
	in := &inList{op: pairs[0].op, arg: pairs[0].l}
	var others []node
	for _, eq := range pairs {
		if k, ok := eq.r.(*constant); ok {
			in.list = append(in.list, k)
		} else {
			others = append(others, eq)
		}
	}
	switch len(in.list) {
	case 0:
		return others
	case 1:
		if in.list[0].value.null {
			return append([]node{null(in.list[0].at, boolType)}, others...)
		}
		return append([]node{&operation{in.op, in.arg, in.list[0]}}, others...)
	}
	return append([]node{in}, others...)
}
