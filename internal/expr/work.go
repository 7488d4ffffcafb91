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

var errLarge = errors.New("the values are too large for the clause to be computed for each row")

// share is what one operation may spend.
type share struct{ digits, bytes, elements int }

func shareOf(operations int) share {
	n := max(operations, 1)
	return share{int(rowDigits / math.Sqrt(float64(n))), rowBytes / n, rowElements / n}
}

func (s share) suffices(numeric bool, operands []value) bool {
	bytes, longest, elements := 0, 0, 0
	for _, v := range operands {
		bytes, longest = bytes+len(v.b), max(longest, len(v.b))
		if v.array != nil {
			elements += len(v.array.elems)
		}
	}
	return bytes <= s.bytes && elements <= s.elements && !(numeric && longest > s.digits)
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
