package expr

// relation is what a comparison asks of an ordering.
type relation uint8

const (
	relNone relation = iota
	relEQ
	relNE
	relLT
	relLE
	relGT
	relGE
)

// holds reports whether a comparison that came out as c (<0, 0, >0) satisfies r.
func (r relation) holds(c int) bool {
	switch r {
	case relEQ:
		return c == 0
	case relNE:
		return c != 0
	case relLT:
		return c < 0
	case relLE:
		return c <= 0
	case relGT:
		return c > 0
	}
	return c >= 0
}

// need is what an operator asks of the collation of its operands.
type need uint8

const (
	needNothing       need = iota
	needDeterministic      // equal only if the bytes are
	needBytewise           // ordered by bytes
	needCase               // lower() known well enough
)

// operator is one row of the operator table: a name with the types it takes, as
// in pg_operator.
type operator struct {
	name        string
	left, right kind
	result      kind
	need        need
	// A comparison is an ordering and what is asked of it.
	compare func(a, b value) int
	rel     relation
	// apply computes any other operator; it is not called with a NULL operand:
	// all operators here are strict.
	apply func(a, b value) (value, error)
	// either computes what servers may come to two values of.
	either func(a, b value) ([]value, error)
	// prepare builds apply where it depends on the operands' collation or on
	// an operand that is constant. It may refuse. Takes precedence over apply.
	prepare func(op *operation, col collation) (func(a, b value) (value, error), error)
}

var comparisons = []struct {
	name string
	rel  relation
}{{"=", relEQ}, {"<>", relNE}, {"<", relLT}, {"<=", relLE}, {">", relGT}, {">=", relGE}}

// comparable is a pair of types with all six comparisons.
var comparable = []struct {
	left, right kind
	compare     func(a, b value) int
}{
	{kindBool, kindBool, compareInt},
	{kindInt2, kindInt2, compareInt},
	{kindInt2, kindInt4, compareInt},
	{kindInt2, kindInt8, compareInt},
	{kindInt4, kindInt2, compareInt},
	{kindInt4, kindInt4, compareInt},
	{kindInt4, kindInt8, compareInt},
	{kindInt8, kindInt2, compareInt},
	{kindInt8, kindInt4, compareInt},
	{kindInt8, kindInt8, compareInt},
	{kindNumeric, kindNumeric, compareNumeric},
	{kindFloat4, kindFloat4, compareFloat},
	{kindFloat4, kindFloat8, compareFloat},
	{kindFloat8, kindFloat4, compareFloat},
	{kindFloat8, kindFloat8, compareFloat},
	{kindText, kindText, compareBytes},
	{kindBpchar, kindBpchar, compareBpchar},
	{kindName, kindName, compareBytes},
	{kindName, kindText, compareBytes},
	{kindText, kindName, compareBytes},
	{kindUUID, kindUUID, compareBytes},
	{kindBytea, kindBytea, compareBytes},
	{kindDate, kindDate, compareInt},
	{kindDate, kindTimestamp, compareDateStamp},
	{kindTimestamp, kindDate, compareStampDate},
	{kindTimestamp, kindTimestamp, compareInt},
	{kindDate, kindTimestamptz, compareDateStamp},
	{kindTimestamptz, kindDate, compareStampDate},
	{kindTimestamp, kindTimestamptz, compareInt},
	{kindTimestamptz, kindTimestamp, compareInt},
	{kindTimestamptz, kindTimestamptz, compareInt},
	{kindTime, kindTime, compareInt},
	{kindTimetz, kindTimetz, compareInt},
	{kindInterval, kindInterval, compareInterval},
}

// operators is the operator table by name. To add an operator, add rows in
// makeOperators; the choice between rows of a name follows Postgres's rules
// (resolve.go), so a row must be there for each row of pg_operator over the
// kinds we know, or none of that name.
var operators = makeOperators()

func makeOperators() map[string][]*operator {
	m := map[string][]*operator{}
	add := func(op operator) { m[op.name] = append(m[op.name], &op) }
	for _, c := range comparisons {
		for _, p := range comparable {
			op := operator{name: c.name, left: p.left, right: p.right, result: kindBool, compare: p.compare, rel: c.rel}
			if p.left.info().collates {
				op.need = needBytewise
				if c.rel == relEQ || c.rel == relNE {
					op.need = needDeterministic
				}
			}
			add(op)
		}
		add(enumOperator(c.name, c.rel))
	}
	for _, op := range append(jsonbOperators(), byteaOperators...) {
		add(op)
	}
	for _, left := range []kind{kindText, kindBpchar, kindName} {
		for _, l := range likes {
			add(operator{name: l.name, left: left, right: kindText, result: kindBool, need: l.need, prepare: l.prepare})
		}
	}
	return m
}

// likes are the operators behind LIKE and ILIKE.
var likes = []struct {
	name    string
	need    need
	prepare func(op *operation, col collation) (func(a, b value) (value, error), error)
}{
	{"~~", needDeterministic, prepareLike},
	{"!~~", needDeterministic, prepareLike},
	{"~~*", needCase, prepareILike},
	{"!~~*", needCase, prepareILike},
}

// enumOperator: labels are equal as texts, so that a label added later needs no
// knowledge of ours; their order is that of the type.
func enumOperator(name string, rel relation) operator {
	op := operator{name: name, left: kindEnum, right: kindEnum, result: kindBool}
	if rel == relEQ || rel == relNE {
		op.compare, op.rel = compareBytes, rel
		return op
	}
	op.prepare = func(o *operation, _ collation) (func(a, b value) (value, error), error) {
		return enumOrder(enumOf(o), rel), nil
	}
	return op
}

func enumOf(o *operation) *Type {
	if t := o.l.typeOf(); t.decl != nil {
		return t.decl
	}
	return o.r.typeOf().decl
}

func enumOrder(t *Type, rel relation) func(a, b value) (value, error) {
	compare := enumCompare(t)
	return func(a, b value) (value, error) {
		n, err := compare(a, b)
		return boolValue(rel.holds(n)), err
	}
}

// enumCompare is the order of an enum's labels.
func enumCompare(t *Type) func(a, b value) (int, error) {
	order := make(map[string]int64, len(t.Enum))
	for i, label := range t.Enum {
		order[label] = int64(i)
	}
	return func(a, b value) (int, error) {
		i, ok := order[string(a.b)]
		j, ok2 := order[string(b.b)]
		if !ok || !ok2 {
			return 0, errUnknownLabel
		}
		return compareInt(value{n: i}, value{n: j}), nil
	}
}

func enumArrayCompare(t *Type) func(a, b value) (int, error) {
	compare := enumCompare(t)
	return func(a, b value) (int, error) {
		var failed error
		n := compareArrays(a.array, b.array, func(x, y value) int {
			n, err := compare(x, y)
			if err != nil {
				failed = err
			}
			return n
		})
		return n, failed
	}
}

// compareDateStamp compares with a day's midnight. A day beyond the last
// timestamp is still before infinity.
func compareDateStamp(a, b value) int {
	n, err := dateToTimestamp(a)
	if err != nil {
		n.n = stampInfinity - 1
	}
	return compareInt(n, b)
}

func compareStampDate(a, b value) int { return -compareDateStamp(b, a) }
