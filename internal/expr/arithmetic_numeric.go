package expr

import (
	"bytes"
	"math/big"
)

// Numeric arithmetic on big integers with a scale. The scale of a result is part
// of its text, so the rules of numeric.c for it are followed.

var numericComputations = []computation{
	{"+", kindNumeric, kindNumeric, kindNumeric, numericSum(1)},
	{"-", kindNumeric, kindNumeric, kindNumeric, numericSum(-1)},
	{"*", kindNumeric, kindNumeric, kindNumeric, numericProduct},
	{"/", kindNumeric, kindNumeric, kindNumeric, numericQuotient},
	{"%", kindNumeric, kindNumeric, kindNumeric, numericRemainder},
}

// scaled is a finite numeric: coef / 10^scale.
type scaled struct {
	coef  *big.Int
	scale int
}

// scaledOf is not for NaN and the infinities.
func scaledOf(text []byte) scaled {
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	n, _ := new(big.Int).SetString(string(whole)+string(fraction), 10) // the text was checked
	return scaled{n, len(fraction)}
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// at gives the coefficient at a scale that is not smaller.
func (s scaled) at(scale int) *big.Int { return new(big.Int).Mul(s.coef, pow10(scale-s.scale)) }

func (s scaled) value() (value, error) {
	text := new(big.Int).Abs(s.coef).String()
	if n := s.scale + 1 - len(text); n > 0 {
		text = string(bytes.Repeat([]byte("0"), n)) + text
	}
	point := len(text) - s.scale
	head := bytes.TrimLeft([]byte(text[:point]), "0")
	if len(head) > maxNumericWhole || s.scale > maxNumericScale {
		return value{}, errRange
	}
	return value{b: joinDecimal(s.coef.Sign() < 0, head, []byte(text[point:]))}, nil
}

// rankOf is decimalParts.rank: 2 and -2 are the infinities, 3 is NaN.
func rankOf(v value) int { return decimalOfText(v.b).rank }

func infinite(rank int) bool { return rank == 2 || rank == -2 }

func rankText(rank int) value {
	switch {
	case rank > 2:
		return value{b: []byte("NaN")}
	case rank > 0:
		return value{b: []byte("Infinity")}
	}
	return value{b: []byte("-Infinity")}
}

func numericSum(sign int) func(a, b value) (value, error) {
	return func(a, b value) (value, error) {
		x, y := rankOf(a), rankOf(b)
		if y != 3 {
			y *= sign
		}
		switch {
		case x == 3 || y == 3 || infinite(x) && infinite(y) && x != y:
			return rankText(3), nil
		case infinite(x):
			return rankText(x), nil
		case infinite(y):
			return rankText(y), nil
		}
		p, q := scaledOf(a.b), scaledOf(b.b)
		scale := max(p.scale, q.scale)
		n := new(big.Int)
		if sign > 0 {
			n.Add(p.at(scale), q.at(scale))
		} else {
			n.Sub(p.at(scale), q.at(scale))
		}
		return scaled{n, scale}.value()
	}
}

func signOf(rank int) int {
	switch {
	case rank > 0:
		return 1
	case rank < 0:
		return -1
	}
	return 0
}

// numericProduct is exact, but for digits beyond the last that the type can hold.
func numericProduct(a, b value) (value, error) {
	x, y := rankOf(a), rankOf(b)
	switch {
	case x == 3 || y == 3 || (infinite(x) || infinite(y)) && x*y == 0:
		return rankText(3), nil
	case infinite(x) || infinite(y):
		return rankText(signOf(x) * signOf(y)), nil
	}
	p, q := scaledOf(a.b), scaledOf(b.b)
	s := scaled{new(big.Int).Mul(p.coef, q.coef), p.scale + q.scale}
	if over := s.scale - maxNumericScale; over > 0 {
		s = scaled{roundedQuotient(s.coef, pow10(over)), maxNumericScale}
	}
	return s.value()
}

// numericQuotient rounds half away from zero at the scale that select_div_scale
// chooses.
func numericQuotient(a, b value) (value, error) {
	x, y := rankOf(a), rankOf(b)
	switch {
	case x == 3 || y == 3 || infinite(x) && infinite(y):
		return rankText(3), nil
	case y == 0:
		return value{}, errDivision
	case infinite(x):
		return rankText(signOf(x) * signOf(y)), nil
	case infinite(y):
		return value{b: []byte("0")}, nil
	}
	p, q := scaledOf(a.b), scaledOf(b.b)
	scale := quotientScale(a.b, b.b, p.scale, q.scale)
	top := new(big.Int).Mul(p.coef, pow10(scale+q.scale))
	bottom := new(big.Int).Mul(q.coef, pow10(p.scale))
	return scaled{roundedQuotient(top, bottom), scale}.value()
}

// quotientScale is select_div_scale: at least 16 significant digits, counted in
// groups of four, and no fewer behind the point than either operand has.
func quotientScale(a, b []byte, scaleA, scaleB int) int {
	weightA, firstA := leadingGroup(a)
	weightB, firstB := leadingGroup(b)
	weight := weightA - weightB
	if firstA <= firstB {
		weight--
	}
	return min(max(16-weight*4, scaleA, scaleB, 0), 1000)
}

// leadingGroup is the first group of four digits that is not zero, and its
// distance from the point: 0 for the group before it, -1 for the one behind.
func leadingGroup(text []byte) (weight, first int) {
	d := decimalOfText(text)
	if d.rank == 0 {
		return 0, 0
	}
	group := d.fraction
	if n := len(d.whole); n > 0 {
		weight = (n - 1) / 4
		group = d.whole[:n-4*weight]
	} else {
		zeros := len(group) - len(bytes.TrimLeft(group, "0"))
		weight = -(zeros / 4) - 1
		group = append(bytes.Clone(group[zeros/4*4:]), "000"...)[:4]
	}
	n, _ := atoi(group)
	return weight, int(n)
}

// numericRemainder has the sign of the dividend.
func numericRemainder(a, b value) (value, error) {
	x, y := rankOf(a), rankOf(b)
	switch {
	case x == 3 || y == 3:
		return rankText(3), nil
	case infinite(x):
		if y == 0 {
			return value{}, errDivision
		}
		return rankText(3), nil
	case infinite(y):
		return a, nil
	case y == 0:
		return value{}, errDivision
	}
	p, q := scaledOf(a.b), scaledOf(b.b)
	scale := max(p.scale, q.scale)
	return scaled{new(big.Int).Rem(p.at(scale), q.at(scale)), scale}.value()
}
