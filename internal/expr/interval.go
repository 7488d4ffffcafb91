package expr

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
)

// Intervals have three parts that do not turn into each other: months, days and
// microseconds (value.months, value.days, value.n). Only comparisons take a
// month for 30 days and a day for 24 hours.
//
// Postgres 17 made the value with the largest, or the smallest, of all three
// parts infinite. We order it rightly, whatever the server, and compute nothing
// with it.

// errServers: the result depends on the server's version or on its processor, of
// which we know nothing. Old versions let numbers overflow, new ones fail.
var errServers = errors.New("Postgres servers differ here")

// The infinite ones keep their text: an older server writes their parts.
var (
	infiniteInterval = value{months: math.MaxInt32, days: math.MaxInt32, n: math.MaxInt64, b: []byte("infinity")}
	minusInfinite    = value{months: math.MinInt32, days: math.MinInt32, n: math.MinInt64, b: []byte("-infinity")}
)

func isInfinite(v value) bool {
	return v.months == math.MaxInt32 && v.days == math.MaxInt32 && v.n == math.MaxInt64 ||
		v.months == math.MinInt32 && v.days == math.MinInt32 && v.n == math.MinInt64
}

func isInt32(n int64) bool { return n >= math.MinInt32 && n <= math.MaxInt32 }

// makeInterval checks the range of months and days.
func makeInterval(months, days, micros int64) (value, error) {
	v := value{months: int32(months), days: int32(days), n: micros}
	if !isInt32(months) || !isInt32(days) || isInfinite(v) {
		return value{}, errRange
	}
	return v, nil
}

// loadInterval reads what interval_out writes in the style iso_8601.
func loadInterval(text []byte) (value, error) {
	switch string(text) {
	case "infinity":
		return infiniteInterval, nil
	case "-infinity":
		return minusInfinite, nil
	}
	return parseDesignators(text)
}

// textInterval is interval_out in the style iso_8601, which our sessions have.
func textInterval(v value) []byte {
	if v.months == 0 && v.days == 0 && v.n == 0 {
		return []byte("PT0S")
	}
	part := func(b []byte, n int64, unit byte) []byte {
		if n == 0 {
			return b
		}
		return append(strconv.AppendInt(b, n, 10), unit)
	}
	b := part([]byte{'P'}, int64(v.months/12), 'Y')
	b = part(b, int64(v.months%12), 'M')
	b = part(b, int64(v.days), 'D')
	if v.n == 0 {
		return b
	}
	b = part(append(b, 'T'), v.n/hour, 'H')
	b = part(b, v.n%hour/minute, 'M')
	micros := v.n % minute
	if micros == 0 {
		return b
	}
	if micros < 0 {
		b, micros = append(b, '-'), -micros
	}
	b = strconv.AppendInt(b, micros/second, 10)
	return append(appendFraction(b, micros%second), 'S')
}

// appendFraction writes a point and up to six digits, or nothing.
func appendFraction(b []byte, micros int64) []byte {
	if micros == 0 {
		return b
	}
	b = appendPadded(append(b, '.'), micros, 6)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// linear is an interval as days, which may be many, and the rest of a day.
func linear(v value) (days, micros int64) {
	whole := floorDiv(v.n, day)
	return int64(v.months)*30 + int64(v.days) + whole, v.n - whole*day
}

func compareInterval(a, b value) int {
	d, m := linear(a)
	e, n := linear(b)
	if d != e {
		m, n = d, e
	}
	return compareInt(value{n: m}, value{n: n})
}

func keyInterval(dst []byte, v value) []byte {
	days, micros := linear(v)
	return binary.BigEndian.AppendUint64(keyInt(dst, value{n: days}), uint64(micros))
}

// finite wraps what is computed with two values of which at least one is an
// interval.
func finite(apply func(a, b value) (value, error)) func(a, b value) (value, error) {
	return func(a, b value) (value, error) {
		if isInfinite(a) || isInfinite(b) {
			return value{}, errServers
		}
		return apply(a, b)
	}
}

func finiteOne(apply func(v value) (value, error)) func(v value) (value, error) {
	return func(v value) (value, error) {
		if isInfinite(v) {
			return value{}, errServers
		}
		return apply(v)
	}
}

func addIntervals(a, b value) (value, error) {
	micros, err := addInt(a.n, b.n)
	if err != nil {
		return value{}, err
	}
	return makeInterval(int64(a.months)+int64(b.months), int64(a.days)+int64(b.days), micros)
}

func subtractIntervals(a, b value) (value, error) {
	micros, err := intOperators["-"](a.n, b.n)
	if err != nil {
		return value{}, err
	}
	return makeInterval(int64(a.months)-int64(b.months), int64(a.days)-int64(b.days), micros)
}

func negateInterval(v value) (value, error) { return subtractIntervals(value{}, v) }

func multiplyInterval(v, factor value) (value, error) {
	if math.IsInf(factor.f, 0) { // an infinite interval from Postgres 17 on
		return value{}, errServers
	}
	return scaleInterval(v, func(n, rest float64, m contraction) float64 { return m.mulAdd(n, factor.f, rest) })
}

func divideInterval(v, factor value) (value, error) {
	if factor.f == 0 {
		return value{}, errDivision
	}
	return scaleInterval(v, func(n, rest float64, _ contraction) float64 { return float64(n/factor.f) + rest })
}

// contraction is whether a product and a sum are rounded once or twice. In C the
// compiler decides: on x86-64 it is twice, on ARM once, of either product.
type contraction uint8

const (
	twice contraction = iota
	once
	onceOther
)

// mulAdd is x*y + z.
func (m contraction) mulAdd(x, y, z float64) float64 {
	if m == twice {
		return float64(x*y) + z
	}
	return math.FMA(x, y, z)
}

// scaleInterval is interval_mul and interval_div. Where the last digit depends on
// the compiler, it fails. scale multiplies or divides n and adds rest.
func scaleInterval(v value, scale func(n, rest float64, m contraction) float64) (value, error) {
	first, err := scaledInterval(v, scale, twice)
	for _, m := range []contraction{once, onceOther} {
		other, err2 := scaledInterval(v, scale, m)
		if (err == nil) != (err2 == nil) || first.months != other.months || first.days != other.days || first.n != other.n {
			return value{}, errServers
		}
	}
	return first, err
}

// scaledInterval: what is left of a month goes to the days, what is left of a day
// to the time.
func scaledInterval(v value, scale func(n, rest float64, m contraction) float64, m contraction) (value, error) {
	months, days := scale(float64(v.months), 0, twice), scale(float64(v.days), 0, twice)
	if !fitsInt32(months) || !fitsInt32(days) {
		return value{}, errRange
	}
	months, days = math.Trunc(months), math.Trunc(days)
	monthDays := roundMicros(float64(scale(float64(v.months), -months, m) * 30))
	seconds := roundMicros(float64((scale(float64(v.days), -days, m) + monthDays - math.Trunc(monthDays)) * 86400))
	sum := int64(days)
	if math.Abs(seconds) >= 86400 {
		extra := math.Trunc(seconds / 86400)
		sum += int64(extra)
		seconds -= float64(extra * 86400)
	}
	if !isInt32(sum) {
		return value{}, errRange
	}
	micros := scale(float64(v.n), float64(seconds*second), m)
	if m == onceOther {
		micros = math.FMA(seconds, second, scale(float64(v.n), 0, twice))
	}
	if micros = math.RoundToEven(micros); math.IsNaN(micros) || micros < math.MinInt64 || micros >= -math.MinInt64 {
		return value{}, errRange
	}
	return makeInterval(int64(months), sum+int64(monthDays), int64(micros))
}

// fitsInt32 is FLOAT8_FITS_IN_INT32, which looks at the value before its
// fraction is dropped. NaN does not fit.
func fitsInt32(f float64) bool { return f >= math.MinInt32 && f < -math.MinInt32 }

// roundMicros is TSROUND: seconds to six places.
func roundMicros(f float64) float64 { return math.RoundToEven(float64(f*1e6)) / 1e6 }

// justifyHours brings the time below a day.
func justifyHours(v value) (value, error) {
	days, micros := int64(v.days)+v.n/day, v.n%day
	switch {
	case !isInt32(days):
		return value{}, errRange
	case days > 0 && micros < 0:
		days, micros = days-1, micros+day
	case days < 0 && micros > 0:
		days, micros = days+1, micros-day
	}
	return makeInterval(int64(v.months), days, micros)
}

// justifyDays brings the days below 30.
func justifyDays(v value) (value, error) {
	months, days := int64(v.months)+int64(v.days/30), int64(v.days%30)
	switch {
	case !isInt32(months):
		return value{}, errRange
	case months > 0 && days < 0:
		months, days = months-1, days+30
	case months < 0 && days > 0:
		months, days = months+1, days-30
	}
	return makeInterval(months, days, v.n)
}

// justifyInterval brings both into their bounds and all parts to one sign.
func justifyInterval(v value) (value, error) {
	days, micros := int64(v.days)+v.n/day, v.n%day
	months := int64(v.months) + days/30
	days %= 30
	if !isInt32(months) {
		return value{}, errRange
	}
	switch {
	case months > 0 && (days < 0 || days == 0 && micros < 0):
		months, days = months-1, days+30
	case months < 0 && (days > 0 || days == 0 && micros > 0):
		months, days = months+1, days-30
	}
	switch {
	case days > 0 && micros < 0:
		days, micros = days-1, micros+day
	case days < 0 && micros > 0:
		days, micros = days+1, micros-day
	}
	return makeInterval(months, days, micros)
}
