package expr

import (
	"fmt"

	"github.com/spillway-sync/spillway/internal/wal"
)

// quantified is l op ANY (arr) or l op ALL (arr).
type quantified struct {
	op     *operator
	l, arr node
	all    bool
}

func (n *quantified) typeOf() typ      { return boolType }
func (n *quantified) operands() []node { return []node{n.l, n.arr} }

// pair is the operation on l and one element. It stands for all of them: only
// its types and collation mean something.
func (n *quantified) pair() *operation {
	return &operation{n.op, n.l, &applied{t: n.arr.typeOf().element(), args: []node{n.arr}}}
}

// any follows make_scalar_array_op: the operator is chosen for the type of the
// elements, and the whole array is cast to what it takes.
func (c *checker) any(a *astAny) (node, error) {
	l, err := c.expr(a.l)
	if err != nil {
		return nil, err
	}
	arr, err := c.expr(a.arr)
	if err != nil {
		return nil, err
	}
	var element typ
	switch t := arr.typeOf(); t.kind {
	case kindArray:
		element = t.element()
	case kindUnknown:
	default:
		return nil, c.fail(a, "argument of "+quantifier(a.all)+" must be an array")
	}
	op, err := c.anyOperator(a, l, element)
	if err != nil {
		return nil, err
	}
	right := typ{kind: op.right}
	if op.right == kindEnum {
		if right = l.typeOf(); right.kind != kindEnum {
			right = element
		}
	}
	left := typ{kind: op.left}
	if op.left == kindEnum {
		left = right
	}
	if l, err = c.coerce(l, left); err != nil {
		return nil, err
	}
	if arr, err = c.coerce(arr, arrayOf(right)); err != nil {
		return nil, err
	}
	n := &quantified{op, l, arr, a.all}
	if err := c.checkCollation(a, n.pair()); err != nil {
		return nil, err
	}
	return c.asList(a, n)
}

func quantifier(all bool) string {
	if all {
		return "ALL"
	}
	return "ANY"
}

func (c *checker) anyOperator(a *astAny, l node, element typ) (*operator, error) {
	path, isPath := pathOperators[a.op]
	if computations[a.op] != nil || isPath && path.result != kindBool {
		return nil, c.fail(a, "ANY/ALL requires operator that returns bool")
	}
	rows := operators[a.op]
	if rows == nil && arrayOperators[a.op] == nil {
		return nil, c.fail(a, `unknown binary operator "`+a.op+`"`)
	}
	if l.typeOf().kind == kindArray {
		return nil, c.fail(a, "Could not select an operator overload")
	}
	op := selectOperator(rows, l.typeOf(), element)
	if op == nil {
		return nil, c.noOperator(a, l, &constant{t: element})
	}
	return op, nil
}

// asList makes = ANY and <> ALL of a constant array an IN list: one meaning has
// one canonical text, and a list is searched and indexed better.
func (c *checker) asList(at ast, n *quantified) (node, error) {
	k, ok := n.arr.(*constant)
	wanted := n.op.rel == relEQ && !n.all || n.op.rel == relNE && n.all
	if !ok || k.value.null || !wanted || n.op.compare == nil || n.op.left != n.op.right {
		return n, nil
	}
	elems := k.value.array.elems
	if len(elems) == 0 {
		return boolConstant(n.all), nil
	}
	list := make([]node, len(elems))
	for i, v := range elems {
		list[i] = &constant{t: k.t.element(), value: v, at: k.at}
	}
	arms, err := c.inConstants(at, n.l, list)
	if err != nil {
		return nil, err
	}
	in := joined(true, arms)
	if n.all {
		return c.folded(at, &negation{in})
	}
	return in, nil
}

// evaluator computes a strict operator that gives a bool on two values that are
// not NULL.
func evaluator(n *operation) func(a, b value) (tri, error) {
	if compare, rel := n.op.compare, n.op.rel; compare != nil {
		return func(a, b value) (tri, error) { return triOf(rel.holds(compare(a, b))), nil }
	}
	apply := n.op.apply
	if n.op.prepare != nil {
		// The checker has called prepare already, and got no error.
		apply, _ = n.op.prepare(n, merge(collationOf(n.l), collationOf(n.r)))
	}
	return func(a, b value) (tri, error) {
		v, err := apply(a, b)
		return tri(v.n), err
	}
}

// compileQuantified: an array without elements decides even if l is NULL. The
// elements are looked at in order, and the first that decides ends it.
func compileQuantified(n *quantified) boolFn {
	l, arr, test := compileValue(n.l), compileValue(n.arr), evaluator(n.pair())
	decisive, result, name := yes, no, n.op.name
	if n.all {
		decisive, result = no, yes
	}
	return func(row wal.Tuple) (tri, error) {
		x, err := l(row)
		if err != nil {
			return unknown, err
		}
		v, err := arr(row)
		switch {
		case err != nil || v.null:
			return unknown, err
		case len(v.array.elems) == 0:
			return result, nil
		case x.null:
			return unknown, nil
		}
		sum := result
		for _, e := range v.array.elems {
			if e.null {
				sum = unknown
				continue
			}
			t, err := test(x, e)
			if err != nil {
				return unknown, fmt.Errorf("evaluate %s: %w", name, err)
			}
			if t == decisive {
				return t, nil
			}
		}
		return sum, nil
	}
}

func (p printer) quantified(n *quantified) {
	p.WriteByte('(')
	p.node(n.l)
	p.WriteString(" " + operatorSQL(n.op.name) + " " + quantifier(n.all) + " (")
	p.node(n.arr)
	p.WriteString("))")
}
