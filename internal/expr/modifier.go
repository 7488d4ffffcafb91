package expr

import (
	"bytes"
	"math/big"
	"strings"
)

// Type modifiers: varchar(n), char(n), numeric(p, s), timestamp(p) and time(p).
// They cut, pad or round the value of a written cast. Those of intervals are in
// interval_fields.go.

// Limits of the modifiers. Postgres 15 takes scales below zero and above the
// precision too, 14 does not.
const (
	maxLength    = 10485760
	maxPrecision = 1000
	// maxPadded is ours: a value of char(n) takes n characters for each row.
	maxPadded = 8192
)

// modified casts a node to the length or the precision that was written.
func (c *checker) modified(a *astCast, n node) (node, error) {
	name := n.typeOf().element().String()
	if n.typeOf().kind != kindArray {
		name = n.typeOf().String()
	}
	apply, reason := modifier(name, a.to.mods)
	if reason != "" {
		return nil, c.fail(a, reason)
	}
	sql := name + "(" + strings.Join(a.to.mods, ",") + ")"
	if n.typeOf().kind == kindArray {
		return c.eachElement(n, apply, n.typeOf(), sql+"[]", a)
	}
	return c.computed(a, &applied{t: n.typeOf(), args: []node{n}, sql: sqlCast(sql),
		apply: func(v []value) (value, error) { return apply(v[0]) }})
}

// modifier is the length coercion of a type; the reason says what is wrong with
// the numbers.
func modifier(name string, mods []string) (apply func(v value) (value, error), reason string) {
	numbers := make([]int, len(mods))
	for i, m := range mods {
		n, ok := atoi([]byte(m))
		if !ok {
			n = -1
		}
		numbers[i] = int(n)
	}
	switch name {
	case "varchar", "bpchar":
		if len(mods) != 1 || numbers[0] < 1 || numbers[0] > maxLength {
			return nil, "the length of " + name + " must be a number from 1 to 10485760"
		}
		n := numbers[0]
		if name == "varchar" {
			return func(v value) (value, error) { return value{b: firstChars(v.b, n)}, nil }, ""
		}
		if n > maxPadded {
			return nil, "char of more than 8192 characters is not supported"
		}
		return func(v value) (value, error) { return value{b: padded(v.b, n)}, nil }, ""
	case "numeric":
		if len(mods) == 1 {
			numbers = append(numbers, 0)
		}
		if len(numbers) != 2 || numbers[0] < 1 || numbers[0] > maxPrecision || numbers[1] < 0 || numbers[1] > numbers[0] {
			return nil, "the precision of numeric must be a number from 1 to 1000, its scale one from 0 to the precision"
		}
		return func(v value) (value, error) { return roundNumeric(v, numbers[0], numbers[1]) }, ""
	}
	if isTimed(name) {
		return timeModifier(name, numbers)
	}
	return nil, "type modifiers are not supported"
}

// firstChars cuts a text to n characters.
func firstChars(text []byte, n int) []byte {
	for at := 0; at < len(text); at += charLen(text[at:]) {
		if n == 0 {
			return text[:at]
		}
		n--
	}
	return text
}

// padded cuts a text to n characters, or fills it up with blanks.
func padded(text []byte, n int) []byte {
	text = firstChars(text, n)
	for at := 0; at < len(text); at += charLen(text[at:]) {
		n--
	}
	return append(bytes.Clone(text), bytes.Repeat([]byte(" "), n)...)
}

// roundNumeric rounds half away from zero. An infinity fits no precision.
func roundNumeric(v value, precision, scale int) (value, error) {
	switch rank := rankOf(v); {
	case rank == 3:
		return v, nil
	case infinite(rank):
		return value{}, errRange
	}
	n := scaledOf(v.b)
	if n.scale <= scale {
		n.coef = n.at(scale)
	} else {
		n.coef = roundedQuotient(n.coef, pow10(n.scale-scale))
	}
	if new(big.Int).Abs(n.coef).Cmp(pow10(precision)) >= 0 {
		return value{}, errRange
	}
	return scaled{n.coef, scale}.value()
}

// roundedQuotient divides, half away from zero.
func roundedQuotient(a, b *big.Int) *big.Int {
	negative := a.Sign()*b.Sign() < 0
	a, b = new(big.Int).Abs(a), new(big.Int).Abs(b)
	a.Add(a.Lsh(a, 1), b)
	a.Quo(a, b.Lsh(b, 1))
	if negative {
		a.Neg(a)
	}
	return a
}
