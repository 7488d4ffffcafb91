package expr

// AppendKeys appends to dst the keys (AppendKey, for the element's type) of the
// elements of an array in output text. Elements that are NULL have none, equal
// ones may be there twice. False: the elements are not indexable or the text
// cannot be read; such a value may match any anchor of its column.
func AppendKeys(dst []string, t Type, text []byte) ([]string, bool) {
	element := typ{kind: elementOf(&t)}
	key := element.kind.info().key
	if key == nil {
		return dst, false
	}
	a, err := parseArray(text, element)
	if err != nil {
		return dst, false
	}
	for _, e := range a.elems {
		if !e.null {
			dst = append(dst, string(key(nil, e)))
		}
	}
	return dst, true
}

// quantifiedAnchor: const = ANY (array column).
func quantifiedAnchor(n *quantified) []Anchor {
	k, ok := n.l.(*constant)
	if !ok || n.all || n.op.compare == nil || n.op.rel != relEQ {
		return nil
	}
	return elementAnchors(n.arr, k.t.kind, []value{k.value})
}

// containmentAnchors: an array column that contains, overlaps or equals a
// constant array has at least one of its elements. Where it must have each, the
// first stands for all.
func containmentAnchors(n *operation) []Anchor {
	arr, other, name := n.l, n.r, n.op.name
	if _, ok := arr.(*constant); ok {
		arr, other = other, arr
		switch name {
		case "@>":
			name = "<@"
		case "<@":
			name = "@>"
		}
	}
	k, ok := other.(*constant)
	if !ok || k.value.null {
		return nil
	}
	var wanted []value
	for _, e := range k.value.array.elems {
		if !e.null {
			wanted = append(wanted, e)
		}
	}
	switch {
	case len(wanted) == 0:
		return nil
	case name == "@>", name == "=":
		wanted = wanted[:1]
	case name != "&&":
		return nil
	}
	return elementAnchors(arr, k.t.elem, wanted)
}

// elementAnchors makes the anchors of values of one of which n, a column, must
// have an element.
func elementAnchors(n node, k kind, values []value) []Anchor {
	col, ok := n.(*column)
	if !ok || col.kind != kindArray {
		return nil
	}
	elem := col.typeOf().elem
	key := elem.info().key
	if key == nil || keyClass(elem) != keyClass(k) {
		return nil
	}
	var list []Anchor
	for _, v := range values {
		if !v.null {
			list = append(list, Anchor{Col: col.pos, Key: string(k.info().key(nil, v)), Element: true})
		}
	}
	return dedup(list)
}
