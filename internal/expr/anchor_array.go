package expr

import "slices"

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
	v, err := loadArray(element)(text)
	if err != nil {
		return dst, false
	}
	for _, e := range v.array.elems {
		if !e.null {
			dst = append(dst, string(key(nil, e)))
		}
	}
	return dst, true
}

// quantifiedTerms: const = ANY (array column).
func quantifiedTerms(n *quantified) []Term {
	k, ok := n.l.(*constant)
	if !ok || n.all || n.op.compare == nil || n.op.rel != relEQ {
		return nil
	}
	return elementTerms(n.arr, k.t.kind, []value{k.value}, true)
}

// containmentTerms: an array column that contains or equals a constant array has
// all of its elements, one that overlaps it has one of them.
func containmentTerms(n *operation) []Term {
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
	if !ok || k.value.null || name != "@>" && name != "=" && name != "&&" {
		return nil
	}
	return elementTerms(arr, k.t.elem, k.value.array.elems, name != "&&")
}

// maxWanted is how many elements a term asks for at the most.
const maxWanted = 8

// elementTerms says that n, a column, has all of the values that are not NULL as
// elements, or one of them.
func elementTerms(n node, k kind, values []value, all bool) []Term {
	col, ok := n.(*column)
	if !ok || col.kind != kindArray {
		return nil
	}
	elem := col.typeOf().elem
	if elem.info().key == nil || keyClass(elem) != keyClass(k) {
		return nil
	}
	var keys []string
	for _, v := range values {
		if !v.null {
			keys = append(keys, string(k.info().key(nil, v)))
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	switch {
	case len(keys) == 0:
		return nil
	case all:
		var term Term
		for _, key := range keys[:min(len(keys), maxWanted)] {
			term = append(term, Anchor{Kind: AnchorHas, Col: col.pos, Low: key})
		}
		return []Term{term}
	}
	list := make([]Term, len(keys))
	for i, key := range keys {
		list[i] = Term{{Kind: AnchorHas, Col: col.pos, Low: key}}
	}
	return list
}
