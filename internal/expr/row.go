package expr

import "github.com/spillway-sync/spillway/internal/wal"

// asRow is the row that a stands for; nil: it is none.
func asRow(a ast) *astRow {
	r, _ := a.(*astRow)
	return r
}

// rowOrder is ROW(…) < ROW(…) and the like: the first pair that is not equal
// decides.
type rowOrder struct {
	name  string
	rel   relation
	pairs []*operation
}

func (n *rowOrder) typeOf() typ { return boolType }
func (n *rowOrder) operands() []node {
	list := make([]node, len(n.pairs))
	for i, p := range n.pairs {
		list[i] = p
	}
	return list
}

// rowComparison follows make_row_comparison_op: = is AND of equalities, <> OR of
// inequalities, the others go by the first difference.
func (c *checker) rowComparison(at ast, name string, l, r *astRow) (node, error) {
	if err := c.samePlaces(at, l, r); err != nil {
		return nil, err
	}
	rel := relNone
	for _, cmp := range comparisons {
		if cmp.name == name {
			rel = cmp.rel
		}
	}
	if rel == relNone {
		return nil, c.fail(at, "Could not select an operator overload")
	}
	if rel != relEQ && rel != relNE && len(l.fields) > 1 {
		return c.rowOrder(at, &rowOrder{name: name, rel: rel}, l, r)
	}
	pairs := make([]node, len(l.fields))
	for i := range pairs {
		var err error
		if pairs[i], err = c.binary(at, name, l.fields[i], r.fields[i]); err != nil {
			return nil, err
		}
	}
	return joined(rel == relNE, pairs), nil
}

func (c *checker) rowOrder(at ast, n *rowOrder, l, r *astRow) (node, error) {
	for i := range l.fields {
		args, err := c.exprs([]ast{l.fields[i], r.fields[i]})
		if err != nil {
			return nil, err
		}
		pair, err := c.choice(at, n.name, args[0], args[1])
		if err != nil {
			return nil, err
		}
		op, ok := pair.(*operation)
		if !ok || op.op.compare == nil {
			return nil, c.fail(l.fields[i], "the order of rows cannot be decided here by a value of this type")
		}
		n.pairs = append(n.pairs, op)
	}
	return n, nil
}

// samePlaces: both are rows of the same number of fields, at least one.
func (c *checker) samePlaces(at ast, l, r *astRow) error {
	switch {
	case l == nil || r == nil:
		return c.fail(at, "Could not select an operator overload")
	case len(l.fields) != len(r.fields):
		return c.fail(at, "unequal number of entries in row expressions")
	case len(l.fields) == 0:
		return c.fail(at, "cannot compare rows of zero length")
	}
	return nil
}

// rowIn is row IN (row, …): an OR of equalities.
func (c *checker) rowIn(a *astIn, l *astRow) (node, error) {
	arms := make([]node, len(a.list))
	for i, e := range a.list {
		var err error
		if arms[i], err = c.rowComparison(a, "=", l, asRow(e)); err != nil {
			return nil, err
		}
	}
	n := joined(true, arms)
	if a.not {
		return c.folded(a, &negation{n})
	}
	return n, nil
}

// rowDistinct: rows are distinct if a pair of fields is.
func (c *checker) rowDistinct(a *astDistinct, l, r *astRow) (node, error) {
	if err := c.samePlaces(a, l, r); err != nil {
		return nil, err
	}
	arms := make([]node, len(l.fields))
	for i := range arms {
		var err error
		if arms[i], err = c.distinct(&astDistinct{a.position, l.fields[i], r.fields[i], false}); err != nil {
			return nil, err
		}
	}
	n := joined(true, arms)
	if a.not {
		return c.folded(a, &negation{n})
	}
	return n, nil
}

// rowNull: IS NULL asks whether all fields are NULL, IS NOT NULL whether none
// is. A field that is a row itself is not looked into.
func (c *checker) rowNull(a *astNullTest, r *astRow) (node, error) {
	if len(r.fields) == 0 {
		return nil, c.fail(a, "a row without fields cannot be tested")
	}
	arms := make([]node, len(r.fields))
	for i, f := range r.fields {
		n, err := c.expr(f)
		if err != nil {
			return nil, err
		}
		if n, err = c.text(n); err != nil {
			return nil, err
		}
		arms[i] = &nullTest{arg: n, not: a.not, whole: true}
	}
	return joined(false, arms), nil
}

func compileRowOrder(n *rowOrder) boolFn {
	type pair struct {
		l, r    valueFn
		compare func(a, b value) int
	}
	pairs := make([]pair, len(n.pairs))
	for i, p := range n.pairs {
		pairs[i] = pair{compileValue(p.l), compileValue(p.r), p.op.compare}
	}
	rel := n.rel
	return func(row wal.Tuple) (tri, error) {
		for _, p := range pairs {
			a, err := p.l(row)
			if err != nil {
				return unknown, err
			}
			b, err := p.r(row)
			if err != nil || a.null || b.null {
				return unknown, err
			}
			if c := p.compare(a, b); c != 0 {
				return triOf(rel.holds(c)), nil
			}
		}
		return triOf(rel.holds(0)), nil
	}
}

func (p printer) rowOrder(n *rowOrder) {
	var l, r []node
	for _, pair := range n.pairs {
		l, r = append(l, pair.l), append(r, pair.r)
	}
	p.WriteString("(ROW(")
	p.list(l)
	p.WriteString(") " + n.name + " ROW(")
	p.list(r)
	p.WriteString("))")
}
