package expr

import (
	"bytes"
	"math"
	"math/big"
)

// x ^ y on numeric. Postgres computes some digits more than it shows and rounds;
// we compute more still, and round as it does unless the digits it has not are
// close to a half. How many it shows depends on its version: Postgres 14 looks at
// the scale of x if y is whole, later ones at the weight of the result too, which
// they estimate. So there may be two results that differ in their scale.

const (
	maxPowerScale = 1000  // NUMERIC_MAX_DISPLAY_SCALE
	maxPowerWhole = 16384 // digits before the point that we are ready to compute for a row; the type has 131072
	// halfMargin is how far Postgres may be from the exact value when it rounds, in
	// units of the last digit. Its guard digits keep it far below.
	halfMargin = 1e-3
)

func numericPower(a, b value) ([]value, error) {
	x, y := rankOf(a), rankOf(b)
	if x > 1 || x < -1 || y > 1 || y < -1 {
		v, err := specialPower(a, b, x, y)
		return []value{v}, err
	}
	if x == 0 && y < 0 {
		return nil, errZeroPower
	}
	base, exponent := scaledOf(a.b), scaledOf(b.b)
	if whole, ok := wholeInt(b); ok && whole >= math.MinInt32 && whole <= math.MaxInt32 {
		return wholeNumericPower(base, whole, exponent.scale)
	}
	if x == 0 {
		v, err := scaled{new(big.Int), 16}.value()
		return []value{v}, err
	}
	if x < 0 && !isWhole(b) {
		return nil, errComplex
	}
	return realNumericPower(base, exponent, x < 0 && isOdd(b))
}

// specialPower: the rules of pow(3) where NaN or an infinity is involved.
func specialPower(a, b value, x, y int) (value, error) {
	unit := compareNumeric(a, numericOne) == 0
	switch {
	case y == 0 || unit:
		return numericOne, nil
	case x == 3 || y == 3:
		return rankText(3), nil
	case x == 0 && y < 0:
		return value{}, errZeroPower
	case x < 0 && !isWhole(b):
		return value{}, errComplex
	case x == 0:
		return numericZero, nil
	case infinite(y):
		size, _ := absNumeric(a)
		n := compareNumeric(size, numericOne)
		switch {
		case n == 0:
			return numericOne, nil
		case (n > 0) == (y > 0):
			return rankText(2), nil
		}
		return numericZero, nil
	case y < 0:
		return numericZero, nil
	case x < 0 && isOdd(b):
		return rankText(-2), nil
	}
	return rankText(2), nil
}

var numericZero, numericOne = value{b: []byte("0")}, value{b: []byte("1")}

// isWhole takes the infinities for whole, as numeric_is_integral does.
func isWhole(v value) bool { return len(decimalOfText(v.b).fraction) == 0 }

func isOdd(v value) bool {
	d := decimalOfText(v.b)
	return len(d.fraction) == 0 && len(d.whole) > 0 && d.whole[len(d.whole)-1]%2 == 1
}

// wholeInt is a number without a fraction that is no larger than an int8.
func wholeInt(v value) (int64, bool) {
	if !isWhole(v) {
		return 0, false
	}
	whole, _, _ := bytes.Cut(v.b, []byte("."))
	return atoi(whole)
}

// wholeNumericPower: y is an int4, scale its scale.
func wholeNumericPower(base scaled, y int64, scale int) ([]value, error) {
	weight, slack := 0.0, 0.0
	if base.coef.Sign() != 0 {
		log, exact := log10(base)
		weight = float64(y) * log
		if !exact { // Postgres takes 13 to 16 digits of the base
			slack = (math.Abs(float64(y))+math.Abs(weight))*1e-12 + 1e-12
		}
	}
	switch {
	case weight > maxNumericWhole+1:
		return nil, errRange
	case weight > maxPowerWhole:
		return nil, errServers
	}
	scales := []int{
		powerScale(weight-slack, base.scale, scale),
		powerScale(weight+slack, base.scale, scale),
		powerScale(0, base.scale, 0), // Postgres 14
	}
	power := new(big.Float).SetPrec(64)
	if weight > -2*maxPowerScale {
		prec := powerPrec(weight, scales)
		power = wholePower(quotient(new(big.Int).Abs(base.coef), pow10(base.scale), prec), uint64(max(y, -y)), prec)
		if y < 0 {
			power.Quo(new(big.Float).SetPrec(prec).SetInt64(1), power)
		}
	}
	return roundings(power, base.coef.Sign() < 0 && y%2 != 0, scales, halfMargin)
}

// log10 of a number that is not zero. exact: it is a power of ten, and of these C
// libraries know the logarithm.
func log10(s scaled) (log float64, exact bool) {
	text := bytes.TrimPrefix([]byte(s.coef.String()), []byte("-"))
	rest := len(text) - 17
	if rest < 0 {
		rest = 0
	}
	lead, _ := atoi(text[:len(text)-rest])
	if digits := bytes.TrimRight(text, "0"); len(digits) == 1 && digits[0] == '1' {
		return float64(len(text) - 1 - s.scale), true
	}
	return math.Log10(float64(lead)) + float64(rest-s.scale), false
}

// powerScale is the scale that Postgres gives a power of about 10^weight.
func powerScale(weight float64, scales ...int) int {
	scale := 16 - int(max(weight, -2*maxPowerScale))
	for _, s := range scales {
		scale = max(scale, s)
	}
	return min(max(scale, 0), maxPowerScale)
}

// powerPrec is the number of bits that the digits of a power need.
func powerPrec(weight float64, scales []int) uint {
	digits := max(weight, 0) + 2
	for _, s := range scales {
		digits = max(digits, max(weight, 0)+float64(s))
	}
	return uint(digits*math.Log2(10)) + 128
}

// realNumericPower is x^y for x > 0 by way of the logarithm, negative if that is
// said.
func realNumericPower(base, y scaled, negative bool) ([]value, error) {
	num, den, at := new(big.Int).Abs(base.coef), pow10(base.scale), pow10(y.scale)
	val, tiny := estimate(num, den, y, at)
	const limit = 6000 // of exp_var
	switch {
	case val > limit+0.1:
		return nil, errRange
	case val > limit-0.1:
		return nil, errServers
	}
	weight := val * math.Log10E
	slack := math.Abs(weight)*1e-6 + tiny
	scales := []int{powerScale(weight-slack, base.scale, y.scale), powerScale(weight+slack, base.scale, y.scale)}
	power := new(big.Float).SetPrec(64)
	if val > -limit {
		prec := powerPrec(weight, scales) + 16
		ln := logarithm(num, den, prec)
		power = exponential(ln.Mul(ln, quotient(y.coef, at, prec)), prec)
	}
	return roundings(power, negative, scales, halfMargin+math.Abs(val)*1e-6)
}

// estimate is y ln x, and how far Postgres's first estimate of it may be off beside
// its eight digits: it is made to a scale that follows from ln x alone.
func estimate(num, den *big.Int, y scaled, at *big.Int) (val, off float64) {
	ln := logarithm(num, den, 128)
	size, _ := ln.Float64()
	val, _ = ln.Mul(ln, quotient(y.coef, at, 128)).Float64()
	return max(val, -1e6), max(math.Abs(size), 1) * 1e-7
}

// roundings are the different texts of a power, at most two.
func roundings(power *big.Float, negative bool, scales []int, margin float64) ([]value, error) {
	var list []value
	add := func(n *big.Int, scale int) error {
		if negative {
			n = new(big.Int).Neg(n)
		}
		v, err := scaled{n, scale}.value()
		for _, have := range list {
			if bytes.Equal(have.b, v.b) {
				return err
			}
		}
		list = append(list, v)
		return err
	}
	for _, scale := range scales {
		shifted := new(big.Float).SetPrec(power.Prec()).Mul(power, floatOf(power.Prec(), pow10(scale)))
		n, _ := shifted.Int(nil)
		rest, _ := shifted.Sub(shifted, floatOf(power.Prec(), n)).Float64()
		if rest < 0.5+margin {
			if err := add(n, scale); err != nil {
				return nil, err
			}
		}
		if rest > 0.5-margin {
			if err := add(new(big.Int).Add(n, big.NewInt(1)), scale); err != nil {
				return nil, err
			}
		}
	}
	if len(list) > 2 {
		return nil, errServers
	}
	return list, nil
}
