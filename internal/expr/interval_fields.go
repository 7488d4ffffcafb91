package expr

import "strings"

// fieldSet are the fields that an interval's type names, as in
// INTERVAL DAY TO SECOND: what is finer is cut off. 0: all of them.
type fieldSet uint8

const (
	fieldYear fieldSet = 1 << iota
	fieldMonth
	fieldDay
	fieldHour
	fieldMinute
	fieldSecond
)

var fieldNames = []struct {
	name  string
	field fieldSet
	unit  unit
	cut   int64 // the time is cut to a multiple of it; 0: there is none
}{
	{"year", fieldYear, unitYear, 0},
	{"month", fieldMonth, unitMonth, 0},
	{"day", fieldDay, unitDay, 0},
	{"hour", fieldHour, unitHour, hour},
	{"minute", fieldMinute, unitMinute, minute},
	{"second", fieldSecond, unitSecond, 1},
}

// unitOfLast is the unit of a number that has none.
func (f fieldSet) unitOfLast() unit {
	u := unitSecond
	for _, n := range fieldNames {
		if f&n.field != 0 {
			u = n.unit
		}
	}
	return u
}

// intervalMod is the type modifier of an interval.
type intervalMod struct {
	fields  fieldSet
	rounded bool
	digits  int // of a second, 0 to 6, if rounded
}

func (m intervalMod) none() bool { return m == intervalMod{} }

// String is the modifier as SQL has it behind the word interval.
func (m intervalMod) String() string {
	var words []string
	for _, n := range fieldNames {
		if m.fields&n.field != 0 {
			words = append(words, n.name)
		}
	}
	s := ""
	if len(words) > 0 {
		s = " " + words[0]
		if len(words) > 1 {
			s += " to " + words[len(words)-1]
		}
	}
	if m.rounded {
		s += "(" + string(rune('0'+m.digits)) + ")"
	}
	return s
}

// adjust is AdjustIntervalForTypmod: fields to the right of the last one named
// become zero, those to the left of the first one stay.
func (m intervalMod) adjust(v value) (value, error) {
	if isInfinite(v) {
		return v, nil
	}
	for i := len(fieldNames) - 1; i >= 0 && m.fields != 0; i-- {
		n := fieldNames[i]
		if m.fields&n.field == 0 {
			continue
		}
		if n.cut == 0 {
			v.n = 0
		} else {
			v.n -= v.n % n.cut
		}
		if n.field <= fieldMonth {
			v.days = 0
		}
		if n.field == fieldYear {
			v.months -= v.months % 12
		}
		break
	}
	if !m.rounded {
		return v, nil
	}
	n, err := roundedMicros(v.n, m.digits)
	if err != nil {
		return value{}, errServers
	}
	v.n = n
	return v, nil
}

// roundedMicros rounds to some digits of a second, halves away from zero.
func roundedMicros(n int64, digits int) (int64, error) {
	scale := int64(1)
	for range 6 - digits {
		scale *= 10
	}
	half := scale / 2
	if n < 0 {
		half = -half
	}
	n, err := addInt(n, half)
	return n / scale * scale, err
}

// intervalFields reads what may follow the word interval as a type, or the
// string of an interval's literal.
func (p *parser) intervalFields() intervalMod {
	first := p.fieldWord()
	if first == 0 {
		return intervalMod{}
	}
	m := intervalMod{fields: first}
	last := first
	if p.peek().word("to") {
		p.advance()
		at := p.i
		if last = p.fieldWord(); !spans(first, last) {
			p.i = at
			p.unexpected()
			return m
		}
		for f := first; f <= last; f <<= 1 {
			m.fields |= f
		}
	}
	if last == fieldSecond && p.peek().is("(") {
		p.secondDigits(&m)
	}
	return m
}

// spans: years go to months, the finer fields to each that is finer still.
func spans(first, last fieldSet) bool {
	return first == fieldYear && last == fieldMonth || first >= fieldDay && last > first
}

func (p *parser) fieldWord() fieldSet {
	t := p.peek()
	if p.err != nil || t.kind != tokIdent || p.src[t.pos] == '"' {
		return 0
	}
	for _, n := range fieldNames {
		if n.name == t.text {
			p.advance()
			return n.field
		}
	}
	return 0
}

// secondDigits reads (n).
func (p *parser) secondDigits(m *intervalMod) {
	p.expect("(")
	t := p.peek()
	if p.err == nil && t.kind != tokInt {
		p.unexpected()
		return
	}
	p.advance()
	p.expect(")")
	digits := strings.TrimLeft(t.text, "0")
	if p.err == nil && (len(digits) > 1 || digits > "6") {
		p.refuse(t.pos, "the precision of an interval is 0 to 6 digits")
		return
	}
	m.rounded = true
	if digits != "" {
		m.digits = int(digits[0] - '0')
	}
}

// intervalCast casts to an interval of some fields or digits. They matter to the
// input function: interval '1' day.
func (c *checker) intervalCast(a *astCast) (node, error) {
	m, to := a.to.span, typ{kind: kindInterval}
	name := "interval" + m.String()
	if a.to.array { // not so of an array's elements
		n, err := c.castBase(a)
		if err != nil {
			return nil, err
		}
		return c.eachElement(n, m.adjust, arrayOf(to), name+"[]", a)
	}
	n, err := c.expr(a.arg)
	if err != nil {
		return nil, err
	}
	if k, ok := n.(*constant); ok && k.t.kind == kindUnknown {
		n, err = c.settleBy(k, to, true, func(text []byte) (value, error) { return parseIntervalAs(text, m.fields) })
	} else {
		n, err = c.castTo(a, n, to)
	}
	if err != nil {
		return nil, err
	}
	return c.computed(a, &applied{t: to, args: []node{n}, sql: sqlCast(name),
		apply: func(args []value) (value, error) { return m.adjust(args[0]) }})
}
