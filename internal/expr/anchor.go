package expr

// Anchor is a value that a column must have: the routing index looks changes up
// by it.
type Anchor struct {
	Col int    // position in the columns given to Compile
	Key string // canonical key of the value (AppendKey)
	// Element: the column is an array, and the key is that of a value which one
	// of its elements must have (AppendKeys). An array column has only such
	// anchors, every other column none.
	Element bool
}

// Anchors returns, when the clause can only be TRUE for a row in which at least
// one anchor's column has the anchor's value, these anchors; else nil. It is a
// necessary condition, not a sufficient one. The caller must not change the
// slice.
func (e *Expr) Anchors() []Anchor { return e.anchors }

// AppendKey appends the canonical key of a value in output text: two values of a
// type have equal keys just when they are equal. False: the type is not
// indexable or the text cannot be read; such a value may match any anchor of its
// column.
func AppendKey(dst []byte, t Type, text []byte) ([]byte, bool) {
	k := kindOf(&t)
	if k.info().key == nil {
		return dst, false
	}
	v, err := loadValue(k, text)
	if err != nil {
		return dst, false
	}
	return k.info().key(dst, v), true
}

// anchorsOf finds the anchors of a node; nil: none.
func anchorsOf(n node) []Anchor {
	switch n := n.(type) {
	case *quantified:
		return quantifiedAnchor(n)
	case *operation:
		if n.op.left == kindArray {
			return containmentAnchors(n)
		}
		if n.op.compare != nil && n.op.rel == relEQ {
			return equalityAnchor(n)
		}
	case *inList:
		return listAnchors(n)
	case *logic:
		if n.or {
			return orAnchors(n)
		}
		return andAnchors(n)
	}
	return nil
}

// equalityAnchor: col = const or const = col.
func equalityAnchor(n *operation) []Anchor {
	l, r := n.l, n.r
	if _, ok := l.(*constant); ok {
		l, r = r, l
	}
	k, ok := r.(*constant)
	if !ok {
		return nil
	}
	if a, ok := anchor(l, k); ok {
		return []Anchor{a}
	}
	return nil
}

func listAnchors(n *inList) []Anchor {
	var list []Anchor
	for _, k := range n.list {
		if k.value.null {
			continue // no row is equal to NULL
		}
		a, ok := anchor(n.arg, k)
		if !ok {
			return nil
		}
		list = append(list, a)
	}
	return dedup(list)
}

// anchor makes the key that the column's values have when they equal k. Keys are
// by the column's type, so k must be of a type with the same keys.
func anchor(n node, k *constant) (Anchor, bool) {
	col, ok := keyColumn(n)
	if !ok || k.value.null || keyClass(col.kind) != keyClass(k.t.kind) || col.kind.info().key == nil {
		return Anchor{}, false
	}
	// For a bpchar column compared as bpchar, blanks at the end do not matter;
	// compared as text they do, but then the column has none, and a constant
	// with blanks keeps them in its key and matches nothing.
	key := k.t.kind.info().key(nil, k.value)
	return Anchor{Col: col.pos, Key: string(key)}, true
}

// keyColumn looks through casts that leave the key as it is: those without a
// conversion, and bpchar to text. To bpchar is none of them: blanks at the end
// then stop to matter.
func keyColumn(n node) (*column, bool) {
	for {
		switch m := n.(type) {
		case *column:
			return m, true
		case *cast:
			unpadded := m.row.from == kindBpchar && m.row.to == kindText
			if m.row.apply != nil && !unpadded || m.row.to == kindBpchar {
				return nil, false
			}
			n = m.arg
		default:
			return nil, false
		}
	}
}

// keyClass groups the kinds whose equal values have equal keys.
func keyClass(k kind) kind {
	switch k {
	case kindInt2, kindInt4:
		return kindInt8
	case kindVarchar, kindBpchar, kindName:
		return kindText
	}
	return k
}

// andAnchors: any arm will do. The one with the fewest anchors is taken, a bool
// column only if there is no other: it would tell few rows apart.
func andAnchors(n *logic) []Anchor {
	var best []Anchor
	for _, arg := range n.args {
		list := anchorsOf(arg)
		if list == nil {
			continue
		}
		if best == nil || cost(n, list) < cost(n, best) {
			best = list
		}
	}
	return best
}

func cost(n node, list []Anchor) int {
	if onBool(n, list[0].Col) {
		return len(list) + MaxSize
	}
	return len(list)
}

// onBool reports whether the column at pos, read below n, is a bool.
func onBool(n node, pos int) bool {
	if c, ok := n.(*column); ok {
		return c.pos == pos && c.kind == kindBool
	}
	for _, o := range n.operands() {
		if onBool(o, pos) {
			return true
		}
	}
	return false
}

// orAnchors: every arm must have some.
func orAnchors(n *logic) []Anchor {
	var all []Anchor
	for _, arg := range n.args {
		list := anchorsOf(arg)
		if list == nil {
			return nil
		}
		all = append(all, list...)
	}
	return dedup(all)
}

// dedup drops repeated anchors and keeps the order. An empty list becomes nil.
func dedup(list []Anchor) []Anchor {
	seen := make(map[Anchor]bool, len(list))
	kept := list[:0]
	for _, a := range list {
		if !seen[a] {
			seen[a] = true
			kept = append(kept, a)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}
