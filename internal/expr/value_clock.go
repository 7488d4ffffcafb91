package expr

import "bytes"

// A time is the microseconds of a day, 24:00:00 included. A time with time zone
// is two numbers in one (packed), which order as Postgres orders the values: by
// the time in UTC, then by the zone, the eastern one first.

const (
	zoneBits = 18
	zoneBias = 1 << (zoneBits - 1)
)

// packTime makes a time with time zone; west is the seconds that the zone is
// behind UTC.
func packTime(micros, west int64) (value, error) {
	if west <= -zoneBias || west >= zoneBias {
		return value{}, errRange
	}
	return value{n: (micros+west*second)<<zoneBits | (west + zoneBias)}, nil
}

func unpackTime(v value) (micros, west int64) {
	west = v.n&(1<<zoneBits-1) - zoneBias
	return v.n>>zoneBits - west*second, west
}

// parseTime ignores a zone, as the input function does.
func parseTime(text []byte) (value, error) {
	micros, _, err := readClock(text)
	return value{n: micros}, err
}

// parseTimetz takes a text without a zone as UTC, the session's zone.
func parseTimetz(text []byte) (value, error) {
	micros, east, err := readClock(text)
	if err != nil {
		return value{}, err
	}
	return packTime(micros, -east/second)
}

// readClock reads hh:mm[:ss[.ffffff]][ AM|PM][zone], perhaps behind a date.
func readClock(text []byte) (micros, east int64, err error) {
	text = trimBlank(text)
	if i := bytes.IndexByte(text, ' '); i > 0 && bytes.IndexByte(text[:i], ':') < 0 && bytes.IndexByte(text, ':') > 0 {
		m, err := parseMoment(text)
		return m.micros, m.offset, err
	}
	s := scanner{text: text}
	micros = s.clock()
	micros = s.halfDay(micros)
	east = s.zone(true)
	switch {
	case s.bad || len(s.text) > 0:
		return 0, 0, errSyntax
	case micros > day:
		return 0, 0, errRange
	}
	return micros, east, nil
}

// halfDay reads AM or PM.
func (s *scanner) halfDay(micros int64) int64 {
	i := 0
	if s.peek(0) == ' ' {
		i = 1
	}
	c := lowerByte(s.peek(i))
	if c != 'a' && c != 'p' || lowerByte(s.peek(i+1)) != 'm' {
		return micros
	}
	s.text = s.text[i+2:]
	h := micros / hour
	if h > 12 || len(s.text) > 0 && s.text[0] != ' ' {
		s.bad = true
	}
	switch {
	case c == 'a' && h == 12:
		return micros - 12*hour
	case c == 'p' && h != 12:
		return micros + 12*hour
	}
	return micros
}

func textTime(v value) []byte { return appendClock(nil, v.n) }

func textTimetz(v value) []byte {
	micros, west := unpackTime(v)
	b := appendClock(nil, micros)
	if west <= 0 {
		b, west = append(b, '+'), -west
	} else {
		b = append(b, '-')
	}
	b = appendPadded(b, west/3600, 2)
	if west%3600 != 0 {
		b = appendPadded(append(b, ':'), west/60%60, 2)
	}
	if west%60 != 0 {
		b = appendPadded(append(b, ':'), west%60, 2)
	}
	return b
}

// appendClock writes hh:mm:ss[.ffffff].
func appendClock(b []byte, micros int64) []byte {
	b = append(appendPadded(b, micros/hour, 2), ':')
	b = append(appendPadded(b, micros/minute%60, 2), ':')
	b = appendPadded(b, micros/second%60, 2)
	return appendFraction(b, micros%second)
}
