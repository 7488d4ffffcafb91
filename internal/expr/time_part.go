package expr

import (
	"math"
	"math/big"
	"slices"
	"strconv"
)

// EXTRACT and date_part: the same numbers, numeric and double precision.

// partWords are the words of datetktbl (datetime.c) that name a part.
var partWords = map[string]unit{
	"epoch": unitEpoch, "j": unitJulian, "jd": unitJulian, "julian": unitJulian,
	"dow": unitDow, "isodow": unitISODow, "doy": unitDoy, "isoyear": unitISOYear,
}

var (
	stampUnits = slices.Concat(clockUnits, dayUnits)
	clockUnits = []unit{unitMicros, unitMillis, unitSecond, unitMinute, unitHour, unitEpoch}
	zoneUnits  = []unit{unitZone, unitZoneHour, unitZoneMinute}
	dayUnits   = []unit{unitDay, unitWeek, unitMonth, unitQuarter, unitYear, unitDecade, unitCentury, unitMillennium, unitJulian,
		unitISOYear, unitDow, unitISODow, unitDoy, unitEpoch}
)

// partKinds are the types with parts. Left out are weeks and quarters of
// intervals, on which versions differ.
var partKinds = []struct {
	kind  kind
	units []unit
	of    func(v value, u unit) (fieldValue, error)
}{
	{kindDate, dayUnits, datePart},
	{kindTime, clockUnits, timePart},
	{kindTimetz, slices.Concat(clockUnits, zoneUnits), timetzPart},
	{kindTimestamp, stampUnits, stampPart},
	{kindTimestamptz, slices.Concat(stampUnits, zoneUnits), stampPart},
	{kindInterval, slices.Concat(clockUnits, []unit{unitDay, unitMonth, unitYear, unitDecade, unitCentury, unitMillennium}), intervalPart},
}

// fieldValue is coef / 10^scale, or NULL, or an infinity. float is the number that
// date_part gives, computed in Postgres's own steps.
type fieldValue struct {
	coef     *big.Int
	scale    int
	float    float64
	null     bool
	infinite int // -1, 0, 1
}

func whole(n int64) fieldValue { return fieldValue{coef: big.NewInt(n), float: float64(n)} }

// micros is a number of microseconds as seconds.
func micros(n int64) fieldValue {
	return fieldValue{coef: big.NewInt(n), scale: 6, float: float64(n) / 1e6}
}

func partFunctions() []function {
	var list []function
	for _, k := range partKinds {
		list = append(list, function{name: "extract", args: []kind{kindText, k.kind}, result: kindNumeric,
			build: parted("extract", kindNumeric, k.kind, k.units, k.of, numericPart)})
		of, units := k.of, k.units
		if k.kind == kindDate { // by way of a timestamp
			of, units = dateStampPart, stampUnits
		}
		list = append(list, function{name: "date_part", args: []kind{kindText, k.kind}, result: kindFloat8,
			build: parted("date_part", kindFloat8, k.kind, units, of, floatPart)})
	}
	return list
}

// parted is the build of EXTRACT and of date_part for one type.
func parted(name string, result, from kind, units []unit, of func(value, unit) (fieldValue, error),
	convert func(fieldValue) (value, error)) builder {
	return func(c *checker, at ast, args []node) (node, error) {
		u, err := c.unitOf(at, args[0], partWords)
		switch {
		case err != nil:
			return nil, err
		case u != unitNone && !slices.Contains(units, u):
			return nil, c.noUnit(at, from)
		}
		sql := sqlCall(name)
		if name == "extract" { // a word of the grammar
			sql = sqlExtract
		}
		return c.computed(at, &applied{t: typ{kind: result}, args: args, sql: sql, apply: func(v []value) (value, error) {
			p, err := of(v[1], u)
			if err != nil || p.null {
				return value{null: true}, err
			}
			return convert(p)
		}})
	}
}

func sqlExtract(p printer, args []node) {
	p.WriteString("EXTRACT(")
	p.literal(string(args[0].(*constant).value.b))
	p.WriteString(" FROM ")
	p.node(args[1])
	p.WriteByte(')')
}

func numericPart(p fieldValue) (value, error) {
	if p.infinite != 0 {
		return rankText(2 * p.infinite), nil
	}
	return scaled{p.coef, p.scale}.value()
}

func floatPart(p fieldValue) (value, error) {
	if p.infinite != 0 {
		return value{f: math.Inf(p.infinite)}, nil
	}
	return value{f: p.float}, nil
}

// clockPart is a part of a time of day, or of an interval's time.
func clockPart(n int64, u unit) fieldValue {
	rest := n % minute
	seconds, fraction := float64(rest/second), float64(rest%second)
	switch u {
	case unitMicros:
		return whole(rest)
	case unitMillis:
		return fieldValue{coef: big.NewInt(rest), scale: 3, float: seconds*1000 + float64(fraction/1000)}
	case unitSecond:
		return fieldValue{coef: big.NewInt(rest), scale: 6, float: seconds + float64(fraction/1e6)}
	case unitMinute:
		return whole(n % hour / minute)
	}
	return whole(n / hour)
}

func timePart(v value, u unit) (fieldValue, error) {
	if u == unitEpoch {
		return micros(v.n), nil
	}
	return clockPart(v.n, u), nil
}

func timetzPart(v value, u unit) (fieldValue, error) {
	n, west := unpackTime(v)
	switch u {
	case unitZone:
		return whole(-west), nil
	case unitZoneHour:
		return whole(-west / 3600), nil
	case unitZoneMinute:
		return whole(-west / 60 % 60), nil
	case unitEpoch:
		p := micros(n + west*second)
		p.float = float64(n)/1e6 + float64(west)
		return p, nil
	}
	return clockPart(n, u), nil
}

// endless is a part of an infinite date: what goes round has no value.
func endless(positive bool, u unit) fieldValue {
	switch u {
	case unitYear, unitDecade, unitCentury, unitMillennium, unitJulian, unitISOYear, unitEpoch:
		if positive {
			return fieldValue{infinite: 1}
		}
		return fieldValue{infinite: -1}
	}
	return fieldValue{null: true}
}

const unixEpoch = -10957 // days

func stampPart(v value, u unit) (fieldValue, error) {
	if isInfiniteStamp(v.n) {
		return endless(v.n > 0, u), nil
	}
	days := floorDiv(v.n, day)
	switch {
	case u == unitEpoch:
		n, err := intOperators["-"](v.n, unixEpoch*day)
		if err != nil { // the last 30 years
			return fieldValue{}, errServers
		}
		return micros(n), nil
	case u == unitJulian:
		return julian(days, v.n-days*day)
	case slices.Contains(zoneUnits, u):
		return whole(0), nil
	case slices.Contains(clockUnits, u):
		return clockPart(v.n-days*day, u), nil
	}
	return dayPart(days, u), nil
}

// julian is the Julian day with a fraction, which has as many digits as a numeric
// quotient has.
func julian(days, n int64) (fieldValue, error) {
	date := days - minDate
	fraction, err := numericQuotient(value{b: strconv.AppendInt(nil, n, 10)}, value{b: strconv.AppendInt(nil, day, 10)})
	if err != nil {
		return fieldValue{}, err
	}
	sum, err := numericSum(1)(value{b: strconv.AppendInt(nil, date, 10)}, fraction)
	if err != nil {
		return fieldValue{}, err
	}
	s := scaledOf(sum.b)
	seconds := float64(n/second) + float64(float64(n%second)/1e6)
	return fieldValue{coef: s.coef, scale: s.scale, float: float64(date) + seconds/86400}, nil
}

func datePart(v value, u unit) (fieldValue, error) {
	switch {
	case isInfiniteDate(v.n):
		return endless(v.n > 0, u), nil
	case u == unitEpoch:
		return whole((v.n - unixEpoch) * 86400), nil
	}
	return dayPart(v.n, u), nil
}

// dateStampPart is date_part of a date, which is that of its midnight.
func dateStampPart(v value, u unit) (fieldValue, error) {
	stamp, err := dateToTimestamp(v)
	if err != nil {
		return fieldValue{}, err
	}
	return stampPart(stamp, u)
}

func dayPart(days int64, u unit) fieldValue {
	year, month, dom := civilOf(days)
	switch u {
	case unitDay:
		return whole(dom)
	case unitMonth:
		return whole(month)
	case unitQuarter:
		return whole((month + 2) / 3)
	case unitWeek:
		return whole((days-monday(days)-isoStart(isoYear(days)))/7 + 1)
	case unitISOYear:
		return whole(shownYear(isoYear(days)))
	case unitDow:
		return whole((monday(days) + 1) % 7)
	case unitISODow:
		return whole(monday(days) + 1)
	case unitDoy:
		return whole(days - daysOf(year, 1, 1) + 1)
	case unitJulian:
		return whole(days - minDate)
	}
	return whole(yearPart(year, u))
}

// yearPart counts years, decades and so on. There is no year 0 and no century 0,
// but a decade 0.
func yearPart(year int64, u unit) int64 {
	ceiling := func(n, size int64) int64 { // of n / size, away from zero
		if n > 0 {
			return (n + size - 1) / size
		}
		return -((size - n) / size)
	}
	switch u {
	case unitDecade:
		return floorDiv(year, 10)
	case unitCentury:
		return ceiling(year, 100)
	case unitMillennium:
		return ceiling(year, 1000)
	}
	return shownYear(year)
}

// shownYear writes 1 BC as -1.
func shownYear(year int64) int64 {
	if year <= 0 {
		year--
	}
	return year
}

// isoYear is the year that the day's week belongs to: that of its Thursday.
func isoYear(days int64) int64 {
	year, _, _ := civilOf(days - monday(days) + 3)
	return year
}

// isoStart is the Monday of the week with 4 January.
func isoStart(year int64) int64 {
	d := daysOf(year, 1, 4)
	return d - monday(d)
}

func intervalPart(v value, u unit) (fieldValue, error) {
	if isInfinite(v) {
		return fieldValue{}, errServers
	}
	year, month := int64(v.months/12), int64(v.months%12)
	switch u {
	case unitDay:
		return whole(int64(v.days)), nil
	case unitMonth:
		return whole(month), nil
	case unitYear:
		return whole(year), nil
	case unitDecade:
		return whole(year / 10), nil
	case unitCentury:
		return whole(year / 100), nil
	case unitMillennium:
		return whole(year / 1000), nil
	case unitEpoch:
		// A year is 365.25 days here, a month 30.
		seconds := (1461*year + 120*month + 4*int64(v.days)) * 21600
		coef := new(big.Int).Mul(big.NewInt(seconds), big.NewInt(second))
		float := float64(v.n) / 1e6
		for _, seconds := range []int64{31557600 * year, 2592000 * month, 86400 * int64(v.days)} {
			float += float64(seconds)
		}
		return fieldValue{coef: coef.Add(coef, big.NewInt(v.n)), scale: 6, float: float}, nil
	}
	return clockPart(v.n, u), nil
}

// extract reads EXTRACT(unit FROM x).
func (p *parser) extract(pos position) ast {
	p.advance()
	p.expect("(")
	t := p.peek()
	if p.err == nil && t.kind != tokIdent && t.kind != tokString {
		p.unexpected()
		return nil
	}
	p.advance()
	p.expectWord("from")
	arg := p.expr(0, false)
	p.expect(")")
	return &astCall{pos, "extract", []ast{&astString{position(t.pos), t.text}, arg}}
}
