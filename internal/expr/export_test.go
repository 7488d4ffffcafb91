package expr

import (
	"github.com/spillway-sync/spillway/internal/wal"
)

// CastNames lists the cast table for comparison with pg_cast.
func CastNames() []string {
	var out []string
	for _, r := range castTable {
		name := r.from.info().name + " " + r.to.info().name
		if r.implicit {
			name += " implicit"
		}
		out = append(out, name)
	}
	return out
}

// OperatorNames lists the operator table for comparison with pg_operator.
func OperatorNames() []string {
	var out []string
	for name, rows := range operators {
		for _, op := range rows {
			if op.left != kindEnum {
				out = append(out, name+" "+op.left.info().name+" "+op.right.info().name)
			}
		}
	}
	return out
}

// ComputationNames lists the operators whose result is no bool, for comparison
// with pg_operator; those before their operand have no left type.
func ComputationNames() []string {
	var out []string
	for name, rows := range computations {
		for _, op := range rows {
			out = append(out, name+" "+op.left.info().name+" "+op.right.info().name+" "+op.result.info().name)
		}
	}
	for _, r := range unaryRows {
		out = append(out, r.name+" - "+r.kind.info().name+" "+r.kind.info().name)
	}
	return out
}

// FunctionNames lists the function table for comparison with pg_proc.
func FunctionNames() []string {
	var out []string
	for name, rows := range functions {
		for _, f := range rows {
			for _, k := range f.args {
				name += " " + k.info().name
			}
			out = append(out, name)
			name = f.name
		}
	}
	return out
}

// Value compiles an expression of any type. The function it returns gives the
// output text for a row, nil for NULL; sql is the canonical text.
func Value(text string, cols []Column) (eval func(wal.Tuple) ([]byte, error), sql string, err error) {
	return ValueIn(nil, text, cols)
}

// ValueIn is Value with zones.
func ValueIn(zones Zones, text string, cols []Column) (eval func(wal.Tuple) ([]byte, error), sql string, err error) {
	tree, err := parse(text)
	if err != nil {
		return nil, "", err
	}
	c := newChecker(text, nil, cols)
	c.zones = zones
	c.limit = 4 * maxNodes
	n, err := c.expr(tree)
	if err == nil {
		n, err = c.text(n)
	}
	if err != nil {
		return nil, "", err
	}
	f := compileValue(n)
	if len(doubtsOf(n)) <= maxDoubts {
		f = compileDecided(n)
	}
	return func(row wal.Tuple) ([]byte, error) {
		v, err := f(row)
		if err != nil || v.null {
			return nil, err
		}
		return n.typeOf().output(v), nil
	}, printSQL(n), nil
}

// ArrayLiteral reads a literal of text[] and writes it as the output function does.
func ArrayLiteral(text string) (string, error) {
	a, err := parseArray([]byte(text), typ{kind: kindText})
	if err != nil {
		return "", err
	}
	return string(arrayText(a, kindText)), nil
}

// Power gives the values of a ^ b that servers may come to, for float8 or numeric.
func Power(typ, a, b string) ([]string, error) {
	for _, p := range powers {
		if p.kind.info().name != typ {
			continue
		}
		x, err := p.kind.info().parse([]byte(a))
		if err != nil {
			return nil, err
		}
		y, err := p.kind.info().parse([]byte(b))
		if err != nil {
			return nil, err
		}
		list, err := p.either(x, y)
		if err != nil {
			return nil, err
		}
		texts := make([]string, len(list))
		for i, v := range list {
			texts[i] = string(outputText(p.kind, v))
		}
		return texts, nil
	}
	panic(typ)
}
