package expr

import (
	"errors"
	"math"
	"math/big"
)

// x ^ y on double precision, as dpow has it.

var (
	errZeroPower = errors.New("zero raised to a negative power is undefined")
	errComplex   = errors.New("a negative number raised to a non-integer power yields a complex result")
)

// powMargin is how far we allow C libraries' pow to be from the exact value before
// it is rounded, in units of the last place. By their authors' words glibc's and
// musl's may be 0.04, those that come from fdlibm (the BSDs') 0.20.
const powMargin = 0.3

// floatPower gives the one or two results that C libraries come to.
func floatPower(a, b value) ([]value, error) {
	x, y := a.f, b.f
	switch {
	case y == 0 || x == 1:
		return one(1), nil
	case math.IsNaN(x) || math.IsNaN(y):
		return one(math.NaN()), nil
	case x == 0 && y < 0:
		return nil, errZeroPower
	case x < 0 && math.Floor(y) != y:
		return nil, errComplex
	case math.IsInf(y, 0):
		return one(infinitePower(math.Abs(x), y)), nil
	}
	// pow treats every y from 2^53 on as even, which it is.
	odd := math.Mod(y, 2) != 0 && math.Floor(y) == y
	size := math.Abs(x)
	list, err := []float64{0}, error(nil)
	switch {
	case y == 1:
		list[0] = size
	case math.IsInf(x, 0) && y > 0:
		list[0] = math.Inf(1)
	case !math.IsInf(x, 0) && x != 0:
		list, err = positivePower(size, y)
	}
	values := make([]value, len(list))
	for i, f := range list {
		if odd && math.Signbit(x) {
			f = -f
		}
		values[i] = value{f: f}
	}
	return values, err
}

func one(f float64) []value { return []value{{f: f}} }

// infinitePower is x ^ ±Infinity, x >= 0.
func infinitePower(x, y float64) float64 {
	switch {
	case x == 1:
		return 1
	case (x > 1) == (y > 0):
		return math.Inf(1)
	}
	return 0
}

// positivePower is x^y for finite x > 0 and finite y.
func positivePower(x, y float64) ([]float64, error) {
	log2 := math.Log2(x)
	if math.Abs(x-1) < 0.25 {
		log2 = math.Log1p(x-1) / math.Ln2
	}
	if weight := y * log2; weight > 1100 || weight < -1200 {
		return nil, errRange // an overflow or an underflow
	}
	const prec = 192
	r, _ := new(big.Float).SetFloat64(x).Rat(nil)
	if y == math.Trunc(y) && math.Abs(y) <= 1024 {
		p := wholePower(quotient(r.Num(), r.Denom(), prec), uint64(math.Abs(y)), prec)
		if y < 0 {
			p.Quo(big.NewFloat(1), p)
		}
		return nearest(p)
	}
	ln := logarithm(r.Num(), r.Denom(), prec)
	return nearest(exponential(ln.Mul(ln, big.NewFloat(y)), prec))
}

// nearest gives the doubles that v may be rounded to. Below the normal ones
// libraries differ in more than the last digit, and in whether that is an underflow.
func nearest(v *big.Float) ([]float64, error) {
	ulp := v.MantExp(nil) - 53
	margin := new(big.Float).SetMantExp(big.NewFloat(powMargin), ulp)
	low, _ := new(big.Float).Sub(v, margin).Float64()
	high, _ := new(big.Float).Add(v, margin).Float64()
	rounded := new(big.Float).SetPrec(53).Set(v)
	if off := new(big.Float).Sub(v, rounded); off.Sign() == 0 || off.MantExp(nil) < ulp-60 {
		low, _ = rounded.Float64() // exact, and every library gives it
		high = low
	}
	const smallest = 0x1p-1022
	switch {
	case math.IsInf(low, 0) || high == 0:
		return nil, errRange
	case math.IsInf(high, 0) || low < smallest:
		return nil, errServers
	case low == high:
		return []float64{low}, nil
	}
	return []float64{low, high}, nil
}
