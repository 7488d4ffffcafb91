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

// errVersions: the result depends on the server's version, of which we know
// nothing. Older ones let numbers overflow, newer ones fail.
var errVersions = errors.New("versions of Postgres differ here")

var (
	infiniteInterval = value{months: math.MaxInt32, days: math.MaxInt32, n: math.MaxInt64}
	minusInfinite    = value{months: math.MinInt32, days: math.MinInt32, n: math.MinInt64}
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
			return value{}, errVersions
		}
		return apply(a, b)
	}
}

func finiteOne(apply func(v value) (value, error)) func(v value) (value, error) {
	return func(v value) (value, error) {
		if isInfinite(v) {
			return value{}, errVersions
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
		return value{}, errVersions
	}
	return scaleInterval(v, func(n float64) float64 { return float64(n * factor.f) })
}

func divideInterval(v, factor value) (value, error) {
	if factor.f == 0 {
		return value{}, errDivision
	}
	return scaleInterval(v, func(n float64) float64 { return n / factor.f })
}

// scaleInterval is interval_mul and interval_div: what is left of a month goes to
// the days, what is left of a day to the time. Its steps are Postgres's, with a
// conversion wherever Go might compute two operations as one; a server whose C
// compiler did that would differ by a microsecond, which no rounding shows in
// advance (docs/where.md).
func scaleInterval(v value, scale func(float64) float64) (value, error) {
	months, days := scale(float64(v.months)), scale(float64(v.days))
	if !fitsInt32(months) || !fitsInt32(days) {
		return value{}, errRange
	}
	wholeMonths, wholeDays := math.Trunc(months), math.Trunc(days)
	monthDays := roundMicros(float64((months - wholeMonths) * 30))
	seconds := roundMicros(float64((days - wholeDays + monthDays - math.Trunc(monthDays)) * 86400))
	sum := int64(wholeDays)
	if math.Abs(seconds) >= 86400 {
		extra := math.Trunc(seconds / 86400)
		sum += int64(extra)
		seconds -= float64(extra * 86400)
	}
	if !isInt32(sum) {
		return value{}, errRange
	}
	sum += int64(monthDays)
	micros := math.RoundToEven(scale(float64(v.n)) + float64(seconds*second))
	if math.IsNaN(micros) || micros < math.MinInt64 || micros >= -math.MinInt64 {
		return value{}, errRange
	}
	return makeInterval(int64(wholeMonths), sum, int64(micros))
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
