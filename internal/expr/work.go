package expr

import (
	"errors"
	"math"
)

// A clause is evaluated for each row while the stream of all shapes waits. What it
// computes takes as long as its values are large: numerics have up to 147,000
// digits, texts a gigabyte, and a clause has room for thousands of operations. So
// all operations of a clause share what may be spent on a row; what is larger costs
// the one shape. No one meets it who computes with few large values or many small ones.
const (
	rowDigits   = 400000  // of an operand of one operation on numerics, whose time is their square
	rowBytes    = 1 << 30 // of all operands
	rowElements = 8 << 20 // of all arrays
)

var errDigits = errors.New("the numbers are too long for so many operations on each row")

// share is what one operation may spend.
type share struct{ digits, bytes, elements int }

func shareOf(operations int) share {
	n := max(operations, 1)
	return share{int(rowDigits / math.Sqrt(float64(n))), rowBytes / n, rowElements / n}
}

// check refuses operands that are too large.
func (s share) check(numeric bool, operands []value) error {
	bytes, longest, elements := 0, 0, 0
	for _, v := range operands {
		bytes, longest = bytes+len(v.b), max(longest, len(v.b))
		if v.array != nil {
			elements += len(v.array.elems)
		}
	}
	switch {
	case bytes > s.bytes || elements > s.elements:
		return errComputed
	case numeric && longest > s.digits:
		return errDigits
	}
	return nil
}

// allot gives every operation of a clause its share.
func allot(n node) {
	var operations []*applied
	var walk func(node)
	walk = func(n node) {
		if a, ok := n.(*applied); ok {
			operations = append(operations, a)
		}
		for _, o := range n.operands() {
			walk(o)
		}
	}
	walk(n)
	for _, a := range operations {
		a.operations = len(operations)
	}
}
