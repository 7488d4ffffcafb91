package expr

import "slices"

// array is the value of an array: the elements in storage order, the last
// dimension running fastest. Without elements it has no dimensions.
type array struct {
	dims  []dimension
	elems []value
}

type dimension struct {
	lower int64 // the subscript of the first element
	n     int64 // how many there are
}

// Limits of Postgres: MAXDIM, and what an int4 holds. Of its MaxArraySize see maxJoined.
const (
	maxDimensions = 6
	minSubscript  = -2147483648
	maxSubscript  = 2147483647
)

// arrayOIDs are the array types whose elements we know (pg_type.typarray).
var arrayOIDs = map[uint32]kind{
	1000: kindBool, 1005: kindInt2, 1007: kindInt4, 1016: kindInt8, 1231: kindNumeric, 1021: kindFloat4, 1022: kindFloat8,
	1009: kindText, 1015: kindVarchar, 1014: kindBpchar, 1003: kindName, 2951: kindUUID, 1001: kindBytea,
	1182: kindDate, 1115: kindTimestamp, 1185: kindTimestamptz, 1183: kindTime, 1270: kindTimetz,
	1187: kindInterval, 3807: kindJSONB,
}

// elementOf is the kind of an array type's elements, kindOther if we do not know
// it. A domain over an array is that array.
func elementOf(t *Type) kind {
	if t.Elem != nil && t.Elem.Enum != nil {
		return kindEnum
	}
	oid := t.Base
	if oid == 0 {
		oid = t.OID
	}
	if k, ok := arrayOIDs[oid]; ok {
		return k
	}
	return kindOther
}

// arrayOf is the type of arrays of t.
func arrayOf(t typ) typ { return typ{kind: kindArray, elem: t.kind, decl: t.decl} }

// element is the type of an array's elements.
func (t typ) element() typ { return typ{kind: t.elem, decl: t.decl} }

// list is a one-dimensional array that begins with 1.
func list(elems []value) *array {
	if len(elems) == 0 {
		return &array{}
	}
	return &array{dims: []dimension{{1, int64(len(elems))}}, elems: elems}
}

func arrayValue(a *array) value { return value{array: a} }

// sameShape: all dimensions agree, lower bounds too.
func sameShape(a, b []dimension) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// compareArrays is array_cmp: the first elements that differ decide, NULL being
// the greatest, then the numbers of elements and of dimensions, then the
// dimensions, sizes before bounds.
func compareArrays(a, b *array, compare func(a, b value) int) int {
	for i := range min(len(a.elems), len(b.elems)) {
		if c := compareElements(a.elems[i], b.elems[i], compare); c != 0 {
			return c
		}
	}
	if c := len(a.elems) - len(b.elems); c != 0 {
		return c
	}
	if c := len(a.dims) - len(b.dims); c != 0 {
		return c
	}
	for i := range a.dims {
		if c := a.dims[i].n - b.dims[i].n; c != 0 {
			return int(c)
		}
	}
	for i := range a.dims {
		if c := a.dims[i].lower - b.dims[i].lower; c != 0 {
			return int(c)
		}
	}
	return 0
}

func compareElements(a, b value, compare func(a, b value) int) int {
	switch {
	case a.null && b.null:
		return 0
	case a.null:
		return 1
	case b.null:
		return -1
	}
	return compare(a, b)
}

// contains reports whether each element of b is one of a. NULL is none.
func contains(a, b *array, compare func(a, b value) int) bool {
	has := a.has(len(b.elems), compare)
	for _, y := range b.elems {
		if y.null || !has(y) {
			return false
		}
	}
	return true
}

// overlap reports whether some element of b is one of a.
func overlap(a, b *array, compare func(a, b value) int) bool {
	has := a.has(len(b.elems), compare)
	for _, y := range b.elems {
		if !y.null && has(y) {
			return true
		}
	}
	return false
}

// fewSought is how many elements are sought one by one: for more the array is sorted,
// or two long ones would keep the stream busy for minutes.
const fewSought = 16

// has tells of an array which values are its elements; sought is how many will be
// asked for.
func (a *array) has(sought int, compare func(a, b value) int) func(y value) bool {
	if sought <= fewSought {
		return func(y value) bool {
			return slices.ContainsFunc(a.elems, func(x value) bool { return !x.null && compare(x, y) == 0 })
		}
	}
	elems := slices.DeleteFunc(slices.Clone(a.elems), func(x value) bool { return x.null })
	slices.SortFunc(elems, compare)
	return func(y value) bool {
		_, found := slices.BinarySearchFunc(elems, y, compare)
		return found
	}
}
