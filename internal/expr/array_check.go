package expr

import "slices"

// arrayConstructor checks ARRAY[…]. want is the element type of a cast that
// stands right behind it: Postgres then casts each element to it.
func (c *checker) arrayConstructor(a *astArray, want *typ) (node, error) {
	c.nodes += len(a.elems)
	elems := make([]node, len(a.elems))
	for i, e := range a.elems {
		var err error
		if sub, ok := e.(*astArray); ok {
			elems[i], err = c.arrayConstructor(sub, want)
		} else {
			elems[i], err = c.expr(e)
		}
		if err != nil {
			return nil, err
		}
		// Of such elements alone Postgres makes an array of the domain.
		if col, ok := elems[i].(*column); ok && col.kind == kindArray && col.col.Type.isDomain() {
			return nil, c.fail(e, "ARRAY of the domain "+col.col.Type.Name+" is not supported")
		}
	}
	nested := slices.ContainsFunc(elems, func(n node) bool { return n.typeOf().kind == kindArray })
	element, err := c.elementType(a, elems, nested, want)
	if err != nil {
		return nil, err
	}
	to := element
	if nested {
		to = arrayOf(element)
	}
	for i, n := range elems {
		if want != nil {
			elems[i], err = c.castTo(a, n, to)
		} else {
			elems[i], err = c.coerce(n, to)
		}
		if err != nil {
			return nil, err
		}
	}
	return c.computed(a, constructor(arrayOf(element), elems, nested))
}

func constructor(t typ, elems []node, nested bool) *applied {
	build := func(v []value) (value, error) { return arrayValue(list(slices.Clone(v))), nil }
	if nested {
		build = stack
	}
	return &applied{t: t, args: elems, lax: true, apply: build, sql: func(p printer, args []node) {
		p.WriteString("ARRAY[")
		p.list(args)
		p.WriteByte(']')
		if t.elem != kindEnum { // whose name would need its schema
			p.WriteString("::" + t.String())
		}
	}}
}

// elementType is the type that the elements have in common.
func (c *checker) elementType(a *astArray, elems []node, nested bool, want *typ) (typ, error) {
	switch {
	case want != nil:
		return *want, nil
	case len(elems) == 0:
		return typ{}, c.fail(a, "cannot determine type of empty array")
	}
	var element typ
	var ok bool
	if nested {
		element, ok = commonElement(elems, nil)
	} else {
		element, ok = commonType(elems)
	}
	if !ok {
		return typ{}, c.unmatched(a, "ARRAY", elems)
	}
	if element.kind > kindEnum {
		return typ{}, c.fail(a, "arrays of "+element.String()+" are not supported")
	}
	return element, nil
}

// commonElement is the element type that arrays and single elements have in
// common (the pseudo-types anycompatiblearray and anycompatible).
func commonElement(arrays, elems []node) (typ, bool) {
	known := false
	var all []node
	for _, n := range arrays {
		t := n.typeOf()
		switch t.kind {
		case kindArray:
			all = append(all, &constant{t: t.element()})
		case kindUnknown:
			continue
		default:
			return typ{}, false
		}
		known = true
	}
	for _, n := range elems {
		if t := n.typeOf(); t.kind != kindUnknown {
			all, known = append(all, n), true
		}
	}
	if !known {
		return typ{}, false
	}
	t, ok := commonType(all)
	return t, ok && t.kind <= kindEnum && t.kind != kindUnknown
}

// convertArray casts the elements where no cast was written.
func (c *checker) convertArray(n node, to typ, at ast) (node, error) {
	row := castIndex[[2]kind{n.typeOf().elem, to.elem}]
	return c.eachElement(n, row.apply, to, to.String(), at)
}

// eachElement converts the elements; apply is nil if they stay as they are.
func (c *checker) eachElement(n node, apply func(v value) (value, error), to typ, name string, at ast) (node, error) {
	return c.computed(at, &applied{t: to, args: []node{n}, sql: sqlCast(name), apply: func(v []value) (value, error) {
		if apply == nil {
			return v[0], nil
		}
		from := v[0].array
		a, size := &array{dims: from.dims, elems: make([]value, len(from.elems))}, 0
		for i, e := range from.elems {
			if e.null {
				a.elems[i] = e
				continue
			}
			var err error
			if a.elems[i], err = apply(e); err != nil {
				return value{}, err
			}
			if size += len(a.elems[i].b); size > maxComputed {
				return value{}, errComputed
			}
		}
		return arrayValue(a), nil
	}})
}

// arrayCast checks a written cast from or to an array.
func (c *checker) arrayCast(at ast, n node, to typ) (node, error) {
	from := n.typeOf()
	refused := c.fail(at, "unknown cast from type "+from.String()+" to type "+to.String())
	switch {
	case from.kind == kindArray && to.kind == kindArray:
		row, ok := findCast(from.elem, to.elem)
		if !ok {
			return nil, refused
		}
		return c.eachElement(n, row.apply, to, to.String(), at)
	case from.kind == kindArray && to.kind.info().category == 'S':
		return c.computed(at, &applied{t: to, args: []node{n}, sql: sqlCast(to.String()), apply: func(v []value) (value, error) {
			return to.kind.info().parse(from.output(v[0]))
		}})
	case from.kind.info().category == 'S':
		return c.computed(at, &applied{t: to, args: []node{n}, sql: sqlCast(to.String()), apply: func(v []value) (value, error) {
			return readConstant(to, v[0].b)
		}})
	}
	return nil, refused
}

// subscript checks arg[…].
func (c *checker) subscript(a *astSubscript) (node, error) {
	arg, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	t := arg.typeOf()
	if t.kind != kindArray {
		return nil, c.fail(a, "cannot subscript type "+t.String())
	}
	slice := slices.ContainsFunc(a.subs, func(s subscript) bool { return s.slice })
	cut := cutting{slice: slice}
	args := []node{arg}
	for _, s := range a.subs {
		low := s.low
		if slice && !s.slice {
			low = &astNumber{position: a.position, text: "1"}
		}
		for i, bound := range []ast{low, s.high} {
			at := -1
			if bound != nil {
				n, err := c.subscriptBound(bound)
				if err != nil {
					return nil, err
				}
				at = len(args)
				args = append(args, n)
			}
			if i == 0 {
				cut.low = append(cut.low, at)
			} else {
				cut.high = append(cut.high, at)
			}
		}
	}
	result := t
	if !slice {
		result = t.element()
	}
	// Lax: with a bound that is NULL, Postgres evaluates the array all the same; but
	// not the bounds if the array is NULL.
	return c.computed(a, &applied{t: result, args: args, lax: true, compile: cut.compile, sql: cut.sql})
}

// subscriptBound casts a subscript to int4 as an assignment would.
func (c *checker) subscriptBound(a ast) (node, error) {
	n, err := c.expr(a)
	if err != nil {
		return nil, err
	}
	t, int4 := n.typeOf(), typ{kind: kindInt4}
	if t.kind != kindUnknown && t.kind.info().category != 'N' {
		return nil, c.fail(a, "array subscript must have type integer")
	}
	return c.castTo(a, n, int4)
}

// arrayCall checks the functions of arrays.
func (c *checker) arrayCall(a *astCall) (node, error) {
	f, ok := arrayFunctions[a.name]
	if !ok || len(f.slots) != len(a.args) {
		return nil, c.fail(a, "unknown or unsupported function "+arity(a.name, len(a.args)))
	}
	args := make([]node, len(a.args))
	var arrays, elems []node
	for i, arg := range a.args {
		n, err := c.expr(arg)
		if err != nil {
			return nil, err
		}
		args[i] = n
		switch f.slots[i] {
		case slotArray:
			arrays = append(arrays, n)
		case slotElement:
			elems = append(elems, n)
		}
	}
	return c.arrayFunction(a, a.name, f, args, arrays, elems)
}

func (c *checker) arrayFunction(at ast, name string, f arrayFunc, args, arrays, elems []node) (node, error) {
	element, ok := commonElement(arrays, elems)
	if !ok {
		return nil, c.noFunction(at, name, args)
	}
	for i := range args {
		to := element
		switch f.slots[i] {
		case slotArray:
			to = arrayOf(element)
		case slotInt:
			to = typ{kind: kindInt4}
			if !implicitly(args[i].typeOf().kind, kindInt4) {
				return nil, c.noFunction(at, name, args)
			}
		}
		n, err := c.coerce(args[i], to)
		if err != nil {
			return nil, err
		}
		args[i] = n
	}
	t := arrayOf(element)
	if f.int {
		t = typ{kind: kindInt4}
	}
	return c.computed(at, &applied{t: t, args: args, lax: f.lax, apply: f.apply, sql: sqlCall(name)})
}

func (c *checker) noFunction(at ast, name string, args []node) error {
	text := "Could not select a function overload for " + name + "("
	for i, n := range args {
		if i > 0 {
			text += ", "
		}
		text += n.typeOf().String()
	}
	return c.fail(at, text+")")
}
