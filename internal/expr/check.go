package expr

import (
	"errors"
	"sort"
	"strconv"
	"strings"
)

// maxDepth bounds the height of the syntax tree and of the checked tree, and with
// it the recursion of everything that walks them.
const maxDepth = 1000

// maxNodes bounds the size of the checked tree. BETWEEN SYMMETRIC repeats its
// operands, so that a short text can ask for a very large tree.
const maxNodes = 100000

// checker turns the syntax tree into the checked tree.
type checker struct {
	src    string
	cols   []Column
	byName map[string]int
	params map[string]*param
	zones  Zones
	depth  int
	nodes  int
	limit  int // of nodes
	// doubts: there is a node whose value is in doubt.
	doubts bool
}

func newChecker(src string, params map[string]string, cols []Column) *checker {
	c := &checker{src: src, cols: cols, byName: make(map[string]int, len(cols)), params: map[string]*param{}}
	for i := range cols {
		c.byName[cols[i].Name] = i
	}
	for name, text := range params {
		c.params[name] = &param{name: name, text: text}
	}
	return c
}

// checkParams: keys are 1 to n without a gap.
func checkParams(params map[string]string) error {
	for key, text := range params {
		if key == "" || strings.Trim(key, "0123456789") != "" {
			return &Error{Field: "params", Msg: "Parameters can only use numbers as keys"}
		}
		if !validText(text) {
			return &Error{Field: "params", Msg: `invalid byte sequence for encoding "UTF8" in parameter $` + key}
		}
	}
	for i := 1; i <= len(params); i++ {
		if _, ok := params[strconv.Itoa(i)]; !ok {
			return &Error{Field: "params", Msg: "Parameters must be numbered sequentially, starting from 1"}
		}
	}
	return nil
}

func (c *checker) fail(at ast, reason string) error { return errorAt(c.src, at.at(), reason) }

// clause checks the whole clause.
func (c *checker) clause(tree ast) (node, error) {
	n, err := c.expr(tree)
	if err != nil {
		return nil, err
	}
	if n.typeOf().kind != kindBool {
		return nil, whereError("WHERE clause must return a boolean")
	}
	if height(n) > maxDepth {
		return nil, whereError("At location 0: expression is nested too deeply")
	}
	if c.doubts && len(doubtsOf(n)) > maxDoubts {
		return nil, whereError("At location 0: more than " + strconv.Itoa(maxDoubts) + " different powers are not supported")
	}
	return n, nil
}

// expr checks one node and what is below it.
func (c *checker) expr(a ast) (node, error) {
	c.depth++
	c.nodes++
	defer func() { c.depth-- }()
	if c.depth > maxDepth {
		return nil, c.fail(a, "expression is nested too deeply")
	}
	if c.nodes > c.limit {
		return nil, c.fail(a, "expression is too complex")
	}
	n, err := c.node(a)
	if err != nil {
		return nil, err
	}
	return c.folded(a, n)
}

// folded is the constant that n comes to if all operands are constant, or such
// that are in doubt.
func (c *checker) folded(at ast, n node) (node, error) {
	operands := n.operands()
	for _, o := range operands {
		if _, ok := o.(*constant); !ok && !(c.doubts && isDoubtful(o)) {
			return n, nil
		}
	}
	if len(operands) == 0 {
		return n, nil
	}
	v, err := c.evaluated(n)
	if errors.Is(err, errDoubt) {
		return n, nil
	}
	if errors.Is(err, errServers) {
		return nil, c.fail(at, "Failed to apply function to constant arguments: "+errServers.Error())
	}
	if err != nil {
		return nil, c.fail(at, "Failed to apply function to constant arguments")
	}
	c.nodes += len(v.b) / 64
	if v.array != nil {
		c.nodes += len(v.array.elems)
	}
	if c.nodes > c.limit {
		return nil, c.fail(at, "expression is too complex")
	}
	return &constant{t: n.typeOf(), value: v, at: position(at.at())}, nil
}

// node is expr without its limits.
func (c *checker) node(a ast) (node, error) {
	switch a := a.(type) {
	case *astColumn:
		return c.column(a)
	case *astString:
		c.nodes += len(a.text) / 64
		return &constant{value: value{b: []byte(a.text)}, at: a.position}, nil
	case *astNumber:
		return c.number(a)
	case *astBool:
		return &constant{t: boolType, value: boolValue(a.value), at: a.position}, nil
	case *astNull:
		return &constant{value: value{null: true}, at: a.position}, nil
	case *astParam:
		return c.param(a)
	case *astCall:
		return c.call(a)
	case *astSpecial:
		return c.special(a)
	case *astCase:
		return c.choose(a)
	case *astUnary:
		return c.unary(a)
	case *astBinary:
		return c.binary(a, a.op, a.l, a.r)
	case *astCast:
		return c.cast(a)
	case *astArray:
		return c.arrayConstructor(a, nil)
	case *astSubscript:
		return c.subscript(a)
	case *astAny:
		return c.any(a)
	case *astRow:
		return nil, c.fail(a, "a row can only be compared with a row, or be asked IS NULL")
	}
	return c.truth(a)
}

// truth checks the constructs that are not operators and give a bool.
func (c *checker) truth(a ast) (node, error) {
	switch a := a.(type) {
	case *astLogic:
		return c.logic(a)
	case *astNot:
		arg, err := c.bool(a.arg)
		if err != nil {
			return nil, err
		}
		return &negation{arg}, nil
	case *astNullTest:
		return c.nullTest(a)
	case *astTruthTest:
		return c.truthTest(a)
	case *astDistinct:
		return c.distinct(a)
	case *astIn:
		return c.in(a)
	}
	return c.between(a.(*astBetween))
}

func (c *checker) column(a *astColumn) (node, error) {
	name := strings.Join(a.parts, ".")
	i, ok := c.byName[name]
	if !ok || len(a.parts) > 1 {
		return nil, c.fail(a, "unknown reference "+name)
	}
	return &column{col: &c.cols[i], pos: i, kind: kindOf(&c.cols[i].Type)}, nil
}

// number types a number as Postgres does: the first of int4, int8, numeric that
// holds it.
func (c *checker) number(a *astNumber) (node, error) {
	if !a.decimal {
		for _, k := range []kind{kindInt4, kindInt8} {
			if v, err := k.info().parse([]byte(a.text)); err == nil {
				return &constant{t: typ{kind: k}, value: v, at: a.position}, nil
			}
		}
	}
	v, err := parseNumeric([]byte(a.text))
	if err != nil {
		return nil, c.fail(a, "value overflows numeric format")
	}
	c.nodes += len(v.b) / 64
	return &constant{t: typ{kind: kindNumeric}, value: v, at: a.position}, nil
}

func (c *checker) param(a *astParam) (node, error) {
	p, ok := c.params[strings.TrimLeft(a.name, "0")]
	if !ok {
		return nil, c.fail(a, "parameter $"+a.name+" was not provided")
	}
	c.nodes += len(p.text) / 64
	n := &constant{value: value{b: []byte(p.text)}, at: a.position, param: p}
	if p.fixed {
		n.t, n.value = p.t, p.value
	}
	return n, nil
}

// binary checks an operator. at is where faults of the operator are reported.
func (c *checker) binary(at ast, name string, left, right ast) (node, error) {
	if lr, rr := asRow(left), asRow(right); lr != nil || rr != nil {
		return c.rowComparison(at, name, lr, rr)
	}
	args, err := c.exprs([]ast{left, right})
	if err != nil {
		return nil, err
	}
	return c.apply(at, name, args[0], args[1])
}

// apply makes the operation on two checked operands. All operators are strict:
// with a NULL that is there for all to see, Postgres does not evaluate the other
// operand either.
func (c *checker) apply(at ast, name string, l, r node) (node, error) {
	n, err := c.choice(at, name, l, r)
	if err != nil {
		return nil, err
	}
	if op, ok := n.(*operation); ok && (isNull(op.l) || isNull(op.r)) {
		return null(at, boolType), nil
	}
	return c.folded(at, n)
}

func null(at ast, t typ) *constant {
	return &constant{t: t, value: value{null: true}, at: position(at.at())}
}

// choice chooses the operator for two checked operands and casts them.
func (c *checker) choice(at ast, name string, l, r node) (node, error) {
	if _, ok := pathOperators[name]; ok {
		return c.path(at, name, l, r)
	}
	if l.typeOf().kind == kindArray || r.typeOf().kind == kindArray {
		return c.arrayOperator(at, name, l, r)
	}
	if computations[name] != nil {
		return c.compute(at, name, l, r)
	}
	rows := operators[name]
	if rows == nil {
		if arrayOperators[name] != nil {
			return nil, c.noOperator(at, l, r)
		}
		return nil, c.fail(at, `unknown binary operator "`+name+`"`)
	}
	op := selectOperator(rows, l.typeOf(), r.typeOf())
	// Of two untyped operands, those of @> may be arrays or jsonb.
	vague := arrayOperators[name] != nil && l.typeOf().kind == kindUnknown && r.typeOf().kind == kindUnknown
	if op == nil || vague {
		return nil, c.noOperator(at, l, r)
	}
	var err error
	if l, err = c.coerce(l, operandType(op.left, l, r)); err != nil {
		return nil, err
	}
	if r, err = c.coerce(r, operandType(op.right, r, l)); err != nil {
		return nil, err
	}
	n := &operation{op, l, r}
	if err := c.checkCollation(at, n); err != nil {
		return nil, err
	}
	return n, nil
}

// operandType is the type an operand is cast to; for enums it is the type of
// whichever side has one.
func operandType(k kind, n, other node) typ {
	if k != kindEnum {
		return typ{kind: k}
	}
	if t := n.typeOf(); t.kind == kindEnum {
		return t
	}
	return other.typeOf()
}

func (c *checker) noOperator(at ast, l, r node) error {
	for _, pair := range [][2]node{{l, r}, {r, l}} {
		if n, ok := pair[0].(*constant); ok && n.param != nil && n.param.fixed {
			return c.fail(n.at, "type conflict for $"+n.param.name+": "+n.t.String()+" and "+pair[1].typeOf().String())
		}
	}
	return c.fail(at, "Could not select an operator overload")
}

// coerce brings a node to a type where no cast was written. The caller has made
// sure that there is an implicit cast.
func (c *checker) coerce(n node, to typ) (node, error) {
	from := n.typeOf()
	k, ok := n.(*constant)
	switch {
	case from.same(to):
		return n, nil
	case ok && from.kind == kindUnknown:
		return c.settle(k, to, false)
	}
	at := position(0)
	if ok {
		at = k.at
	}
	if to.kind == kindArray {
		return c.convertArray(n, to, at)
	}
	row := castIndex[[2]kind{from.kind, to.kind}]
	return c.convert(n, row, at)
}

// settle gives an untyped constant its type. written: by a cast of the user's.
func (c *checker) settle(n *constant, to typ, written bool) (node, error) {
	return c.settleBy(n, to, written, func(text []byte) (value, error) { return readConstant(to, text) })
}

// settleBy is settle with an input function of its own.
func (c *checker) settleBy(n *constant, to typ, written bool, read func(text []byte) (value, error)) (node, error) {
	v := value{null: true}
	if !n.value.null {
		var err error
		if v, err = read(n.value.b); err != nil {
			text := string(n.value.b)
			var dims dimensionsError
			if errors.As(err, &dims) {
				return nil, c.fail(n.at, dims.Error())
			}
			if errors.Is(err, errServers) {
				return nil, c.fail(n.at, "invalid syntax for type "+to.String()+" on some servers: "+text)
			}
			if written && n.param == nil {
				return nil, c.fail(n.at, `could not cast value "`+text+`" from text to `+to.String())
			}
			return nil, c.fail(n.at, "invalid syntax for type "+to.String()+": "+text)
		}
	}
	if n.param != nil {
		n.param.fixed, n.param.t, n.param.value = true, to, v
	}
	if v.array != nil {
		c.nodes += len(v.array.elems)
	}
	return &constant{t: to, value: v, at: n.at, param: n.param}, nil
}

// readConstant parses a literal; an enum's label must exist.
func readConstant(to typ, text []byte) (value, error) {
	if to.kind == kindEnum {
		for _, label := range to.decl.Enum {
			if label == string(text) {
				return value{b: text}, nil
			}
		}
		return value{}, errSyntax
	}
	if to.kind == kindArray {
		a, err := parseArray(text, to.element())
		return arrayValue(a), err
	}
	return to.kind.info().parse(text)
}

// convert applies a cast: at once to a constant, else by a node.
func (c *checker) convert(n node, row *castRow, at ast) (node, error) {
	k, ok := n.(*constant)
	if !ok {
		return c.folded(at, &cast{n, row})
	}
	v := k.value
	if !v.null && row.apply != nil {
		var err error
		if v, err = row.apply(v); err != nil {
			return nil, c.fail(at, `could not cast value "`+string(outputText(row.from, k.value))+`" from `+
				row.from.info().name+" to "+row.to.info().name)
		}
	}
	return &constant{t: typ{kind: row.to}, value: v, at: k.at}, nil
}

// cast checks a cast that was written.
func (c *checker) cast(a *astCast) (node, error) {
	if !a.to.span.none() {
		return c.intervalCast(a)
	}
	n, err := c.castBase(a)
	if err == nil && a.to.mods != nil {
		return c.modified(a, n)
	}
	return n, err
}

// castBase casts to the type without its modifiers.
func (c *checker) castBase(a *astCast) (node, error) {
	k, ok := kindNamed(a.to.name)
	if ar, isArray := a.arg.(*astArray); ok && isArray && a.to.array {
		return c.arrayConstructor(ar, &typ{kind: k})
	}
	n, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.fail(a, "unsupported type "+a.to.name)
	}
	to := typ{kind: k}
	if a.to.array {
		to = arrayOf(to)
	}
	return c.castTo(a, n, to)
}

// castTo casts a checked node as if the user had written it.
func (c *checker) castTo(at ast, n node, to typ) (node, error) {
	from := n.typeOf()
	if from.same(to) {
		return n, nil
	}
	if lit, ok := n.(*constant); ok && from.kind == kindUnknown {
		return c.settle(lit, to, true)
	}
	if from.kind == kindArray || to.kind == kindArray {
		return c.arrayCast(at, n, to)
	}
	row, ok := findCast(from.kind, to.kind)
	if !ok {
		return nil, c.fail(at, "unknown cast from type "+from.String()+" to type "+to.String())
	}
	return c.convert(n, row, at)
}

// insert adds n to a sorted list once.
func insert(list []int, n int) []int {
	i := sort.SearchInts(list, n)
	if i < len(list) && list[i] == n {
		return list
	}
	list = append(list, 0)
	copy(list[i+1:], list[i:])
	list[i] = n
	return list
}

var errUnknownLabel = errors.New("enum label is not known")
