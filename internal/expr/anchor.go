package expr

// AnchorKind says what an Anchor asks of a row.
type AnchorKind uint8

const (
	// AnchorIs: the column's key (AppendKey) is Low.
	AnchorIs AnchorKind = iota + 1
	// AnchorHas: the column is an array, and one of its elements has the key Low
	// (AppendKeys).
	AnchorHas
	// AnchorPart: the column is a text, and Low is a part of it in lower case
	// (AppendParts).
	AnchorPart
	// AnchorWithin: the column's key is at least Low, and below High unless Open.
	AnchorWithin
)

// Anchor is one thing that a row must have. The routing index looks changes up
// by it.
type Anchor struct {
	Kind AnchorKind
	Col  int // position in the columns given to Compile
	Low  string
	High string
	Open bool // there is no High
}

// Term is a conjunction of anchors: first those that ask for a value, by column,
// then those that ask for elements, or, if there are neither, one that asks for a
// part, then one that asks for a range at the most.
type Term []Anchor

// Terms returns, when something is known of all rows that the clause is TRUE
// for, the terms of which such a row has at least one; known with no terms means
// that it is TRUE for none. It is a necessary condition, not a sufficient one:
// the clause itself decides.
func (e *Expr) Terms() (terms []Term, known bool) { return unpackTerms(e.text[e.sqlLen:]) }

// Whole reports that the terms are also a sufficient condition: the clause is TRUE for a
// row whose values are those that one of them asks for.
func (e *Expr) Whole() bool { return e.whole }

// wholeTerms is about what may be put into many shapes: columns compared with constants for
// equality, lists of them, AND of such comparisons, OR of all that.
func wholeTerms(n node) bool {
	switch n := n.(type) {
	case *operation:
		if n.op.left == kindArray || n.op.compare == nil || n.op.rel != relEQ {
			return false
		}
		l, r := n.l, n.r
		if _, ok := l.(*constant); ok {
			l, r = r, l
		}
		k, ok := r.(*constant)
		return ok && equal(l, k)
	case *inList:
		for _, k := range n.list {
			if !k.value.null && !equal(n.arg, k) {
				return false
			}
		}
		return true
	case *logic:
		for _, arg := range n.args {
			if _, one := arg.(*operation); !wholeTerms(arg) || !n.or && !one {
				return false // the conjunction of lists may have been cut: see maxTerms
			}
		}
		return true
	}
	return false
}

// equal reports whether a node is a column, cast to nothing else than what it is, and
// equal to k just when its key is that of k. (A bpchar as text is not: see keyFor.)
func equal(n node, k *constant) bool {
	_, _, ok := keyFor(n, k)
	for ok {
		c, is := n.(*cast)
		if !is {
			return true
		}
		n, ok = c.arg, c.row.apply == nil
	}
	return false
}

// AppendKey appends the canonical key of a value in output text: two values of a
// type have equal keys just when they are equal, and where the type can be asked
// for ranges the keys' bytes order as the values do. False: the type is not
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

// maxTerms bounds what the conjunction of two disjunctions becomes. Beyond it
// one of both is left to the clause.
const maxTerms = 64

// never is what is known of a clause that no row satisfies.
var never = []Term{}

// termsOf finds the terms of a node; nil: nothing is known.
func termsOf(n node) []Term {
	switch n := n.(type) {
	case *constant:
		if n.value.null || n.value.n == 0 {
			return never
		}
	case *column:
		if n.kind == kindBool {
			return isTerm(n, &constant{t: boolType, value: boolValue(true)})
		}
	case *negation:
		if c, ok := n.arg.(*column); ok && c.kind == kindBool {
			return isTerm(c, &constant{t: boolType, value: boolValue(false)})
		}
	case *truthTest:
		if n.what == yes && !n.not {
			return termsOf(n.arg)
		}
	case *operation:
		switch {
		case n.op.left == kindArray:
			return containmentTerms(n)
		case n.op.name == "~~", n.op.name == "~~*":
			return patternTerms(n)
		case n.op.compare != nil:
			return comparisonTerms(n.op.rel, n.l, n.r)
		}
	case *quantified:
		return quantifiedTerms(n)
	case *distinct:
		if n.not {
			// NULL is not distinct from NULL: only a constant that is none will do.
			return comparisonTerms(relEQ, n.l, n.r)
		}
	case *inList:
		return listTerms(n)
	case *logic:
		if n.or {
			return orTerms(n)
		}
		return andTerms(n)
	}
	return nil
}

// comparisonTerms: col = const, col < const and so on, or the other way round.
func comparisonTerms(rel relation, l, r node) []Term {
	if _, ok := l.(*constant); ok {
		l, r = r, l
		rel = mirrored(rel)
	}
	k, ok := r.(*constant)
	if !ok || k.value.null {
		return nil
	}
	if rel == relEQ {
		return isTerm(l, k)
	}
	key, col, ok := keyFor(l, k)
	if !ok || !col.kind.info().ordered {
		return nil
	}
	// The keys' least successor makes a bound that is in the range one that is
	// not, and the other way round.
	a := Anchor{Kind: AnchorWithin, Col: col.pos}
	switch rel {
	case relLT:
		a.High = key
	case relLE:
		a.High = key + "\x00"
	case relGT:
		a.Low, a.Open = key+"\x00", true
	case relGE:
		a.Low, a.Open = key, true
	default:
		return nil
	}
	return []Term{{a}}
}

func mirrored(r relation) relation {
	switch r {
	case relLT:
		return relGT
	case relLE:
		return relGE
	case relGT:
		return relLT
	case relGE:
		return relLE
	}
	return r
}

func isTerm(n node, k *constant) []Term {
	key, col, ok := keyFor(n, k)
	if !ok {
		return nil
	}
	return []Term{{{Kind: AnchorIs, Col: col.pos, Low: key}}}
}

func listTerms(n *inList) []Term {
	list := never
	for _, k := range n.list {
		if k.value.null {
			continue // no row is equal to NULL
		}
		t := isTerm(n.arg, k)
		if t == nil {
			return nil
		}
		list = append(list, t...)
	}
	return dedup(list)
}

// keyFor makes the key that the column's values have when they equal k. Keys are
// by the column's type, so k must be of a type with the same keys.
func keyFor(n node, k *constant) (key string, col *column, ok bool) {
	col, ok = keyColumn(n)
	if !ok || k.value.null || keyClass(col.kind) != keyClass(k.t.kind) || col.kind.info().key == nil {
		return "", nil, false
	}
	// For a bpchar column compared as bpchar, blanks at the end do not matter;
	// compared as text they do, but then the column has none, and a constant
	// with blanks keeps them in its key and matches nothing.
	return string(k.t.kind.info().key(nil, k.value)), col, true
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
	case kindFloat4:
		return kindFloat8 // a float4 is compared as the float8 that it is
	case kindVarchar, kindBpchar, kindName:
		return kindText
	case kindTimestamptz:
		return kindTimestamp // the session's zone is UTC
	}
	return k
}

// orTerms: something must be known of every arm.
func orTerms(n *logic) []Term {
	all := never
	for _, arg := range n.args {
		list := termsOf(arg)
		if list == nil {
			return nil
		}
		all = append(all, list...)
	}
	return dedup(all)
}

// andTerms: each term of one arm goes with each of the others.
func andTerms(n *logic) []Term {
	var all []Term
	for _, arg := range n.args {
		list := termsOf(arg)
		switch {
		case list == nil:
		case all == nil:
			all = list
		case len(all) > 1 && len(list) > 1 && len(all)*len(list) > maxTerms:
			if len(list) < len(all) {
				all = list
			}
		default:
			all = product(all, list)
		}
	}
	return all
}

func product(a, b []Term) []Term {
	all := never
	for _, s := range a {
		for _, t := range b {
			if both, possible := conjunction(s, t); possible {
				all = append(all, both)
			}
		}
	}
	return dedup(all)
}
