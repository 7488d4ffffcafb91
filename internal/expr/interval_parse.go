package expr

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// unit is a unit of time that Postgres knows by one of its names.
type unit uint8

const (
	unitNone unit = iota
	unitMicros
	unitMillis
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitYear
	unitDecade
	unitCentury
	unitMillennium
	// Those from here on are parts of a value, no units of an interval's text.
	unitQuarter
	unitZone
	unitZoneHour
	unitZoneMinute
	unitEpoch
	unitJulian
	unitISOYear
	unitDow
	unitISODow
	unitDoy
)

var unitNames = makeUnitNames()

// makeUnitNames is deltatktbl (datetime.c).
func makeUnitNames() map[string]unit {
	m := map[string]unit{}
	for u, names := range map[unit]string{
		unitMicros:     "microsecond us usec useconds usecs",
		unitMillis:     "millisecond ms msec mseconds msecs",
		unitSecond:     "s sec second seconds secs",
		unitMinute:     "m min mins minute minutes",
		unitHour:       "h hour hours hr hrs",
		unitDay:        "d day days",
		unitWeek:       "w week weeks",
		unitMonth:      "mon mons month months",
		unitQuarter:    "qtr quarter",
		unitZone:       "timezone",
		unitZoneHour:   "timezone_h",
		unitZoneMinute: "timezone_m",
		unitYear:       "y year years yr yrs",
		unitDecade:     "dec decade decades decs",
		unitCentury:    "c cent centuries century",
		unitMillennium: "mil millennia millennium mils",
	} {
		for _, name := range strings.Fields(names) {
			m[shortWord(name)] = u
		}
	}
	return m
}

// parseInterval is interval_in: the traditional forms (1 day -02:03:04, @ 1 week
// ago, 1-2 3 4:05:06), then ISO 8601.
func parseInterval(text []byte) (value, error) { return parseIntervalAs(text, 0) }

// parseIntervalAs reads a literal with the fields that its type names: they say
// what a number without a unit is.
func parseIntervalAs(text []byte, fields fieldSet) (value, error) {
	tokens, ok := timeTokens(string(text))
	if ok {
		d := intervalDecoder{fields: fields}
		switch err := d.decode(tokens); {
		case err == nil:
			return d.sum.value()
		case errors.Is(err, errRange), errors.Is(err, errServers):
			return value{}, err
		}
	}
	return parseDesignators(text)
}

// intervalSum adds up the parts of an interval. Fractions go to lower units in
// the steps, and with the rounding, of datetime.c.
type intervalSum struct{ years, months, days, micros int64 }

func (s *intervalSum) value() (value, error) {
	return makeInterval(s.years*12+s.months, s.days, s.micros)
}

// add adds n times scale to a part that has 32 bits.
func add32(part *int64, n, scale int64) bool {
	if !isInt32(n) || !isInt32(n*scale) || !isInt32(*part+n*scale) {
		return false
	}
	*part += n * scale
	return true
}

func (s *intervalSum) addMicros(n int64, fraction float64, scale int64) bool {
	product, err := mulInt(n, scale)
	if err != nil {
		return false
	}
	if s.micros, err = addInt(s.micros, product); err != nil {
		return false
	}
	return s.addFraction(fraction, scale)
}

// addFraction rounds a half towards zero.
func (s *intervalSum) addFraction(fraction float64, scale int64) bool {
	f := float64(fraction * float64(scale))
	n := int64(f)
	switch f -= float64(n); {
	case f > 0.5:
		n++
	case f < -0.5:
		n--
	}
	var err error
	s.micros, err = addInt(s.micros, n)
	return err == nil
}

// addDays takes days or weeks; the fraction of a day becomes time.
func (s *intervalSum) addDays(n int64, fraction float64, scale int64) bool {
	return add32(&s.days, n, scale) && s.addDayFraction(fraction, scale)
}

func (s *intervalSum) addDayFraction(fraction float64, scale int64) bool {
	f := float64(fraction * float64(scale))
	whole := math.Trunc(f)
	return add32(&s.days, int64(whole), 1) && s.addFraction(f-whole, day)
}

func (s *intervalSum) addMonths(n int64, fraction float64) bool {
	return add32(&s.months, n, 1) && s.addDayFraction(fraction, 30)
}

// addYears rounds the fraction of a year to months.
func (s *intervalSum) addYears(n int64, fraction float64, scale int64) bool {
	months := math.RoundToEven(float64(float64(fraction*float64(scale)) * 12))
	return add32(&s.years, n, scale) && add32(&s.months, int64(months), 1)
}

// add adds a number of a unit; false: out of range.
func (s *intervalSum) add(u unit, n int64, fraction float64) bool {
	switch u {
	case unitMicros:
		return s.addMicros(n, fraction, 1)
	case unitMillis:
		return s.addMicros(n, fraction, 1000)
	case unitSecond:
		return s.addMicros(n, fraction, second)
	case unitMinute:
		return s.addMicros(n, fraction, minute)
	case unitHour:
		return s.addMicros(n, fraction, hour)
	case unitDay:
		return s.addDays(n, fraction, 1)
	case unitWeek:
		return s.addDays(n, fraction, 7)
	case unitMonth:
		return s.addMonths(n, fraction)
	case unitYear:
		return s.addYears(n, fraction, 1)
	case unitDecade:
		return s.addYears(n, fraction, 10)
	case unitCentury:
		return s.addYears(n, fraction, 100)
	}
	return s.addYears(n, fraction, 1000)
}

// intervalDecoder is DecodeInterval: from right to left, units before numbers.
type intervalDecoder struct {
	fields fieldSet
	sum    intervalSum
	unit   unit   // of the number to the left
	seen   uint32 // units that had a number
	ago    bool
	// lone: the unit to the right had no number yet. newer: Postgres 17 and newer
	// take such units, and an ago that is not the end, for errors.
	lone, newer bool
}

func (d *intervalDecoder) decode(tokens []timeToken) error {
	for i := len(tokens) - 1; i >= 0; i-- {
		t := tokens[i]
		var err error
		word := t.class == classWord || t.class == classSpecial
		d.newer = d.newer || word && (d.lone || t.text == "ago" && i < len(tokens)-1)
		d.lone = word && t.text != "ago"
		switch t.class {
		case classTime:
			err = d.clock(t.text, 1)
		case classWord, classSpecial:
			err = d.word(t.text)
		default:
			if t.class == classSigned && strings.Contains(t.text, ":") {
				sign := int64(1)
				if t.text[0] == '-' {
					sign = -1
				}
				err = d.clock(t.text[1:], sign)
				break
			}
			err = d.number(t.text)
		}
		if err != nil {
			return err
		}
	}
	if d.seen == 0 {
		return errSyntax
	}
	if d.newer || d.lone {
		return errServers
	}
	if d.ago {
		return d.negate()
	}
	return nil
}

func (d *intervalDecoder) negate() error {
	s := &d.sum
	if s.years == math.MinInt32 || s.months == math.MinInt32 || s.days == math.MinInt32 || s.micros == math.MinInt64 {
		return errRange
	}
	*s = intervalSum{-s.years, -s.months, -s.days, -s.micros}
	return nil
}

func (d *intervalDecoder) word(text string) error {
	u, ok := unitNames[shortWord(text)]
	switch {
	case text == "ago":
		// It takes the unit away that was read, so that a number before it has
		// none, not even the default.
		d.ago, d.unit = true, unitQuarter
	case !ok:
		return errSyntax
	default:
		d.unit = u
	}
	return nil
}

// mark notes that a unit had its number; twice is an error.
func (d *intervalDecoder) mark(units ...unit) error {
	for _, u := range units {
		if d.seen&(1<<u) != 0 {
			return errSyntax
		}
	}
	for _, u := range units {
		d.seen |= 1 << u
	}
	return nil
}

// clock reads hh:mm, hh:mm:ss, or mm:ss.f.
func (d *intervalDecoder) clock(text string, sign int64) error {
	parts := strings.Split(text, ":")
	last := parts[len(parts)-1]
	whole, fraction, point := strings.Cut(last, ".")
	parts[len(parts)-1] = whole
	if len(parts) > 3 {
		return errSyntax
	}
	var n [3]int64
	for i, p := range parts {
		var err error
		bits := 32
		if i == 0 {
			bits = 64
		}
		if n[i], err = wholeNumber(p, bits); err != nil {
			return err
		}
	}
	if len(parts) == 2 && (point || d.fields == fieldMinute|fieldSecond) {
		if n[0] > math.MaxInt32 {
			return errRange
		}
		n = [3]int64{0, n[0], n[1]}
	}
	micros := 0.0
	if point && fraction != "" {
		f, err := pointFraction(fraction)
		if err != nil {
			return err
		}
		micros = math.RoundToEven(float64(f * 1e6))
	}
	if n[1] > 59 || n[2] > 60 {
		return errRange
	}
	s := intervalSum{}
	if !s.addMicros(n[0], 0, hour) || !s.addMicros(n[1], 0, minute) || !s.addMicros(n[2], 0, second) || !s.addMicros(int64(micros), 0, 1) {
		return errRange
	}
	d.sum.micros = sign * s.micros
	d.unit = unitDay
	return d.mark(unitSecond, unitMinute, unitHour, unitMillis, unitMicros)
}

// wholeNumber reads digits; none is zero. Of negative numbers it takes minus zero.
func wholeNumber(text string, bits int) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits, negative := strings.CutPrefix(text, "-")
	n, err := strconv.ParseUint(digits, 10, bits-1)
	if err != nil || negative && n != 0 {
		return 0, errRange
	}
	return int64(n), nil
}

// pointFraction reads the digits behind a point.
func pointFraction(digits string) (float64, error) {
	if strings.Trim(digits, "0123456789") != "" {
		return 0, errSyntax
	}
	f, err := strconv.ParseFloat("."+digits, 64)
	if err != nil {
		return 0, errSyntax
	}
	return f, nil
}

// number reads a number, perhaps with a sign and a fraction, or years-months.
func (d *intervalDecoder) number(text string) error {
	if d.unit == unitNone {
		d.unit = d.fields.unitOfLast()
	}
	end := 0
	if text[0] == '-' || text[0] == '+' {
		end = 1
	}
	for end < len(text) && isDigit(text[end]) {
		end++
	}
	n, err := signedNumber(text[:end])
	if err != nil {
		return err
	}
	negative := text[0] == '-'
	fraction := 0.0
	switch rest := text[end:]; {
	case rest == "":
	case rest[0] == '-':
		if n, err = yearsMonths(n, rest[1:], negative); err != nil {
			return err
		}
		d.unit = unitMonth
	case rest == ".":
	case rest[0] == '.':
		if fraction, err = pointFraction(rest[1:]); err != nil {
			return err
		}
		if negative {
			fraction = -fraction
		}
	default:
		return errSyntax
	}
	if d.unit > unitMillennium {
		return errSyntax
	}
	u := d.unit
	if !d.sum.add(u, n, fraction) {
		return errRange
	}
	switch {
	case u == unitHour:
		d.unit = unitDay
	case u == unitSecond && fraction != 0:
		return d.mark(unitSecond, unitMillis, unitMicros)
	}
	return d.mark(u)
}

// signedNumber reads a sign and digits; no digits are zero, as strtol has it.
func signedNumber(text string) (int64, error) {
	if strings.Trim(text, "+-") == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errRange
	}
	return n, nil
}

// yearsMonths is n years and the months that follow the hyphen.
func yearsMonths(n int64, text string, negative bool) (int64, error) {
	end := 0
	for end < len(text) && (isDigit(text[end]) || end == 0 && text[end] == '-') {
		end++
	}
	months, err := wholeNumber(text[:end], 32)
	if err != nil || months > 11 {
		return 0, errRange
	}
	if end < len(text) {
		return 0, errSyntax
	}
	if negative {
		months = -months
	}
	if n, err = mulInt(n, 12); err != nil {
		return 0, err
	}
	return addInt(n, months)
}
