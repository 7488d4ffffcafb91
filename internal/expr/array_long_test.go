package expr

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// Two long arrays are compared in fewer steps than they have pairs of elements, and
// with the same result as pair by pair.
func TestLongArrays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	numbers := func(n, of int) *array {
		a := &array{}
		for range n {
			v := value{b: strconv.AppendInt(nil, r.Int64N(int64(of)), 10)}
			if r.IntN(3) == 0 {
				v.b = append(v.b, ".0"...) // equal to what lacks it
			}
			v.null = r.IntN(50) == 0
			a.elems = append(a.elems, v)
		}
		return a
	}
	some := func(a, b *array, all bool) bool {
		is := func(y value) bool {
			return !y.null && slices.ContainsFunc(a.elems, func(x value) bool { return !x.null && compareNumeric(x, y) == 0 })
		}
		if all {
			return !slices.ContainsFunc(b.elems, func(y value) bool { return !is(y) })
		}
		return slices.ContainsFunc(b.elems, is)
	}
	found := map[bool]int{}
	for range 3000 {
		a, b := numbers(r.IntN(120), 60), numbers(r.IntN(40), 60)
		if r.IntN(2) == 0 {
			b = numbers(r.IntN(40), 1+r.IntN(3))
		}
		in := contains(a, b, compareNumeric)
		found[in]++
		if in != some(a, b, true) || overlap(a, b, compareNumeric) != some(a, b, false) {
			t.Fatalf("%s and %s: %t, %t", arrayText(list(a.elems), kindNumeric), arrayText(list(b.elems), kindNumeric), in, overlap(a, b, compareNumeric))
		}
	}
	if found[true] < 100 || found[false] < 100 {
		t.Errorf("too few of a kind: %v", found)
	}
	steps := 0
	counted := func(a, b value) int {
		steps++
		return compareInt(a, b)
	}
	const n = 3000
	long, other := &array{}, &array{}
	for i := range int64(n) {
		long.elems, other.elems = append(long.elems, value{n: i}), append(other.elems, value{n: n - 1 - i})
	}
	if !contains(long, other, counted) || steps > 100*n {
		t.Errorf("%d elements in as many others took %d steps", n, steps)
	}
}
