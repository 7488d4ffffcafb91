package expr

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Values in doubt. Servers come to different last digits of a power, but there are
// only two that they come to, and most often it does not matter which: n ^ 0.5 > 2
// is the same for both. So an expression whose value is in doubt is evaluated for
// each choice, and fails only if the choice decides.

// errDoubt: a value is one of two.
var errDoubt = fmt.Errorf("%w", errServers)

// maxDoubts bounds how many values of a clause may be in doubt at once: 2^maxDoubts
// evaluations are made of it then.
const maxDoubts = 6

// choice is which of two values a node is compiled to give.
type choice uint8

const (
	chooseNone choice = iota // two values are errDoubt
	chooseFirst
	chooseSecond
)

func (c choice) of(either func(args []value) ([]value, error)) func(args []value) (value, error) {
	return func(args []value) (value, error) {
		list, err := either(args)
		switch {
		case err != nil:
			return value{}, err
		case len(list) == 1 || c == chooseFirst:
			return list[0], nil
		case c == chooseSecond:
			return list[1], nil
		}
		return value{}, errDoubt
	}
}

// doubtful makes a node whose value may be in doubt.
func (c *checker) doubtful(at ast, n *applied, either func(a, b value) ([]value, error)) (node, error) {
	c.doubts = true
	n.either = func(args []value) ([]value, error) { return either(args[0], args[1]) }
	return c.computed(at, n)
}

// isDoubtful reports whether n reads no column, but has no constant value as it is
// in doubt.
func isDoubtful(n node) bool {
	if readsColumns(n) {
		return false
	}
	return len(doubtsOf(n)) > 0
}

// doubtsOf collects the nodes of a tree whose values may be in doubt. Those of one
// text have one value.
func doubtsOf(n node) [][]*applied {
	var groups [][]*applied
	place := map[string]int{}
	var walk func(node)
	walk = func(n node) {
		if a, ok := n.(*applied); ok && a.either != nil {
			text := printSQL(a)
			i, known := place[text]
			if !known {
				i = len(groups)
				place[text] = i
				groups = append(groups, nil)
			}
			groups[i] = append(groups[i], a)
		}
		for _, o := range n.operands() {
			walk(o)
		}
	}
	walk(n)
	return groups
}

// evaluated computes what reads no column.
func (c *checker) evaluated(n node) (value, error) {
	v, err := compileValue(n)(nil)
	if !errors.Is(err, errDoubt) || len(doubtsOf(n)) > maxDoubts {
		return v, err
	}
	return compileDecided(n)(nil)
}

// compileChoices compiles n for each choice.
func compileChoices(n node, groups [][]*applied) []valueFn {
	list := make([]valueFn, 1<<len(groups))
	for mask := range list {
		for i, group := range groups {
			for _, a := range group {
				a.choice = chooseFirst + choice(mask>>i&1)
			}
		}
		list[mask] = compileValue(n)
	}
	for _, group := range groups {
		for _, a := range group {
			a.choice = chooseNone
		}
	}
	return list
}

// agreed is the value that all choices give, or errDoubt.
func agreed(t typ, choices []valueFn, row wal.Tuple) (value, error) {
	first, err := choices[0](row)
	for _, f := range choices[1:] {
		v, err2 := f(row)
		if (err == nil) != (err2 == nil) || err == nil && !identical(t, first, v) {
			return value{}, errDoubt
		}
	}
	return first, err
}

// identical values have one text. (A zero that has lost its sign could show it
// later.)
func identical(t typ, a, b value) bool {
	if a.null || b.null {
		return a.null == b.null
	}
	return math.Signbit(a.f) == math.Signbit(b.f) && bytes.Equal(t.output(a), t.output(b))
}

// compileRoot compiles a clause.
func compileRoot(n node) boolFn {
	allot(n)
	if len(doubtsOf(n)) == 0 {
		return compileBool(n)
	}
	match := compileDecided(n)
	return func(row wal.Tuple) (tri, error) {
		v, err := match(row)
		if err != nil || v.null {
			return unknown, err
		}
		return tri(v.n), nil
	}
}

// compileDecided compiles what has no more than maxDoubts values in doubt.
func compileDecided(n node) valueFn {
	t, sure, choices := n.typeOf(), compileValue(n), compileChoices(n, doubtsOf(n))
	return func(row wal.Tuple) (value, error) {
		v, err := sure(row)
		if errors.Is(err, errDoubt) {
			return agreed(t, choices, row)
		}
		return v, err
	}
}
