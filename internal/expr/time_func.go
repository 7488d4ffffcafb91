package expr

import "fmt"

// Functions of dates, times and intervals that are exact whatever the server: what
// depends on the clock is not here, nor are those with names of zones (zone.go).

// builder is function.build.
type builder = func(c *checker, at ast, args []node) (node, error)

var timeFunctions = []function{
	intervalFunction("justify_hours", justifyHours),
	intervalFunction("justify_days", justifyDays),
	intervalFunction("justify_interval", justifyInterval),
	{name: "age", args: []kind{kindTimestamp, kindTimestamp}, result: kindInterval, build: strict("age", kindInterval, age)},
	{name: "age", args: []kind{kindTimestamptz, kindTimestamptz}, result: kindInterval, build: strict("age", kindInterval, age)},
	{name: "isfinite", args: []kind{kindDate}, result: kindBool, build: strict("isfinite", kindBool, isFinite(isInfiniteDate))},
	{name: "isfinite", args: []kind{kindTimestamp}, result: kindBool, build: strict("isfinite", kindBool, isFinite(isInfiniteStamp))},
	{name: "isfinite", args: []kind{kindTimestamptz}, result: kindBool, build: strict("isfinite", kindBool, isFinite(isInfiniteStamp))},
	{name: "isfinite", args: []kind{kindInterval}, result: kindBool, build: strict("isfinite", kindBool, func(v []value) (value, error) {
		return finiteOne(func(value) (value, error) { return boolValue(true), nil })(v[0])
	})},
	{name: "date_trunc", args: []kind{kindText, kindTimestamp}, result: kindTimestamp, build: truncated(kindTimestamp, truncateStamp)},
	{name: "date_trunc", args: []kind{kindText, kindTimestamptz}, result: kindTimestamptz, build: truncated(kindTimestamptz, truncateStamp)},
	{name: "date_trunc", args: []kind{kindText, kindInterval}, result: kindInterval, build: truncated(kindInterval, truncateInterval)},
}

func isFinite(infinite func(n int64) bool) func(v []value) (value, error) {
	return func(v []value) (value, error) { return boolValue(!infinite(v[0].n)), nil }
}

func intervalFunction(name string, apply func(v value) (value, error)) function {
	apply = finiteOne(apply)
	return function{name: name, args: []kind{kindInterval}, result: kindInterval,
		build: strict(name, kindInterval, func(v []value) (value, error) { return apply(v[0]) })}
}

// unitOf is the unit that the first argument names. It must be a constant: what a
// function does with another one is an error of the expression, not of a value.
func (c *checker) unitOf(at ast, arg node, extra map[string]unit) (unit, error) {
	k, ok := arg.(*constant)
	switch {
	case !ok:
		return unitNone, c.fail(at, "the unit of time must be a constant")
	case k.value.null:
		return unitNone, nil
	}
	word := shortWord(foldASCII(string(k.value.b)))
	u, ok := unitNames[word]
	if !ok {
		u, ok = extra[word]
	}
	if !ok {
		return unitNone, c.fail(k.at, fmt.Sprintf("the unit %q is not known", k.value.b))
	}
	return u, nil
}

func (c *checker) noUnit(at ast, k kind) error {
	return c.fail(at, "the unit is not supported for type "+k.info().name)
}

// truncated is the build of date_trunc.
func truncated(k kind, truncate func(v value, u unit) (value, error)) builder {
	return func(c *checker, at ast, args []node) (node, error) {
		u, err := c.unitOf(at, args[0], nil)
		switch {
		case err != nil:
			return nil, err
		case u > unitQuarter, u == unitWeek && k == kindInterval:
			return nil, c.noUnit(at, k)
		}
		return strict("date_trunc", k, func(v []value) (value, error) { return truncate(v[1], u) })(c, at, args)
	}
}

// fineUnits are those of a fixed length, in microseconds; coarseUnits those of
// some months.
var (
	fineUnits   = map[unit]int64{unitMicros: 1, unitMillis: 1000, unitSecond: second, unitMinute: minute, unitHour: hour, unitDay: day}
	coarseUnits = map[unit]int32{unitMonth: 1, unitQuarter: 3, unitYear: 12, unitDecade: 120, unitCentury: 1200, unitMillennium: 12000}
)

// truncateStamp is timestamp_trunc, in UTC.
func truncateStamp(v value, u unit) (value, error) {
	if isInfiniteStamp(v.n) {
		return v, nil
	}
	if scale, ok := fineUnits[u]; ok {
		return value{n: floorDiv(v.n, scale) * scale}, nil
	}
	days := floorDiv(v.n, day)
	if u == unitWeek {
		return checkedStamp((days - monday(days)) * day)
	}
	year, month, _ := civilOf(days)
	switch u {
	case unitMonth:
	case unitQuarter:
		month -= (month - 1) % 3
	default:
		year, month = firstYear(year, u), 1
	}
	return checkedStamp(daysOf(year, month, 1) * day)
}

// monday is how many days the last Monday is ago; day 0 was a Saturday.
func monday(days int64) int64 {
	n := (days + 5) % 7
	if n < 0 {
		n += 7
	}
	return n
}

// firstYear is the year that a decade, century or millennium begins with, as
// Postgres counts them. Year 0 is 1 BC.
func firstYear(year int64, u unit) int64 {
	switch u {
	case unitDecade:
		return floorDiv(year, 10) * 10
	case unitCentury:
		return floorDiv(year-1, 100)*100 + 1
	case unitMillennium:
		return floorDiv(year-1, 1000)*1000 + 1
	}
	return year
}

// truncateInterval is interval_trunc: towards zero.
func truncateInterval(v value, u unit) (value, error) {
	if isInfinite(v) {
		return value{}, errServers
	}
	if months, ok := coarseUnits[u]; ok {
		return value{months: v.months - v.months%months}, nil
	}
	if u == unitDay {
		v.n = 0
	} else {
		v.n -= v.n % fineUnits[u]
	}
	return v, nil
}

// age is timestamp_age: years, months and days between two moments. Infinite ones
// are not computed with before Postgres 17.
func age(v []value) (value, error) {
	a, b := v[0].n, v[1].n
	if isInfiniteStamp(a) || isInfiniteStamp(b) {
		return value{}, errServers
	}
	sign := int32(1)
	if a < b {
		a, b, sign = b, a, -1
	}
	later, earlier := floorDiv(a, day), floorDiv(b, day)
	y1, m1, d1 := civilOf(later)
	y2, m2, d2 := civilOf(earlier)
	months, days := (y1-y2)*12+m1-m2, d1-d2
	micros := (a - later*day) - (b - earlier*day)
	if micros < 0 {
		micros += day
		days--
	}
	// The month that days are borrowed from is that of the earlier moment.
	for days < 0 {
		days += monthDays(y2, m2)
		months--
	}
	return value{months: int32(months) * sign, days: int32(days) * sign, n: micros * int64(sign)}, nil
}
