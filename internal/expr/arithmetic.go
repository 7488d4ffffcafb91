package expr

import (
	"errors"
	"math"
)

// Arithmetic: the rows of pg_operator for + - * / % & | # || over the kinds we
// know. An overflow or a division by zero is an error, as in Postgres, never a value.

var errDivision = errors.New("division by zero")

// computation is an operator whose result is no bool. Its nodes are applied
// nodes: they fold constants and carry the collation of their operands.
type computation struct {
	name        string
	left, right kind
	result      kind
	apply       func(a, b value) (value, error)
}

var computations = makeComputations()

func makeComputations() map[string][]*operator {
	m := map[string][]*operator{}
	for _, family := range [][]computation{intComputations(), floatComputations, numericComputations, dateComputations, timeComputations, textComputations, jsonComputations, byteaComputations} {
		for _, r := range family {
			m[r.name] = append(m[r.name], &operator{name: r.name, left: r.left, right: r.right, result: r.result, apply: r.apply})
		}
	}
	for _, p := range powers {
		m["^"] = append(m["^"], &operator{name: "^", left: p.kind, right: p.kind, result: p.kind, either: p.either})
	}
	return m
}

// compute chooses the computation for two checked operands and casts them.
func (c *checker) compute(at ast, name string, l, r node) (node, error) {
	if name == "||" {
		var err error
		if l, r, err = c.asTexts(at, l, r); err != nil {
			return nil, err
		}
	}
	op := selectOperator(computations[name], l.typeOf(), r.typeOf())
	if op == nil || op.ambiguous(l, r) {
		return nil, c.noOperator(at, l, r)
	}
	l, err := c.coerce(l, typ{kind: op.left})
	if err != nil {
		return nil, err
	}
	if r, err = c.coerce(r, typ{kind: op.right}); err != nil {
		return nil, err
	}
	n := &applied{t: typ{kind: op.result}, args: []node{l, r}, sql: func(p printer, args []node) { p.infix(args[0], name, args[1]) }}
	if op.either != nil {
		return c.doubtful(at, n, op.either)
	}
	n.apply = func(args []value) (value, error) { return op.apply(args[0], args[1]) }
	return c.computed(at, n)
}

// asTexts: || of a text and something else casts that to text (textanycat and
// anytextcat of pg_operator, which take anynonarray).
func (c *checker) asTexts(at ast, l, r node) (node, node, error) {
	for _, pair := range []struct{ text, other *node }{{&l, &r}, {&r, &l}} {
		switch t, u := (*pair.text).typeOf(), (*pair.other).typeOf(); {
		case t.kind != kindUnknown && t.kind.info().category != 'S':
		case u.kind == kindUnknown || u.kind == kindOther || u.kind.info().category == 'S':
		case t.kind == kindUnknown && (u.kind == kindJSONB || u.kind == kindBytea): // these have an operator of their own
		default:
			n, err := c.castTo(at, *pair.other, typ{kind: kindText})
			*pair.other = n
			return l, r, err
		}
	}
	return l, r, nil
}

// ambiguous: where Postgres cannot choose, as it has more types than we. Beside a
// date, an untyped operand of + may be a number, an interval or a time; of two
// untyped ones nothing is known but for || and ^, which is there for numbers only.
func (op *operator) ambiguous(l, r node) bool {
	a, b := l.typeOf().kind == kindUnknown, r.typeOf().kind == kindUnknown
	return a && b && op.result != kindText && op.name != "^" || (a || b) && op.result == kindDate
}

var intWidths = []struct {
	kind   kind
	narrow func(value) (value, error)
}{{kindInt2, toInt2}, {kindInt4, toInt4}, {kindInt8, sameInt}}

// intComputations: + - * / take any two widths and give the wider one, % and the
// operators on bits two of the same.
func intComputations() []computation {
	var out []computation
	for i, a := range intWidths {
		for j, b := range intWidths {
			wide := intWidths[max(i, j)]
			for name, f := range intOperators {
				if i != j && !mixesWidths(name) {
					continue
				}
				out = append(out, computation{name, a.kind, b.kind, wide.kind, func(a, b value) (value, error) {
					n, err := f(a.n, b.n)
					if err != nil {
						return value{}, err
					}
					return wide.narrow(value{n: n})
				}})
			}
		}
	}
	return out
}

func mixesWidths(name string) bool {
	return name == "+" || name == "-" || name == "*" || name == "/"
}

var intOperators = map[string]func(a, b int64) (int64, error){
	"+": addInt,
	"-": func(a, b int64) (int64, error) {
		if d := a - b; (a >= b) == (d >= 0) {
			return d, nil
		}
		return 0, errRange
	},
	"*": mulInt,
	"/": func(a, b int64) (int64, error) {
		switch {
		case b == 0:
			return 0, errDivision
		case a == math.MinInt64 && b == -1:
			return 0, errRange
		}
		return a / b, nil
	},
	"%": func(a, b int64) (int64, error) {
		switch b {
		case 0:
			return 0, errDivision
		case -1:
			return 0, nil
		}
		return a % b, nil
	},
	"&": func(a, b int64) (int64, error) { return a & b, nil },
	"|": func(a, b int64) (int64, error) { return a | b, nil },
	"#": func(a, b int64) (int64, error) { return a ^ b, nil },
}

func addInt(a, b int64) (int64, error) {
	if s := a + b; (b >= 0) == (s >= a) {
		return s, nil
	}
	return 0, errRange
}

func mulInt(a, b int64) (int64, error) {
	p := a * b
	if a != 0 && (p/a != b || a == -1 && b == math.MinInt64) {
		return 0, errRange
	}
	return p, nil
}

var floatComputations = func() []computation {
	var out []computation
	for _, a := range []kind{kindFloat4, kindFloat8} {
		for _, b := range []kind{kindFloat4, kindFloat8} {
			result := kindFloat8
			if a == kindFloat4 && b == kindFloat4 {
				result = kindFloat4
			}
			for _, name := range []string{"+", "-", "*", "/"} {
				out = append(out, computation{name, a, b, result, floatOperator(name, result)})
			}
		}
	}
	return out
}()

// floatOperator: a float4's result is rounded twice, which for these four
// operations gives what rounding once does.
func floatOperator(name string, result kind) func(a, b value) (value, error) {
	return func(a, b value) (value, error) {
		x, y := a.f, b.f
		var f float64
		canVanish := false // a result of zero from operands that are not is an underflow
		switch name {
		case "+":
			f = x + y
		case "-":
			f = x - y
		case "*":
			f = x * y
			canVanish = x != 0 && y != 0
		case "/":
			if y == 0 && !math.IsNaN(x) {
				return value{}, errDivision
			}
			f = x / y
			canVanish = x != 0 && !math.IsInf(y, 0)
		}
		if result == kindFloat4 {
			f = float64(float32(f))
		}
		if math.IsInf(f, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) || f == 0 && canVanish {
			return value{}, errRange
		}
		return value{f: f}, nil
	}
}

var errInfiniteDates = errors.New("cannot subtract infinite dates")

var dateComputations = []computation{
	{"+", kindDate, kindInt4, kindDate, func(a, b value) (value, error) { return addDays(a.n, b.n) }},
	{"+", kindInt4, kindDate, kindDate, func(a, b value) (value, error) { return addDays(b.n, a.n) }},
	{"-", kindDate, kindInt4, kindDate, func(a, b value) (value, error) { return addDays(a.n, -b.n) }},
	{"-", kindDate, kindDate, kindInt4, func(a, b value) (value, error) {
		if isInfiniteDate(a.n) || isInfiniteDate(b.n) {
			return value{}, errInfiniteDates
		}
		return value{n: a.n - b.n}, nil
	}},
}

func isInfiniteDate(n int64) bool { return n == dateInfinity || n == dateMinusInf }

func addDays(date, days int64) (value, error) {
	if isInfiniteDate(date) {
		return value{n: date}, nil
	}
	n := date + days
	if n < minDate || n > maxDate {
		return value{}, errRange
	}
	return value{n: n}, nil
}

// maxComputed is how long what is put together of the values of a row may be, in bytes:
// a clause may name a column a thousand times. Postgres's own limit is 1 GiB, which no
// process has that serves others too.
const maxComputed = 32 << 20

var errComputed = errors.New("what is put together of the values is too long")

var textComputations = []computation{
	{"||", kindText, kindText, kindText, func(a, b value) (value, error) {
		if len(a.b)+len(b.b) > maxComputed {
			return value{}, errComputed
		}
		return value{b: append(append(make([]byte, 0, len(a.b)+len(b.b)), a.b...), b.b...)}, nil
	}},
}
