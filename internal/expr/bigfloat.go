package expr

import (
	"math"
	"math/big"
)

// Logarithms and powers to any precision. Relative errors are below 2^(20-prec):
// every operation is rounded once, and there are fewer than 2^16 of them but for
// those of whole powers, which ask for more themselves.

func floatOf(prec uint, n *big.Int) *big.Float { return new(big.Float).SetPrec(prec).SetInt(n) }

// quotient is num / den.
func quotient(num, den *big.Int, prec uint) *big.Float {
	return new(big.Float).SetPrec(prec).Quo(floatOf(prec, num), floatOf(prec, den))
}

// wholePower is x^n, n >= 0.
func wholePower(x *big.Float, n uint64, prec uint) *big.Float {
	prec += 64 // each squaring doubles the error that is there
	base := new(big.Float).SetPrec(prec).Set(x)
	product := new(big.Float).SetPrec(prec).SetInt64(1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			product.Mul(product, base)
		}
		if n > 1 {
			base.Mul(base, base)
		}
	}
	return product
}

// logarithm is ln(num / den). It is taken of the fraction rather than of a rounded
// quotient, so that it loses nothing near 1.
func logarithm(num, den *big.Int, prec uint) *big.Float {
	prec += 32
	two := num.BitLen() - den.BitLen() // the power of two that is taken out
	a, b := new(big.Int).Set(num), new(big.Int).Set(den)
	if two > 0 {
		b.Lsh(b, uint(two))
	} else {
		a.Lsh(a, uint(-two))
	}
	// a/b is between 1/2 and 2; it should be between 3/4 and 3/2.
	if new(big.Int).Lsh(a, 1).Cmp(new(big.Int).Mul(b, big.NewInt(3))) > 0 {
		b.Lsh(b, 1)
		two++
	} else if new(big.Int).Lsh(a, 2).Cmp(new(big.Int).Mul(b, big.NewInt(3))) < 0 {
		a.Lsh(a, 1)
		two--
	}
	ln := atanh(quotient(new(big.Int).Sub(a, b), new(big.Int).Add(a, b), prec), prec)
	ln.SetMantExp(ln, 1)
	if two != 0 {
		ln.Add(ln, new(big.Float).SetPrec(prec).Mul(ln2(prec), floatOf(prec, big.NewInt(int64(two)))))
	}
	return ln
}

// atanh is z + z³/3 + z⁵/5 + …, for small z.
func atanh(z *big.Float, prec uint) *big.Float {
	sum := new(big.Float).SetPrec(prec).Set(z)
	if z.Sign() == 0 {
		return sum
	}
	power := new(big.Float).SetPrec(prec).Set(z)
	square := new(big.Float).SetPrec(prec).Mul(z, z)
	term, odd := new(big.Float).SetPrec(prec), new(big.Float).SetPrec(prec)
	for n := int64(3); ; n += 2 {
		power.Mul(power, square)
		sum.Add(sum, term.Quo(power, odd.SetInt64(n)))
		if term.MantExp(nil) < sum.MantExp(nil)-int(prec) {
			return sum
		}
	}
}

// shortLn2 is enough for double precision.
var shortLn2 = computeLn2(320)

func ln2(prec uint) *big.Float {
	if prec <= 300 {
		return shortLn2
	}
	return computeLn2(prec)
}

// computeLn2: ln 2 = 2 atanh(1/3).
func computeLn2(prec uint) *big.Float {
	prec += 16
	ln := atanh(quotient(big.NewInt(1), big.NewInt(3), prec), prec)
	return ln.SetMantExp(ln, 1)
}

// exponential is e^t, |t| < 2^20: 2^n e^r, and e^r is (e^(r/2^k))^(2^k), the inner
// one by its series.
func exponential(t *big.Float, prec uint) *big.Float {
	halvings := int(math.Sqrt(float64(prec)))
	prec += uint(halvings) + 48
	approx, _ := t.Float64()
	n := math.Round(approx / math.Ln2)
	r := new(big.Float).SetPrec(prec).SetFloat64(n)
	r.Sub(new(big.Float).SetPrec(prec).Set(t), r.Mul(r, ln2(prec)))
	r.SetMantExp(r, -halvings)

	sum := new(big.Float).SetPrec(prec).SetInt64(1)
	term, count := new(big.Float).SetPrec(prec).SetInt64(1), new(big.Float).SetPrec(prec)
	for i := int64(1); ; i++ {
		term.Quo(term.Mul(term, r), count.SetInt64(i))
		if term.Sign() == 0 || term.MantExp(nil) < -int(prec) {
			break
		}
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum.SetMantExp(sum, int(n))
}
