package expr

import (
	"errors"
	"math"
)

// Operators before their operand: - + @ on numbers, - on intervals, ~ on integers,
// |/ on double precision.

var errRoot = errors.New("cannot take square root of a negative number")

type unaryRow struct {
	name  string
	kind  kind // of the operand and of the result
	apply func(v value) (value, error)
}

var unaryRows = makeUnaryRows()

func makeUnaryRows() []unaryRow {
	same := func(v value) (value, error) { return v, nil }
	rows := []unaryRow{
		{"-", kindFloat4, negateFloat}, {"-", kindFloat8, negateFloat}, {"-", kindNumeric, negateNumeric},
		{"@", kindFloat4, absFloat}, {"@", kindFloat8, absFloat}, {"@", kindNumeric, absNumeric},
		{"|/", kindFloat8, squareRoot},
		{"-", kindInterval, finiteOne(negateInterval)},
	}
	for _, w := range intWidths {
		negate := func(v value) (value, error) {
			if v.n == math.MinInt64 {
				return value{}, errRange
			}
			return w.narrow(value{n: -v.n})
		}
		rows = append(rows,
			unaryRow{"-", w.kind, negate},
			unaryRow{"@", w.kind, func(v value) (value, error) {
				if v.n >= 0 {
					return v, nil
				}
				return negate(v)
			}},
			unaryRow{"~", w.kind, func(v value) (value, error) { return value{n: ^v.n}, nil }})
	}
	for _, k := range []kind{kindInt2, kindInt4, kindInt8, kindNumeric, kindFloat4, kindFloat8} {
		rows = append(rows, unaryRow{"+", k, same})
	}
	return rows
}

func negateFloat(v value) (value, error) { return value{f: -v.f}, nil }
func absFloat(v value) (value, error)    { return value{f: math.Abs(v.f)}, nil }

func negateNumeric(v value) (value, error) {
	switch rank := rankOf(v); {
	case rank == 3 || rank == 0:
		return v, nil
	case infinite(rank):
		return rankText(-rank), nil
	case rank < 0:
		return value{b: v.b[1:]}, nil
	}
	return value{b: append([]byte{'-'}, v.b...)}, nil
}

func absNumeric(v value) (value, error) {
	if rankOf(v) < 0 {
		return negateNumeric(v)
	}
	return v, nil
}

func squareRoot(v value) (value, error) {
	if v.f < 0 {
		return value{}, errRoot
	}
	return value{f: math.Sqrt(v.f)}, nil
}

// takes reports whether a row wins for an operand of another type. An untyped
// one is double precision, the preferred type, where Postgres has the operator
// for numbers only; intervals have - too, bits and addresses ~.
func (r unaryRow) takes(from kind) bool {
	switch r.name {
	case "-":
		return from == kindTime && r.kind == kindInterval
	case "|/":
		return implicitly(from, r.kind)
	case "+", "@":
		return from == kindUnknown && r.kind == kindFloat8
	}
	return false
}

// unary checks an operator before its operand.
func (c *checker) unary(a *astUnary) (node, error) {
	n, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	known := false
	for _, r := range unaryRows {
		if r.name != a.op {
			continue
		}
		known = true
		if from := n.typeOf().kind; from == r.kind || r.takes(from) {
			return c.applyUnary(a, r, n)
		}
	}
	if !known {
		return nil, c.fail(a, `unknown unary operator "`+a.op+`"`)
	}
	return nil, c.fail(a, "Could not select an operator overload")
}

func (c *checker) applyUnary(a *astUnary, r unaryRow, n node) (node, error) {
	n, err := c.coerce(n, typ{kind: r.kind})
	if err != nil {
		return nil, err
	}
	return c.computed(a, &applied{
		t:     typ{kind: r.kind},
		args:  []node{n},
		apply: func(args []value) (value, error) { return r.apply(args[0]) },
		sql: func(p printer, args []node) {
			p.WriteString("(" + r.name + " ")
			p.node(args[0])
			p.WriteByte(')')
		},
	})
}
