package expr

import (
	"errors"
	"slices"

	"github.com/spillway-sync/spillway/internal/wal"
)

var (
	errConcat     = errors.New("cannot concatenate incompatible arrays")
	errOneDim     = errors.New("argument must be empty or one-dimensional array")
	errTooLarge   = errors.New("array size exceeds the maximum allowed")
	errSubArrays  = errors.New("multidimensional arrays must have array expressions with matching dimensions")
	slotsCat      = []slot{slotArray, slotArray}
	slotsAppend   = []slot{slotArray, slotElement}
	slotsPrepend  = []slot{slotElement, slotArray}
	slotsArrayInt = []slot{slotArray, slotInt}
)

// slot is what a function takes at a place.
type slot uint8

const (
	slotArray slot = iota
	slotElement
	slotInt
)

// arrayFunc is a function over arrays of any element type.
type arrayFunc struct {
	slots []slot
	int   bool // gives an int4, else an array
	lax   bool // takes NULLs
	apply func(args []value) (value, error)
}

var arrayFunctions = map[string]arrayFunc{
	"array_cat":     {slots: slotsCat, lax: true, apply: func(v []value) (value, error) { return concat(v[0], v[1]) }},
	"array_append":  {slots: slotsAppend, lax: true, apply: func(v []value) (value, error) { return attach(v[0], v[1], true) }},
	"array_prepend": {slots: slotsPrepend, lax: true, apply: func(v []value) (value, error) { return attach(v[1], v[0], false) }},
	"array_ndims": {slots: slotsCat[:1], int: true, apply: func(v []value) (value, error) {
		n := len(v[0].array.dims)
		return value{n: int64(n), null: n == 0}, nil
	}},
	"cardinality": {slots: slotsCat[:1], int: true, apply: func(v []value) (value, error) {
		return value{n: int64(len(v[0].array.elems))}, nil
	}},
	"array_length": {slots: slotsArrayInt, int: true, apply: ofDimension(func(d dimension) int64 { return d.n })},
	"array_lower":  {slots: slotsArrayInt, int: true, apply: ofDimension(func(d dimension) int64 { return d.lower })},
	"array_upper":  {slots: slotsArrayInt, int: true, apply: ofDimension(func(d dimension) int64 { return d.lower + d.n - 1 })},
}

// ofDimension asks for one dimension, counted from 1; NULL if there is none.
func ofDimension(f func(dimension) int64) func([]value) (value, error) {
	return func(v []value) (value, error) {
		dims, i := v[0].array.dims, v[1].n
		if i < 1 || i > int64(len(dims)) {
			return value{null: true}, nil
		}
		return value{n: f(dims[i-1])}, nil
	}
}

// concat is array_cat. A NULL array counts for nothing.
func concat(a, b value) (value, error) {
	switch {
	case a.null:
		return b, nil
	case b.null:
		return a, nil
	}
	x, y := a.array, b.array
	switch {
	case len(x.dims) == 0:
		return b, nil
	case len(y.dims) == 0:
		return a, nil
	}
	outer, inner, grow := x.dims, y.dims, int64(1)
	switch len(x.dims) - len(y.dims) {
	case 0:
		grow, inner = y.dims[0].n, y.dims[1:]
	case -1:
		outer, inner = y.dims, x.dims
	case 1:
	default:
		return value{}, errConcat
	}
	if !sameShape(outer[1:], inner) {
		return value{}, errConcat
	}
	dims := slices.Clone(outer)
	dims[0].n += grow
	return checked(&array{dims: dims, elems: slices.Concat(x.elems, y.elems)})
}

// maxJoined is maxComputed for arrays, in elements.
const maxJoined = maxComputed / 64

// checked refuses an array that Postgres could not hold, or that is too long for us.
func checked(a *array) (value, error) {
	if len(a.elems) > maxJoined {
		return value{}, errComputed
	}
	for _, d := range a.dims {
		if d.lower+d.n > maxSubscript {
			return value{}, errTooLarge
		}
	}
	return arrayValue(a), nil
}

// attach adds one element behind or before the others. The lower bound stays.
func attach(v, elem value, behind bool) (value, error) {
	if v.null || len(v.array.dims) == 0 {
		return arrayValue(list([]value{elem})), nil
	}
	a := v.array
	if len(a.dims) > 1 {
		return value{}, errOneDim
	}
	d := a.dims[0]
	if !behind && d.lower == minSubscript {
		return value{}, errTooLarge
	}
	parts := [][]value{{elem}, a.elems}
	if behind {
		slices.Reverse(parts)
	}
	return checked(&array{dims: []dimension{{d.lower, d.n + 1}}, elems: slices.Concat(parts...)})
}

// stack makes an array of arrays. NULL and empty ones may only stand among their
// like, and count for nothing then.
func stack(subs []value) (value, error) {
	var first *array
	var elems []value
	empty := false
	for _, s := range subs {
		switch {
		case s.null || len(s.array.dims) == 0:
			empty = true
			continue
		case first == nil:
			first = s.array
		case !sameShape(first.dims, s.array.dims):
			return value{}, errSubArrays
		}
		if elems = append(elems, s.array.elems...); len(elems) > maxJoined {
			return value{}, errComputed
		}
	}
	switch {
	case first == nil:
		return arrayValue(&array{}), nil
	case empty:
		return value{}, errSubArrays
	case len(first.dims) == maxDimensions:
		return value{}, dimensionsError(maxDimensions + 1)
	}
	return checked(&array{dims: append([]dimension{{1, int64(len(subs))}}, first.dims...), elems: elems})
}

// cutting is a list of subscripts: where their bounds stand among the operands,
// -1 for one that was left out. Operand 0 is the array.
type cutting struct {
	slice     bool
	low, high []int
}

// compile evaluates the bounds unless the array is NULL.
func (c cutting) compile(args []valueFn) valueFn {
	return func(row wal.Tuple) (value, error) {
		vals := make([]value, len(args))
		for i, f := range args {
			v, err := f(row)
			if err != nil || v.null && i == 0 {
				return v, err
			}
			vals[i] = v
		}
		return c.apply(vals)
	}
}

func (c cutting) apply(v []value) (value, error) {
	if slices.ContainsFunc(v, func(x value) bool { return x.null }) {
		return value{null: true}, nil
	}
	a := v[0].array
	if !c.slice {
		return c.element(a, v), nil
	}
	if len(a.dims) < len(c.high) {
		return arrayValue(&array{}), nil
	}
	from := make([]int64, len(a.dims))
	dims := make([]dimension, len(a.dims))
	for i, d := range a.dims {
		low, high := d.lower, d.lower+d.n-1
		if i < len(c.high) {
			if j := c.low[i]; j >= 0 {
				low = max(low, v[j].n)
			}
			if j := c.high[i]; j >= 0 {
				high = min(high, v[j].n)
			}
		}
		if low > high {
			return arrayValue(&array{}), nil
		}
		from[i], dims[i] = low-d.lower, dimension{1, high - low + 1}
	}
	return arrayValue(&array{dims: dims, elems: pick(nil, a.dims, a.elems, from, dims)}), nil
}

// element is NULL unless there is a subscript for each dimension, within it.
func (c cutting) element(a *array, v []value) value {
	if len(a.dims) == 0 || len(a.dims) != len(c.high) {
		return value{null: true}
	}
	at := int64(0)
	for i, d := range a.dims {
		n := v[c.high[i]].n - d.lower
		if n < 0 || n >= d.n {
			return value{null: true}
		}
		at = at*d.n + n
	}
	return a.elems[at]
}

// pick appends the elements of a part of an array.
func pick(dst []value, dims []dimension, elems []value, from []int64, part []dimension) []value {
	if len(dims) == 0 {
		return append(dst, elems[0])
	}
	size := int64(len(elems)) / dims[0].n
	for i := from[0]; i < from[0]+part[0].n; i++ {
		dst = pick(dst, dims[1:], elems[i*size:(i+1)*size], from[1:], part[1:])
	}
	return dst
}

func (c cutting) sql(p printer, args []node) {
	p.WriteByte('(')
	p.node(args[0])
	p.WriteByte(')')
	bound := func(i int) {
		if i >= 0 {
			p.WriteByte('(')
			p.node(args[i])
			p.WriteByte(')')
		}
	}
	for i := range c.high {
		p.WriteByte('[')
		if c.slice {
			bound(c.low[i])
			p.WriteByte(':')
		}
		bound(c.high[i])
		p.WriteByte(']')
	}
}
