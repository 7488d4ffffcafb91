package expr

import (
	"bytes"
	"math"
	"strconv"
)

// parseDesignators reads ISO 8601: P1Y2M3DT4H5M6S with the designators, or
// P0001-02-03T04:05:06 (DecodeISO8601Interval in datetime.c). Each number may
// have a sign and a fraction.
func parseDesignators(text []byte) (value, error) {
	if len(text) < 2 || text[0] != 'P' {
		return value{}, errSyntax
	}
	d := designators{text: text[1:]}
	for !d.done && len(d.text) > 0 && d.err == nil {
		switch {
		case d.text[0] == 'T':
			d.text, d.timed, d.behind = d.text[1:], true, false
		case d.timed:
			d.timePart()
		default:
			d.datePart()
		}
	}
	if d.err != nil {
		return value{}, d.err
	}
	return d.sum.value()
}

type designators struct {
	text   []byte
	sum    intervalSum
	timed  bool // behind the T
	behind bool // a number with its designator was read in this part
	done   bool
	err    error
}

// number is one number of the text.
type isoNumber struct {
	n        int64
	fraction float64
	width    int // digits before the point
}

// number reads what strtod takes, as far as it is decimal.
func (d *designators) number() isoNumber {
	end := 0
	digits := func() int {
		from := end
		for end < len(d.text) && isDigit(d.text[end]) {
			end++
		}
		return end - from
	}
	if end < len(d.text) && d.text[end] == '-' {
		end++
	}
	width := digits()
	read := width
	if end < len(d.text) && d.text[end] == '.' {
		end++
		read += digits()
	}
	if read == 0 {
		d.err = errSyntax
		return isoNumber{}
	}
	mantissa := end
	if end < len(d.text) && lowerByte(d.text[end]) == 'e' {
		end++
		if end < len(d.text) && (d.text[end] == '-' || d.text[end] == '+') {
			end++
		}
		if digits() == 0 {
			end = mantissa
		}
	}
	f, err := strconv.ParseFloat(string(d.text[:end]), 64)
	const least = 0x1p-1022 // strtod says that what is smaller is out of range
	switch {
	case err != nil, math.Abs(f) < least && bytes.ContainsAny(d.text[:mantissa], "123456789"), end < len(d.text) && lowerByte(d.text[end]) == 'x': // strtod knows 0x1p3
		d.err = errSyntax
		return isoNumber{}
	case f < -1e15 || f > 1e15:
		d.err = errRange
		return isoNumber{}
	}
	d.text = d.text[end:]
	n := int64(f)
	return isoNumber{n, f - float64(n), width}
}

// next takes one byte, 0 at the end.
func (d *designators) next() byte {
	if len(d.text) == 0 {
		return 0
	}
	c := d.text[0]
	d.text = d.text[1:]
	return c
}

func (d *designators) add(u unit, v isoNumber) {
	if d.err == nil && !d.sum.add(u, v.n, v.fraction) {
		d.err = errRange
	}
}

var (
	dateUnits = map[byte]unit{'Y': unitYear, 'M': unitMonth, 'W': unitWeek, 'D': unitDay}
	timeUnits = map[byte]unit{'H': unitHour, 'M': unitMinute, 'S': unitSecond}
)

func (d *designators) datePart() {
	v := d.number()
	if d.err != nil {
		return
	}
	c := d.next()
	if u := dateUnits[c]; u != unitNone {
		d.add(u, v)
		d.behind = true
		return
	}
	switch {
	case c != '-' && c != 'T' && c != 0, d.behind:
		d.err = errSyntax
	case c != '-' && v.width == 8: // P00010203
		d.add(unitYear, isoNumber{n: v.n / 10000})
		d.add(unitMonth, isoNumber{n: v.n / 100 % 100})
		d.add(unitDay, isoNumber{n: v.n % 100, fraction: v.fraction})
		d.endDate(c)
	default:
		d.add(unitYear, v)
		if c != '-' {
			d.endDate(c)
			return
		}
		d.add(unitMonth, d.number())
		if len(d.text) > 0 && d.text[0] == '-' {
			d.text = d.text[1:]
			d.add(unitDay, d.number())
		}
		d.endDate(d.next())
	}
}

// endDate: only a time may follow.
func (d *designators) endDate(c byte) {
	switch {
	case d.err != nil:
	case c == 0:
		d.done = true
	case c == 'T':
		d.timed, d.behind = true, false
	default:
		d.err = errSyntax
	}
}

func (d *designators) timePart() {
	v := d.number()
	if d.err != nil {
		return
	}
	c := d.next()
	if u := timeUnits[c]; u != unitNone {
		d.add(u, v)
		d.behind = true
		return
	}
	switch {
	case c != ':' && c != 0, d.behind:
		d.err = errSyntax
	case c == 0 && v.width == 6: // T040506
		d.add(unitHour, isoNumber{n: v.n / 10000})
		d.add(unitMinute, isoNumber{n: v.n / 100 % 100})
		d.add(unitSecond, isoNumber{n: v.n % 100})
		d.add(unitMicros, isoNumber{fraction: v.fraction})
		d.done = true
	default:
		d.add(unitHour, v)
		for _, u := range []unit{unitMinute, unitSecond} {
			if c == 0 || d.err != nil {
				break
			}
			d.add(u, d.number())
			if c = d.next(); c != 0 && c != ':' {
				d.err = errSyntax
			}
		}
		if d.err == nil && c != 0 {
			d.err = errSyntax
		}
		d.done = true
	}
}
