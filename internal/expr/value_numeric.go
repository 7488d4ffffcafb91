package expr

import (
	"bytes"
	"encoding/binary"
)

// A numeric is kept as the text of Postgres's output function: [-]digits, with a
// fraction if it has a scale; NaN, Infinity, -Infinity. Comparing two texts
// digit by digit is exact at any length and allocates nothing. (apd was
// rejected: it parses into big integers, for a comparison that most often ends
// at the first digit.)

// Limits of the type, in digits.
const (
	maxNumericWhole = 131072
	maxNumericScale = 16383
)

func parseNumeric(text []byte) (value, error) {
	text = trimBlank(text)
	if special, ok := specialNumeric(text); ok {
		return value{b: []byte(special)}, nil
	}
	if !isDecimal(text) {
		return value{}, errSyntax
	}
	b, ok := plainDecimal(text)
	if !ok {
		return value{}, errRange
	}
	return value{b: b}, nil
}

// specialNumeric takes the same words as floats do; a NaN has no sign.
func specialNumeric(text []byte) (string, bool) {
	f, ok := specialFloat(text)
	switch {
	case !ok:
		return "", false
	case f > 0:
		return "Infinity", true
	case f < 0:
		return "-Infinity", true
	}
	return "NaN", true
}

// plainDecimal writes a decimal without an exponent. The scale stays: 1.50e1 is
// 15.0. False: beyond the limits of the type.
func plainDecimal(text []byte) ([]byte, bool) {
	negative := text[0] == '-'
	if negative || text[0] == '+' {
		text = text[1:]
	}
	exp := int64(0)
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		var ok bool
		if exp, ok = atoi(text[i+1:]); !ok || exp > 1e6 || exp < -1e6 {
			return nil, false
		}
		text = text[:i]
	}
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	digits := append(append(make([]byte, 0, len(text)), whole...), fraction...)
	scale := max(len(fraction)-int(exp), 0)
	point := len(whole) + int(exp) // digits before the point
	if point < 0 {
		digits = append(bytes.Repeat([]byte("0"), -point), digits...)
		point = 0
	}
	if point > len(digits) {
		digits = append(digits, bytes.Repeat([]byte("0"), point-len(digits))...)
	}
	head := bytes.TrimLeft(digits[:point], "0")
	if len(head) > maxNumericWhole || scale > maxNumericScale {
		return nil, false
	}
	return joinDecimal(negative, head, digits[point:]), true
}

// joinDecimal puts a number together; zero has no sign.
func joinDecimal(negative bool, whole, fraction []byte) []byte {
	b := make([]byte, 0, len(whole)+len(fraction)+3)
	if negative && (len(whole) > 0 || len(bytes.TrimLeft(fraction, "0")) > 0) {
		b = append(b, '-')
	}
	if len(whole) == 0 {
		whole = []byte("0")
	}
	b = append(b, whole...)
	if len(fraction) > 0 {
		b = append(append(b, '.'), fraction...)
	}
	return b
}

func loadNumeric(text []byte) (value, error) {
	if _, ok := specialNumeric(text); !ok {
		if !isDecimal(text) || bytes.IndexByte(text, 'e') >= 0 {
			return value{}, errSyntax
		}
	}
	return value{b: text}, nil
}

// decimalParts is a number without insignificant zeros.
type decimalParts struct {
	rank            int // -Infinity -2, negative -1, zero 0, positive 1, Infinity 2, NaN 3
	whole, fraction []byte
}

func decimalOfText(text []byte) decimalParts {
	switch text[0] {
	case 'N':
		return decimalParts{rank: 3}
	case 'I':
		return decimalParts{rank: 2}
	}
	d := decimalParts{rank: 1}
	if text[0] == '-' || text[0] == '+' {
		if text[0] == '-' {
			d.rank = -1
		}
		text = text[1:]
		if text[0] == 'I' {
			d.rank *= 2
			return d
		}
	}
	d.whole = text
	if i := bytes.IndexByte(text, '.'); i >= 0 {
		d.whole, d.fraction = text[:i], text[i+1:]
	}
	for len(d.whole) > 0 && d.whole[0] == '0' {
		d.whole = d.whole[1:]
	}
	for len(d.fraction) > 0 && d.fraction[len(d.fraction)-1] == '0' {
		d.fraction = d.fraction[:len(d.fraction)-1]
	}
	if len(d.whole) == 0 && len(d.fraction) == 0 {
		d.rank = 0
	}
	return d
}

// compareNumeric orders as Postgres does: NaN equals NaN and is above
// everything, scales do not matter.
func compareNumeric(a, b value) int {
	x, y := decimalOfText(a.b), decimalOfText(b.b)
	if x.rank != y.rank {
		return compareInt(value{n: int64(x.rank)}, value{n: int64(y.rank)})
	}
	c := len(x.whole) - len(y.whole)
	if c == 0 {
		c = bytes.Compare(x.whole, y.whole)
	}
	if c == 0 {
		c = bytes.Compare(x.fraction, y.fraction)
	}
	if x.rank < 0 {
		return -c
	}
	return c
}

// keyNumeric orders as compareNumeric does: the rank, the number of digits before
// the point, the digits. Of negative numbers all is turned, and an end put to it,
// so that more digits are less.
func keyNumeric(dst []byte, v value) []byte {
	d := decimalOfText(v.b)
	dst = append(dst, byte(d.rank+2))
	if d.rank != 1 && d.rank != -1 {
		return dst
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(d.whole)))
	dst = append(append(dst, d.whole...), d.fraction...)
	if d.rank > 0 {
		return dst
	}
	for i := start; i < len(dst); i++ {
		dst[i] = ^dst[i]
	}
	return append(dst, 0xff)
}
