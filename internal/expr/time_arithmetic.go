package expr

import "math"

// Arithmetic of dates, times and intervals. Timestamps with time zone are
// computed with in UTC, the zone of our sessions.

var timeComputations = []computation{
	{"+", kindDate, kindInterval, kindTimestamp, finite(addToDate)},
	{"+", kindInterval, kindDate, kindTimestamp, finite(swapped(addToDate))},
	{"-", kindDate, kindInterval, kindTimestamp, finite(negated(addToDate))},
	{"+", kindTimestamp, kindInterval, kindTimestamp, finite(addToStamp)},
	{"+", kindInterval, kindTimestamp, kindTimestamp, finite(swapped(addToStamp))},
	{"-", kindTimestamp, kindInterval, kindTimestamp, finite(negated(addToStamp))},
	{"+", kindTimestamptz, kindInterval, kindTimestamptz, finite(addToStamp)},
	{"+", kindInterval, kindTimestamptz, kindTimestamptz, finite(swapped(addToStamp))},
	{"-", kindTimestamptz, kindInterval, kindTimestamptz, finite(negated(addToStamp))},
	{"+", kindTime, kindInterval, kindTime, finite(addToTime)},
	{"+", kindInterval, kindTime, kindTime, finite(swapped(addToTime))},
	{"-", kindTime, kindInterval, kindTime, finite(subtractFromTime)},
	{"+", kindTimetz, kindInterval, kindTimetz, finite(zoned(addToTime))},
	{"+", kindInterval, kindTimetz, kindTimetz, finite(swapped(zoned(addToTime)))},
	{"-", kindTimetz, kindInterval, kindTimetz, finite(zoned(subtractFromTime))},
	{"+", kindInterval, kindInterval, kindInterval, finite(addIntervals)},
	{"-", kindInterval, kindInterval, kindInterval, finite(subtractIntervals)},
	{"*", kindInterval, kindFloat8, kindInterval, finite(multiplyInterval)},
	{"*", kindFloat8, kindInterval, kindInterval, finite(swapped(multiplyInterval))},
	{"/", kindInterval, kindFloat8, kindInterval, finite(divideInterval)},
	{"+", kindDate, kindTime, kindTimestamp, dateAtTime},
	{"+", kindTime, kindDate, kindTimestamp, swapped(dateAtTime)},
	{"+", kindDate, kindTimetz, kindTimestamptz, dateAtTimetz},
	{"+", kindTimetz, kindDate, kindTimestamptz, swapped(dateAtTimetz)},
	{"-", kindTime, kindTime, kindInterval, func(a, b value) (value, error) { return value{n: a.n - b.n}, nil }},
	{"-", kindTimestamp, kindTimestamp, kindInterval, subtractStamps},
	{"-", kindTimestamptz, kindTimestamptz, kindInterval, subtractStamps},
}

type apply2 = func(a, b value) (value, error)

func swapped(apply apply2) apply2 {
	return func(a, b value) (value, error) { return apply(b, a) }
}

// negated subtracts an interval by adding its opposite.
func negated(apply apply2) apply2 {
	return func(a, b value) (value, error) {
		b, err := negateInterval(b)
		if err != nil {
			return value{}, errServers
		}
		return apply(a, b)
	}
}

// zoned computes with the time of a time with time zone, and keeps the zone.
func zoned(apply apply2) apply2 {
	return func(a, b value) (value, error) {
		micros, west := unpackTime(a)
		v, err := apply(value{n: micros}, b)
		if err != nil {
			return value{}, err
		}
		return packTime(v.n, west)
	}
}

func addToDate(date, span value) (value, error) {
	stamp, err := dateToTimestamp(date)
	if err != nil {
		return value{}, err
	}
	return addToStamp(stamp, span)
}

// addToStamp adds months, then days, then the time, and must not leave the range
// of timestamps on the way. A day that the month does not have becomes its last.
func addToStamp(stamp, span value) (value, error) {
	n := stamp.n
	if isInfiniteStamp(n) {
		return value{n: n}, nil
	}
	days := floorDiv(n, day)
	micros := n - days*day
	if span.months != 0 {
		if days = addMonths(days, int64(span.months)); !stampDay(days) {
			return value{}, errRange
		}
	}
	if span.days != 0 {
		if days += int64(span.days); !stampDay(days) {
			return value{}, errRange
		}
	}
	n, err := addInt(days*day+micros, span.n)
	if err != nil {
		return value{}, err
	}
	return checkedStamp(n)
}

func addMonths(days, months int64) int64 {
	year, month, dom := civilOf(days)
	months += year*12 + month - 1
	year = floorDiv(months, 12)
	month = months - year*12 + 1
	return daysOf(year, month, min(dom, monthDays(year, month)))
}

func isInfiniteStamp(n int64) bool { return n == stampInfinity || n == stampMinusInf }

// stampDay: the day is one of a timestamp.
func stampDay(days int64) bool { return days >= minDate && days < endStamp/day }

func checkedStamp(n int64) (value, error) {
	if n < minStamp || n >= endStamp {
		return value{}, errRange
	}
	return value{n: n}, nil
}

// addToTime ignores months and days, and goes round the clock. What overflows
// wraps, as in C.
func addToTime(t, span value) (value, error) { return clockOf(t.n + span.n), nil }

func subtractFromTime(t, span value) (value, error) { return clockOf(t.n - span.n), nil }

// clockOf is the time of day, never 24:00:00.
func clockOf(micros int64) value {
	if micros %= day; micros < 0 {
		micros += day
	}
	return value{n: micros}
}

func dateAtTime(date, t value) (value, error) {
	stamp, err := dateToTimestamp(date)
	if err != nil || isInfiniteStamp(stamp.n) {
		return stamp, err
	}
	return checkedStamp(stamp.n + t.n)
}

func dateAtTimetz(date, t value) (value, error) {
	micros, west := unpackTime(t)
	return dateAtTime(date, value{n: micros + west*second})
}

// subtractStamps gives days and a time, never months. That of infinite ones is an
// infinite interval from Postgres 17 on.
func subtractStamps(a, b value) (value, error) {
	n, err := intOperators["-"](a.n, b.n)
	if err != nil || isInfiniteStamp(a.n) || isInfiniteStamp(b.n) {
		return value{}, errServers
	}
	return value{days: int32(n / day), n: n % day}, nil
}

// Casts between the types of date and time. Those that concern a time zone are
// done in UTC.

// stampToTime: an infinite timestamp has no time.
func stampToTime(v value) (value, error) {
	if isInfiniteStamp(v.n) {
		return value{null: true}, nil
	}
	return clockOf(v.n), nil
}

func stampToTimetz(v value) (value, error) {
	t, err := stampToTime(v)
	if err != nil || t.null {
		return t, err
	}
	return packTime(t.n, 0)
}

func timeToTimetz(v value) (value, error) { return packTime(v.n, 0) }

func timetzToTime(v value) (value, error) {
	micros, _ := unpackTime(v)
	return value{n: micros}, nil
}

func timeToInterval(v value) (value, error) { return value{n: v.n}, nil }

// intervalToTime: minus two hours is 22:00:00. Postgres before 17 overflows near
// the lower end.
func intervalToTime(v value) (value, error) {
	if v.n < math.MinInt64+2*day {
		return value{}, errServers
	}
	return clockOf(v.n), nil
}

// isTimed: types whose modifier is a number of digits of a second.
func isTimed(name string) bool {
	return name == "timestamp" || name == "timestamptz" || name == "time" || name == "timetz"
}

// timeModifier rounds to some digits of a second.
func timeModifier(name string, numbers []int) (apply func(v value) (value, error), reason string) {
	if len(numbers) != 1 || numbers[0] < 0 || numbers[0] > 6 {
		return nil, "the precision of " + name + " must be a number from 0 to 6"
	}
	round := func(n int64) (value, error) {
		n, err := roundedMicros(n, numbers[0])
		return value{n: n}, err
	}
	switch name {
	case "time":
		return func(v value) (value, error) { return round(v.n) }, ""
	case "timetz":
		return func(v value) (value, error) {
			micros, west := unpackTime(v)
			v, err := round(micros)
			if err != nil {
				return value{}, err
			}
			return packTime(v.n, west)
		}, ""
	}
	return func(v value) (value, error) {
		if isInfiniteStamp(v.n) {
			return v, nil
		}
		v, err := round(v.n)
		if err != nil || v.n >= endStamp {
			return value{}, errServers
		}
		return v, nil
	}, ""
}
