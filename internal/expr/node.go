package expr

// The checked tree: names are positions, every type is known, every implicit
// cast is a node. It is what is printed, compiled and indexed.

type node interface {
	typeOf() typ
	// operands are the nodes below, in order.
	operands() []node
}

type (
	column struct {
		col  *Column
		pos  int // in the columns given to Compile
		kind kind
	}
	// constant is a literal or a parameter. While its type is unknown, value.b
	// is its text.
	constant struct {
		t     typ
		value value
		at    position
		param *param // nil for a literal
	}
	// cast converts; row.apply is nil when the value stays as it is.
	cast struct {
		arg node
		row *castRow
	}
	// operation is a binary operator.
	operation struct {
		op   *operator
		l, r node
	}
	// inList is arg = ANY (constants), the form Postgres gives an IN with two or
	// more constants.
	inList struct {
		op   *operator // an equality
		arg  node
		list []*constant
	}
	// logic is AND or OR over two or more operands.
	logic struct {
		or   bool
		args []node
	}
	negation struct{ arg node }
	// nullTest is IS [NOT] NULL.
	nullTest struct {
		arg node
		not bool
		// whole: the value itself is asked, not the fields of a row, as
		// IS [NOT] DISTINCT FROM NULL does.
		whole bool
	}
	// truthTest is IS [NOT] TRUE, FALSE or UNKNOWN.
	truthTest struct {
		arg  node
		not  bool
		what tri
	}
	// distinct is IS [NOT] DISTINCT FROM.
	distinct struct {
		op   *operator // the equality of the two types
		l, r node
		not  bool
	}
)

// param is a $n and the type that its first use gave it.
type param struct {
	name string
	text string
	// fixed is set once the type is known.
	fixed bool
	t     typ
	value value
}

var boolType = typ{kind: kindBool}

func (n *column) typeOf() typ {
	t := typ{kind: n.kind}
	if n.kind == kindEnum || n.kind == kindOther {
		t.decl = &n.col.Type
	}
	if n.kind == kindArray {
		t.elem, t.decl = elementOf(&n.col.Type), n.col.Type.Elem
	}
	return t
}
func (n *constant) typeOf() typ  { return n.t }
func (n *cast) typeOf() typ      { return typ{kind: n.row.to} }
func (n *operation) typeOf() typ { return typ{kind: n.op.result} }
func (n *inList) typeOf() typ    { return boolType }
func (n *logic) typeOf() typ     { return boolType }
func (n *negation) typeOf() typ  { return boolType }
func (n *nullTest) typeOf() typ  { return boolType }
func (n *truthTest) typeOf() typ { return boolType }
func (n *distinct) typeOf() typ  { return boolType }

func (n *column) operands() []node    { return nil }
func (n *constant) operands() []node  { return nil }
func (n *cast) operands() []node      { return []node{n.arg} }
func (n *operation) operands() []node { return []node{n.l, n.r} }
func (n *inList) operands() []node    { return []node{n.arg} }
func (n *logic) operands() []node     { return n.args }
func (n *negation) operands() []node  { return []node{n.arg} }
func (n *nullTest) operands() []node  { return []node{n.arg} }
func (n *truthTest) operands() []node { return []node{n.arg} }
func (n *distinct) operands() []node  { return []node{n.l, n.r} }

// isNull reports whether n is the constant NULL.
func isNull(n node) bool {
	c, ok := n.(*constant)
	return ok && c.value.null
}

// readsColumns reports whether n depends on the row.
func readsColumns(n node) bool {
	if _, ok := n.(*column); ok {
		return true
	}
	for _, o := range n.operands() {
		if readsColumns(o) {
			return true
		}
	}
	return false
}

// columnsOf collects the positions of the columns that n reads, sorted.
func columnsOf(n node) []int {
	var list []int
	var walk func(node)
	walk = func(n node) {
		if c, ok := n.(*column); ok {
			list = insert(list, c.pos)
		}
		for _, o := range n.operands() {
			walk(o)
		}
	}
	walk(n)
	if len(list) == 1 && list[0] < len(lone) {
		return lone[list[0] : list[0]+1 : list[0]+1]
	}
	return list
}

// lone are the lists of one column, of as many as a table can have: those of a million
// clauses are no objects of their own.
var lone = func() (all [1600]int) {
	for i := range all {
		all[i] = i
	}
	return all
}()

// height is the length of the longest way down from n, in nodes.
func height(n node) int {
	h := 0
	for _, o := range n.operands() {
		h = max(h, height(o))
	}
	return h + 1
}
