package expr

// arrayOperators are the operators over two arrays of one type that give a bool.
// Their functions take the comparison of two elements.
var arrayOperators = map[string]func(a, b *array, compare func(a, b value) int) bool{
	"@>": contains,
	"<@": func(a, b *array, cmp func(a, b value) int) bool { return contains(b, a, cmp) },
	"&&": overlap,
}

// arrayOperator chooses the operator when at least one operand is an array. An
// untyped operand is taken to be of the other's type.
func (c *checker) arrayOperator(at ast, name string, l, r node) (node, error) {
	if name == "||" {
		return c.concatenation(at, l, r)
	}
	known, other := l, r
	if l.typeOf().kind == kindUnknown {
		known, other = r, l
	}
	t := known.typeOf()
	if other.typeOf().kind != kindUnknown && !other.typeOf().same(t) {
		return nil, c.noOperator(at, l, r)
	}
	op := arrayOperatorFor(name, t)
	if op == nil {
		if operators[name] == nil && arrayOperators[name] == nil {
			return nil, c.fail(at, `unknown binary operator "`+name+`"`)
		}
		return nil, c.noOperator(at, l, r)
	}
	var err error
	if l, err = c.coerce(l, t); err != nil {
		return nil, err
	}
	if r, err = c.coerce(r, t); err != nil {
		return nil, err
	}
	n := &operation{op, l, r}
	if err := c.checkCollation(at, n); err != nil {
		return nil, err
	}
	return n, nil
}

// arrayOperatorFor makes the row of the operator table for one array type; nil:
// there is none of that name.
func arrayOperatorFor(name string, t typ) *operator {
	if t.elem == kindJSON {
		return nil
	}
	compare := elementCompare(t.elem)
	op := &operator{name: name, left: kindArray, right: kindArray, result: kindBool}
	if t.elem.info().collates {
		op.need = needDeterministic
	}
	for _, c := range comparisons {
		if c.name != name {
			continue
		}
		if op.need != needNothing && c.rel != relEQ && c.rel != relNE {
			op.need = needBytewise
		}
		op.rel = c.rel
		switch ordered := c.rel != relEQ && c.rel != relNE; {
		case ordered && t.elem == kindJSONB:
			op.prepare = orderOfJSONB
		case ordered && t.elem == kindEnum:
			order := orderOf(t)
			op.apply = func(a, b value) (value, error) {
				n, err := order(a, b)
				return boolValue(c.rel.holds(n)), err
			}
		default:
			op.compare = func(a, b value) int { return compareArrays(a.array, b.array, compare) }
		}
		return op
	}
	f := arrayOperators[name]
	if f == nil {
		return nil
	}
	op.apply = func(a, b value) (value, error) { return boolValue(f(a.array, b.array, compare)), nil }
	return op
}

// elementCompare is the order of a type's values.
func elementCompare(k kind) func(a, b value) int {
	switch k {
	case kindVarchar:
		k = kindText
	case kindJSONB:
		return compareJSONB
	}
	for _, p := range comparable {
		if p.left == k && p.right == k {
			return p.compare
		}
	}
	return compareBytes
}

// concatenation checks || where one side is an array: an untyped side is an
// array too, another one an element.
func (c *checker) concatenation(at ast, l, r node) (node, error) {
	isElement := func(n node) bool {
		k := n.typeOf().kind
		return k != kindArray && k != kindUnknown
	}
	name, arrays, elems := "array_cat", []node{l, r}, []node(nil)
	switch {
	case isElement(r):
		name, arrays, elems = "array_append", []node{l}, []node{r}
	case isElement(l):
		name, arrays, elems = "array_prepend", []node{r}, []node{l}
	}
	if _, ok := commonElement(arrays, elems); !ok {
		return nil, c.noOperator(at, l, r)
	}
	return c.arrayFunction(at, name, arrayFunctions[name], []node{l, r}, arrays, elems)
}
