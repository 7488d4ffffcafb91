package expr

import (
	"strings"
	"unicode/utf8"
)

// unicode reads U&'…' or U&"…", and UESCAPE '…' behind it.
func (l *lexer) unicode(start int) token {
	l.pos += 2
	var t token
	if l.at(0) == '\'' {
		l.pos++
		t = l.quoted(start, tokString)
	} else {
		t = l.delimited(start)
	}
	if t.kind == tokBad {
		return t
	}
	escape, end, reason := l.uescape(t.end)
	t.end = end
	if reason == "" {
		t.text, reason = unescaped(t.text, escape)
	}
	if reason != "" {
		bad := l.bad(start, reason)
		bad.end = end
		return bad
	}
	if t.kind == tokIdent {
		t.text = truncate(t.text, maxIdent)
	}
	return t
}

// uescape reads UESCAPE '!' if it follows, and says what the escape character is
// and where the whole ends.
func (l *lexer) uescape(end int) (escape byte, last int, reason string) {
	const word = "uescape"
	from := l.pos
	if _, ok := l.skipBlank(); !ok || !strings.EqualFold(l.src[l.pos:min(l.pos+len(word), len(l.src))], word) || isIdentByte(l.at(len(word))) {
		l.pos = from
		return '\\', end, ""
	}
	l.pos += len(word)
	if _, ok := l.skipBlank(); !ok || l.at(0) != '\'' {
		return 0, l.pos, "UESCAPE must be followed by a simple string literal"
	}
	at := l.pos
	l.pos++
	t := l.quoted(at, tokString)
	if t.kind == tokBad || len(t.text) != 1 || digitOf(t.text[0]) < 16 || strings.ContainsAny(t.text, `+'"`) || isBlank(t.text[0]) {
		return 0, l.pos, "invalid Unicode escape character"
	}
	return t.text[0], t.end, ""
}

// unescaped replaces \XXXX and \+XXXXXX, two of the former if they are the halves
// of one character, and a doubled escape character.
func unescaped(text string, escape byte) (out, reason string) {
	var b strings.Builder
	high := 0 // the first half of a pair
	for len(text) > 0 {
		if text[0] != escape || len(text) > 1 && text[1] == escape {
			if high != 0 {
				return "", "invalid Unicode surrogate pair"
			}
			b.WriteByte(text[0])
			if text[0] == escape {
				text = text[1:]
			}
			text = text[1:]
			continue
		}
		code, n := hexadecimal(text[1:])
		if n == 0 {
			return "", "invalid Unicode escape"
		}
		text = text[1+n:]
		low := code >= 0xDC00 && code <= 0xDFFF
		switch {
		case (high != 0) != low:
			return "", "invalid Unicode surrogate pair"
		case low:
			code, high = 0x10000+(high-0xD800)<<10+code-0xDC00, 0
		case code >= 0xD800 && code < 0xDC00:
			high = code
			continue
		}
		if code == 0 || code > utf8.MaxRune {
			return "", "invalid Unicode escape value"
		}
		b.WriteRune(rune(code))
	}
	if high != 0 {
		return "", "invalid Unicode surrogate pair"
	}
	return b.String(), ""
}

// hexadecimal reads four digits, or six behind a +. n is how long that is, 0 if it
// is something else.
func hexadecimal(text string) (code, n int) {
	from, to := 0, 4
	if text != "" && text[0] == '+' {
		from, to = 1, 7
	}
	if len(text) < to {
		return 0, 0
	}
	for _, c := range []byte(text[from:to]) {
		d := digitOf(c)
		if d > 15 {
			return 0, 0
		}
		code = code<<4 | d
	}
	return code, to
}
