package expr

import (
	"math"
	"strconv"
)

// Dates are days, timestamps microseconds, both since 2000-01-01; the infinities
// are the extremes of Postgres's own representation.
const (
	dateInfinity  = math.MaxInt32
	dateMinusInf  = math.MinInt32
	stampInfinity = math.MaxInt64
	stampMinusInf = math.MinInt64

	second = 1000000 // microseconds
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// Limits: 4714-11-24 BC to 5874897-12-31 for dates; timestamps end with the year
// 294276.
var (
	minDate  = daysOf(-4713, 11, 24)
	maxDate  = daysOf(5874897, 12, 31)
	minStamp = minDate * day
	endStamp = daysOf(294277, 1, 1) * day
)

// daysOf counts from 2000-01-01 in the proleptic Gregorian calendar; year 0 is
// 1 BC.
func daysOf(year, month, dayOfMonth int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + dayOfMonth - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return era*146097 + dayOfEra - 730425
}

// civilOf is the inverse of daysOf.
func civilOf(days int64) (year, month, dayOfMonth int64) {
	days += 730425
	era := floorDiv(days, 146097)
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	m := (5*dayOfYear + 2) / 153
	dayOfMonth = dayOfYear - (153*m+2)/5 + 1
	year, month = yearOfEra+era*400, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, dayOfMonth
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func monthDays(year, month int64) int64 {
	return daysOf(year+month/12, month%12+1, 1) - daysOf(year, month, 1)
}

// moment is a date/time text, read.
type moment struct {
	infinite int   // -1, 0, 1
	days     int64 // since 2000-01-01
	micros   int64 // of the day; 24:00:00 is allowed
	offset   int64 // microseconds east of UTC
}

// parseMoment reads the ISO forms: date[ time[ zone]][ BC], with a blank or a T
// before the time; and infinity, -infinity, epoch. Postgres takes much more,
// some of which depends on settings or on the clock (now, today): refused.
func parseMoment(text []byte) (moment, error) {
	text = trimBlank(text)
	if m, ok := specialMoment(text); ok {
		return m, nil
	}
	s := scanner{text: text}
	year := s.number(4, 7)
	s.byte('-')
	month := s.number(1, 2)
	s.byte('-')
	dom := s.number(1, 2)
	var m moment
	timed := s.timeFollows()
	if timed {
		m.micros = s.clock()
	}
	m.offset = s.zone(timed)
	if s.suffixBC() {
		if year == 0 {
			return moment{}, errRange
		}
		year = 1 - year
	} else if year == 0 {
		return moment{}, errRange
	}
	if s.bad || len(s.text) > 0 {
		return moment{}, errSyntax
	}
	if month < 1 || month > 12 || dom < 1 || dom > monthDays(year, month) || m.micros > day {
		return moment{}, errRange
	}
	m.days = daysOf(year, month, dom)
	return m, nil
}

func specialMoment(text []byte) (moment, bool) {
	if len(text) > len("-infinity") || len(text) < 5 {
		return moment{}, false
	}
	var buf [9]byte
	s := buf[:copy(buf[:], text)]
	for i, c := range s {
		s[i] = lowerByte(c)
	}
	switch string(s) {
	case "infinity":
		return moment{infinite: 1}, true
	case "-infinity":
		return moment{infinite: -1}, true
	case "epoch":
		return moment{days: daysOf(1970, 1, 1)}, true
	}
	return moment{}, false
}

// scanner reads fixed fields from the front of a text.
type scanner struct {
	text []byte
	bad  bool
}

func (s *scanner) peek(i int) byte {
	if i < len(s.text) {
		return s.text[i]
	}
	return 0
}

// number reads least to most digits.
func (s *scanner) number(least, most int) int64 {
	n, i := int64(0), 0
	for ; i < most && isDigit(s.peek(i)); i++ {
		n = n*10 + int64(s.text[i]-'0')
	}
	if i < least {
		s.bad = true
	}
	s.text = s.text[i:]
	return n
}

func (s *scanner) byte(c byte) {
	if s.peek(0) != c {
		s.bad = true
		return
	}
	s.text = s.text[1:]
}

// timeFollows skips the blank or T before a time.
func (s *scanner) timeFollows() bool {
	if c := s.peek(0); (c == ' ' || c == 'T' || c == 't') && isDigit(s.peek(1)) {
		s.text = s.text[1:]
		return true
	}
	return false
}

// clock reads hh:mm[:ss[.ffffff]] as microseconds.
func (s *scanner) clock() int64 {
	hour := s.number(1, 2)
	s.byte(':')
	minute := s.number(2, 2)
	var second, micros int64
	if s.peek(0) == ':' {
		s.text = s.text[1:]
		second = s.number(2, 2)
		if s.peek(0) == '.' {
			micros = s.fraction()
		}
	}
	if minute > 59 || second > 59 {
		s.bad = true
	}
	return ((hour*60+minute)*60+second)*1000000 + micros
}

// fraction reads digits behind the point. More than six are rounded as Postgres
// does, in floating point.
func (s *scanner) fraction() int64 {
	all := s.text
	s.text = s.text[1:]
	micros := s.number(0, 6)
	for read := len(all) - len(s.text); read < 7; read++ {
		micros *= 10
	}
	if !isDigit(s.peek(0)) {
		return micros
	}
	s.number(0, 18)
	f, err := strconv.ParseFloat(string(all[:len(all)-len(s.text)]), 64)
	micros = int64(math.RoundToEven(f * second))
	s.bad = s.bad || err != nil || micros == second // a whole second more: refused
	return micros
}

// zone reads Z, UTC; and behind a time of day ±hh, ±hhmm, ±hh:mm[:ss].
func (s *scanner) zone(timed bool) int64 {
	i := 0
	if s.peek(0) == ' ' {
		i = 1
	}
	switch c := s.peek(i); {
	case c == 'Z' || c == 'z':
		s.text = s.text[i+1:]
	case c == 'U' && s.peek(i+1) == 'T' && s.peek(i+2) == 'C':
		s.text = s.text[i+3:]
	case timed && (c == '+' || c == '-') && isDigit(s.peek(i+1)):
		s.text = s.text[i+1:]
		return s.offset(c == '-')
	}
	return 0
}

func (s *scanner) offset(west bool) int64 {
	hour := s.number(2, 2)
	var minute, second int64
	if s.peek(0) == ':' {
		s.text = s.text[1:]
		minute = s.number(2, 2)
		if s.peek(0) == ':' {
			s.text = s.text[1:]
			second = s.number(2, 2)
		}
	} else if isDigit(s.peek(0)) {
		minute = s.number(2, 2)
	}
	if hour > 15 || minute > 59 || second > 59 {
		s.bad = true
	}
	offset := ((hour*60+minute)*60 + second) * 1000000
	if west {
		return -offset
	}
	return offset
}

func (s *scanner) suffixBC() bool {
	if len(s.text) == 3 && s.text[0] == ' ' && lowerByte(s.text[1]) == 'b' && lowerByte(s.text[2]) == 'c' {
		s.text = nil
		return true
	}
	return false
}

// parseDate drops the time of day, as the input function does.
func parseDate(text []byte) (value, error) {
	m, err := parseMoment(text)
	switch {
	case err != nil:
		return value{}, err
	case m.infinite != 0:
		return dateValue(m.infinite), nil
	case m.days < minDate || m.days > maxDate:
		return value{}, errRange
	}
	return value{n: m.days}, nil
}

func dateValue(infinite int) value {
	if infinite > 0 {
		return value{n: dateInfinity}
	}
	return value{n: dateMinusInf}
}

// parseTimestamp ignores a zone, as the input function does.
func parseTimestamp(text []byte) (value, error) { return parseStamp(text, false) }

// parseTimestamptz takes a text without a zone as UTC, the session's zone.
func parseTimestamptz(text []byte) (value, error) { return parseStamp(text, true) }

func parseStamp(text []byte, zoned bool) (value, error) {
	m, err := parseMoment(text)
	switch {
	case err != nil:
		return value{}, err
	case m.infinite > 0:
		return value{n: stampInfinity}, nil
	case m.infinite < 0:
		return value{n: stampMinusInf}, nil
	case m.days < minDate || m.days > endStamp/day:
		return value{}, errRange
	}
	n := m.days*day + m.micros
	if zoned {
		n -= m.offset
	}
	if n < minStamp || n >= endStamp {
		return value{}, errRange
	}
	return value{n: n}, nil
}

func textDate(v value) []byte {
	switch v.n {
	case dateInfinity:
		return []byte("infinity")
	case dateMinusInf:
		return []byte("-infinity")
	}
	b, bc := appendDate(nil, v.n)
	return appendBC(b, bc)
}

func textTimestamp(v value) []byte   { return textStamp(v.n, "") }
func textTimestamptz(v value) []byte { return textStamp(v.n, "+00") }

func textStamp(n int64, zone string) []byte {
	switch n {
	case stampInfinity:
		return []byte("infinity")
	case stampMinusInf:
		return []byte("-infinity")
	}
	days := floorDiv(n, day)
	micros := n - days*day
	b, bc := appendDate(nil, days)
	b = appendClock(append(b, ' '), micros)
	return appendBC(append(b, zone...), bc)
}

func appendDate(b []byte, days int64) ([]byte, bool) {
	year, month, dom := civilOf(days)
	bc := year <= 0
	if bc {
		year = 1 - year
	}
	b = append(appendPadded(b, year, 4), '-')
	b = append(appendPadded(b, month, 2), '-')
	return appendPadded(b, dom, 2), bc
}

func appendBC(b []byte, bc bool) []byte {
	if bc {
		return append(b, " BC"...)
	}
	return b
}

func appendPadded(b []byte, n int64, width int) []byte {
	for limit := int64(10); width > 1; width-- {
		if n < limit {
			b = append(b, '0')
		}
		limit *= 10
	}
	return strconv.AppendInt(b, n, 10)
}
