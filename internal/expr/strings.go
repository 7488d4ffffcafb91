package expr

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quoted reads the rest of a '…' string: doubled quotes, and continuation after
// a line break.
func (l *lexer) quoted(start int, kind tokenKind) token {
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.at(0)
		l.pos++
		if c != '\'' {
			b.WriteByte(c)
			continue
		}
		if l.at(0) == '\'' {
			b.WriteByte('\'')
			l.pos++
			continue
		}
		if end := l.pos; !l.continued() {
			return token{kind: kind, pos: start, end: end, text: b.String()}
		}
	}
	if kind == tokBits {
		return l.bad(start, "unterminated bit string literal")
	}
	return l.bad(start, "unterminated quoted string")
}

// continued reports whether the string goes on: white space with a line break in
// it, or comments that end with their line, then another quote. It then stands
// behind that quote.
func (l *lexer) continued() bool {
	n, broken := 0, false
	for {
		switch c := l.at(n); {
		case isBlank(c):
			broken = broken || c == '\n' || c == '\r'
			n++
		case c == '-' && l.at(n+1) == '-':
			for l.pos+n < len(l.src) && l.at(n) != '\n' && l.at(n) != '\r' {
				n++
			}
		default:
			if !broken || c != '\'' {
				return false
			}
			l.pos += n + 1
			return true
		}
	}
}

// escaped reads the rest of an E'…' string.
func (l *lexer) escaped(start int) token {
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.at(0)
		l.pos++
		switch {
		case c == '\\':
			if reason := l.escape(&b); reason != "" {
				return l.bad(start, reason)
			}
		case c != '\'':
			b.WriteByte(c)
		case l.at(0) == '\'':
			b.WriteByte('\'')
			l.pos++
		default:
			end := l.pos
			if l.continued() {
				continue
			}
			text := b.String()
			if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
				return l.bad(start, `invalid byte sequence for encoding "UTF8"`)
			}
			return token{kind: tokString, pos: start, end: end, text: text}
		}
	}
	return l.bad(start, "unterminated quoted string")
}

// escape reads what follows a backslash. It returns the reason of a fault.
func (l *lexer) escape(b *strings.Builder) string {
	c := l.at(0)
	if l.pos >= len(l.src) {
		return "unterminated quoted string"
	}
	switch c {
	case 'u', 'U':
		return l.unicodeEscape(b)
	case 'x':
		if digitOf(l.at(1)) < 16 {
			l.pos++
			b.WriteByte(byte(l.based(16, 2)))
			return ""
		}
	}
	if c >= '0' && c <= '7' {
		b.WriteByte(byte(l.based(8, 3)))
		return ""
	}
	l.pos++
	switch c {
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	}
	b.WriteByte(c)
	return ""
}

// based reads at most n digits.
func (l *lexer) based(base, n int) int {
	v := 0
	for ; n > 0 && digitOf(l.at(0)) < base; n-- {
		v = v*base + digitOf(l.at(0))
		l.pos++
	}
	return v
}

// unicodeEscape reads \uXXXX or \UXXXXXXXX, and the second half of a surrogate
// pair if the first calls for it.
func (l *lexer) unicodeEscape(b *strings.Builder) string {
	const reason = "invalid Unicode escape"
	r, ok := l.unicodeDigits()
	if !ok {
		return reason
	}
	if r >= 0xD800 && r < 0xDC00 {
		if l.at(0) != '\\' || l.at(1) != 'u' && l.at(1) != 'U' {
			return "invalid Unicode surrogate pair"
		}
		l.pos++
		low, ok := l.unicodeDigits()
		if !ok || low < 0xDC00 || low > 0xDFFF {
			return "invalid Unicode surrogate pair"
		}
		r = 0x10000 + (r-0xD800)<<10 + low - 0xDC00
	}
	if r == 0 || r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
		return reason
	}
	b.WriteRune(rune(r))
	return ""
}

func (l *lexer) unicodeDigits() (int, bool) {
	n := 4
	if l.at(0) == 'U' {
		n = 8
	}
	l.pos++
	from := l.pos
	r := l.based(16, n)
	return r, l.pos-from == n
}

// digitOf is the value of a digit in a base up to 16, or 99.
func digitOf(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return 99
}

// decimalOf rewrites digits of another base.
func decimalOf(digits string, base int) string {
	if n, err := strconv.ParseUint(digits, base, 64); err == nil {
		return strconv.FormatUint(n, 10)
	}
	n, _ := new(big.Int).SetString(digits, base) // the digits were checked one by one
	return n.String()
}

// foldASCII lowers A to Z and nothing else, as Postgres does with identifiers
// when its encoding has several bytes a character.
func foldASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lowerByte(b[i])
			}
			return string(b)
		}
	}
	return s
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// truncate cuts s to at most n bytes, between characters.
func truncate[T string | []byte](s T, n int) T {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
