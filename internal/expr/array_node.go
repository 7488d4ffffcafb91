package expr

import (
	"fmt"
	"slices"

	"github.com/spillway-sync/spillway/internal/wal"
)

// applied is a computation over any number of operands whose result may be of
// any type: constructors, subscripts, functions and casts of arrays.
type applied struct {
	t    typ
	args []node
	// lax: apply takes NULLs too. Else a NULL operand gives NULL.
	lax   bool
	apply func(args []value) (value, error)
	// either is used instead of apply where servers may come to one of two values.
	either func(args []value) ([]value, error)
	choice choice
	// operations is how many there are of its kind in the clause.
	operations int
	// compile, if it is there, is used instead of apply: not all operands are
	// evaluated.
	compile func(args []valueFn) valueFn
	sql     func(p printer, args []node)
	// zone is the zone whose rules apply looks at.
	zone *Zone
}

func (n *applied) typeOf() typ      { return n.t }
func (n *applied) operands() []node { return n.args }

func compileApplied(n *applied) valueFn {
	args := make([]valueFn, len(n.args))
	for i, a := range n.args {
		args[i] = compileValue(a)
	}
	if n.compile != nil {
		return n.compile(args)
	}
	apply, lax, name := n.apply, n.lax, n.t.String()
	if n.either != nil {
		apply = n.choice.of(n.either)
	}
	allowed, numeric := shareOf(n.operations), n.t.kind == kindNumeric
	return func(row wal.Tuple) (value, error) {
		vals := make([]value, len(args))
		null, elems := false, 0
		for i, f := range args {
			v, err := f(row)
			if err != nil {
				return value{}, err
			}
			vals[i], null = v, null || v.null
			if v.array == nil {
				continue
			}
			// Each operand is read from the row anew, and all are held.
			if elems += len(v.array.elems); i > 1 && elems > 2*maxJoined {
				return value{}, errComputed
			}
		}
		if null && !lax {
			return value{null: true}, nil
		}
		err := allowed.check(numeric, vals)
		if err != nil {
			return value{}, fmt.Errorf("compute %s: %w", name, err)
		}
		v, err := apply(vals)
		if err != nil {
			return value{}, fmt.Errorf("compute %s: %w", name, err)
		}
		return v, nil
	}
}

// computed makes the node, or the constant if all operands are constant. A NULL
// among the operands of what is not lax decides, whatever the others would give:
// Postgres's planner sees it too, and does not evaluate them.
func (c *checker) computed(at ast, n *applied) (node, error) {
	if !n.lax && slices.ContainsFunc(n.args, isNull) {
		return null(at, n.t), nil
	}
	return c.folded(at, n)
}

// loadArray reads arrays as the stream has them. An enum may have labels that we
// do not know yet.
func loadArray(element typ) func(text []byte) (value, error) {
	if element.kind == kindEnum {
		element = typ{kind: kindText}
	}
	return func(text []byte) (value, error) {
		a, err := parseArray(text, element)
		return arrayValue(a), err
	}
}

// sqlCall prints a function call.
func sqlCall(name string) func(p printer, args []node) {
	return func(p printer, args []node) {
		p.WriteString(name + "(")
		p.list(args)
		p.WriteByte(')')
	}
}

func (p printer) list(args []node) {
	for i, a := range args {
		if i > 0 {
			p.WriteString(", ")
		}
		p.node(a)
	}
}

// sqlCast prints a cast.
func sqlCast(to string) func(p printer, args []node) {
	return func(p printer, args []node) {
		p.node(args[0])
		p.WriteString("::" + to)
	}
}
