package expr

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/spillway-sync/spillway/internal/wal"
)

// tri is a truth value.
type tri uint8

const (
	no tri = iota
	yes
	unknown
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

type (
	// boolFn evaluates a bool for a row.
	boolFn func(row wal.Tuple) (tri, error)
	// valueFn evaluates anything.
	valueFn func(row wal.Tuple) (value, error)
)

var errShortRow = errors.New("row has too few columns")

// compileBool makes a closure for a node of type bool. Closures rather than a
// switch over nodes: what is known at compile time (a constant's value, the
// relation asked, a column's input function) is not asked again for each row.
func compileBool(n node) boolFn {
	switch n := n.(type) {
	case *operation:
		if n.op.result == kindBool {
			return compileOperation(n)
		}
	case *inList:
		return compileIn(n)
	case *logic:
		return compileLogic(n)
	case *negation:
		arg := compileBool(n.arg)
		return func(row wal.Tuple) (tri, error) {
			t, err := arg(row)
			if err == nil && t != unknown {
				t ^= 1
			}
			return t, err
		}
	case *nullTest:
		return compileNullTest(n)
	case *truthTest:
		arg, what, not := compileBool(n.arg), n.what, n.not
		return func(row wal.Tuple) (tri, error) {
			t, err := arg(row)
			return triOf((t == what) != not), err
		}
	case *distinct:
		return compileDistinct(n)
	case *quantified:
		return compileQuantified(n)
	case *rowOrder:
		return compileRowOrder(n)
	}
	arg := compileValue(n)
	return func(row wal.Tuple) (tri, error) {
		v, err := arg(row)
		if v.null {
			return unknown, err
		}
		return tri(v.n), err
	}
}

// compileValue makes a closure for any node.
func compileValue(n node) valueFn {
	switch n := n.(type) {
	case *column:
		return compileColumn(n)
	case *constant:
		v := n.value
		return func(wal.Tuple) (value, error) { return v, nil }
	case *cast:
		return compileCast(n)
	case *applied:
		return compileApplied(n)
	}
	f := compileBool(n)
	return func(row wal.Tuple) (value, error) {
		t, err := f(row)
		if t == unknown {
			return value{null: true}, err
		}
		return boolValue(t == yes), err
	}
}

func compileColumn(n *column) valueFn {
	pos, k, name := n.pos, n.kind, n.col.Name
	load := k.info().load
	if k == kindArray {
		load = loadArray(n.typeOf().element())
	}
	return func(row wal.Tuple) (value, error) {
		if pos >= len(row) {
			return value{}, errShortRow
		}
		text := row[pos]
		switch {
		case text == nil:
			return value{null: true}, nil
		case load == nil:
			return value{b: text}, nil
		}
		v, err := load(text)
		if err != nil {
			return value{}, unreadable(name, k, text, err)
		}
		return v, nil
	}
}

// unreadable is the error for a text that is no value of its column's type.
func unreadable(name string, k kind, text []byte, err error) error {
	return fmt.Errorf("read column %q as %s: %q: %w", name, k.info().name, truncate(text, 100), err)
}

func compileCast(n *cast) valueFn {
	arg, apply := compileValue(n.arg), n.row.apply
	if apply == nil {
		return arg
	}
	from, to := n.row.from.info().name, n.row.to.info().name
	return func(row wal.Tuple) (value, error) {
		v, err := arg(row)
		if err != nil || v.null {
			return v, err
		}
		if v, err = apply(v); err != nil {
			return v, fmt.Errorf("cast %s to %s: %w", from, to, err)
		}
		return v, nil
	}
}

// compileOperation handles strict operators that give a bool.
func compileOperation(n *operation) boolFn {
	if f := compileFast(n); f != nil {
		return f
	}
	l, r := compileValue(n.l), compileValue(n.r)
	apply := n.op.apply
	if n.op.prepare != nil {
		// The checker has called prepare already, and got no error.
		apply, _ = n.op.prepare(n, merge(collationOf(n.l), collationOf(n.r)))
	}
	compare, rel, name := n.op.compare, n.op.rel, n.op.name
	return func(row wal.Tuple) (tri, error) {
		a, err := l(row)
		if err != nil {
			return unknown, err
		}
		b, err := r(row)
		if err != nil || a.null || b.null {
			return unknown, err
		}
		if compare != nil {
			return triOf(rel.holds(compare(a, b))), nil
		}
		v, err := apply(a, b)
		if err != nil {
			return unknown, fmt.Errorf("evaluate %s: %w", name, err)
		}
		return tri(v.n), nil
	}
}

// intTestOf is an operation that is an intTest.
func intTestOf(n node) (t intTest, ok bool) {
	o, ok := n.(*operation)
	if !ok || o.op.compare == nil {
		return intTest{}, false
	}
	col, ok := bareColumn(o.l)
	k, ok2 := o.r.(*constant)
	if !ok || !ok2 || k.value.null || !slices.Contains([]kind{kindInt2, kindInt4, kindInt8}, col.kind) {
		return intTest{}, false
	}
	return intTest{name: col.col.Name, want: k.value.n, pos: int32(col.pos), kind: col.kind, rel: o.op.rel}, true
}

// compileFast knows the commonest comparisons: a column of an integer type or of
// a type whose text is its value, with a constant that is not NULL.
func compileFast(n *operation) boolFn {
	if t, ok := intTestOf(n); ok {
		return func(row wal.Tuple) (tri, error) { return t.match(row) }
	}
	col, ok := bareColumn(n.l)
	k, ok2 := n.r.(*constant)
	if !ok || !ok2 || k.value.null {
		return nil
	}
	pos, rel, want := col.pos, n.op.rel, k.value
	switch col.kind {
	case kindText, kindVarchar, kindUUID, kindEnum, kindName:
		if rel != relEQ || n.op.left == kindBpchar {
			return nil
		}
		return func(row wal.Tuple) (tri, error) {
			if pos >= len(row) {
				return unknown, errShortRow
			}
			if row[pos] == nil {
				return unknown, nil
			}
			return triOf(bytes.Equal(row[pos], want.b)), nil
		}
	}
	return nil
}

// intTest compares a column of an integer type with a constant. It does not hold the
// column: a clause must not hold its tree and the list of columns.
type intTest struct {
	name string
	want int64
	pos  int32
	kind kind
	rel  relation
}

func (t intTest) match(row wal.Tuple) (tri, error) {
	if int(t.pos) >= len(row) {
		return unknown, errShortRow
	}
	text := row[t.pos]
	if text == nil {
		return unknown, nil
	}
	n, ok := atoi(text)
	if !ok {
		return unknown, unreadable(t.name, t.kind, text, errSyntax)
	}
	return triOf(t.rel.holds(compareInt(value{n: n}, value{n: t.want}))), nil
}

// bareColumn looks through casts that leave the value as it is.
func bareColumn(n node) (*column, bool) {
	for {
		switch m := n.(type) {
		case *column:
			return m, true
		case *cast:
			if m.row.apply != nil {
				return nil, false
			}
			n = m.arg
		default:
			return nil, false
		}
	}
}

// compileIn searches the sorted constants.
func compileIn(n *inList) boolFn {
	arg, compare := compileValue(n.arg), n.op.compare
	list := make([]value, 0, len(n.list))
	miss := no
	for _, k := range n.list {
		if k.value.null {
			miss = unknown
			continue
		}
		list = append(list, k.value)
	}
	// All constants are of one type, which need not be that of arg; the order of
	// either type is that of compare.
	own := sameTypeCompare(n.op)
	slices.SortFunc(list, own)
	return func(row wal.Tuple) (tri, error) {
		v, err := arg(row)
		if err != nil || v.null {
			return unknown, err
		}
		for low, high := 0, len(list); low < high; {
			mid := int(uint(low+high) / 2)
			switch c := compare(v, list[mid]); {
			case c == 0:
				return yes, nil
			case c < 0:
				high = mid
			default:
				low = mid + 1
			}
		}
		return miss, nil
	}
}

// sameTypeCompare orders two values of an operator's right type.
func sameTypeCompare(op *operator) func(a, b value) int {
	for _, p := range comparable {
		if p.left == op.right && p.right == op.right {
			return p.compare
		}
	}
	return op.compare
}

// compileLogic stops at the first arm that decides. An arm that fails before one
// that would decide fails the whole, as it may in Postgres.
func compileLogic(n *logic) boolFn {
	args := make([]boolFn, len(n.args))
	for i, arg := range n.args {
		args[i] = compileBool(arg)
	}
	decisive, result := no, yes
	if n.or {
		decisive, result = yes, no
	}
	return func(row wal.Tuple) (tri, error) {
		sum := result
		for _, f := range args {
			t, err := f(row)
			switch {
			case err != nil:
				return unknown, err
			case t == decisive:
				return t, nil
			case t == unknown:
				sum = unknown
			}
		}
		return sum, nil
	}
}

// compileNullTest does not read the value: any type will do.
func compileNullTest(n *nullTest) boolFn {
	not := n.not
	if c, ok := n.arg.(*column); ok {
		pos := c.pos
		fields := isRow(c) && !n.whole
		return func(row wal.Tuple) (tri, error) {
			if pos >= len(row) {
				return unknown, errShortRow
			}
			if fields && row[pos] != nil {
				return rowNullTest(row[pos], not)
			}
			return triOf((row[pos] == nil) != not), nil
		}
	}
	arg := compileValue(n.arg)
	return func(row wal.Tuple) (tri, error) {
		v, err := arg(row)
		return triOf(v.null != not), err
	}
}

// rowNullTest asks the fields of a row's text: IS NULL is true if all are NULL,
// IS NOT NULL if none is. A NULL is an empty field without quotes.
func rowNullTest(text []byte, not bool) (tri, error) {
	if len(text) < 2 || text[0] != '(' || text[len(text)-1] != ')' {
		return unknown, fmt.Errorf("read row %q: %w", truncate(text, 100), errSyntax)
	}
	nulls, fields := 0, 0
	quoted, empty := false, true
	for i, c := range text[1:] {
		switch {
		case c == '"':
			quoted, empty = !quoted, false
		case !quoted && (c == ',' || i == len(text)-2):
			fields++
			if empty {
				nulls++
			}
			empty = true
		default:
			empty = false
		}
	}
	if len(text) == 2 { // one field that is NULL, or a type without fields
		return triOf(!not), nil
	}
	if not {
		return triOf(nulls == 0), nil
	}
	return triOf(nulls == fields), nil
}

func compileDistinct(n *distinct) boolFn {
	l, r := compileValue(n.l), compileValue(n.r)
	compare, not := n.op.compare, n.not
	return func(row wal.Tuple) (tri, error) {
		a, err := l(row)
		if err != nil {
			return unknown, err
		}
		b, err := r(row)
		if err != nil {
			return unknown, err
		}
		differ := a.null != b.null || !a.null && compare(a, b) != 0
		return triOf(differ != not), nil
	}
}
