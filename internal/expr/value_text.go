package expr

import (
	"bytes"
)

func parseText(text []byte) (value, error) { return value{b: text}, nil }

// parseName cuts at 63 bytes, as the input function of name does.
func parseName(text []byte) (value, error) { return value{b: truncate(text, maxIdent)}, nil }

func compareBytes(a, b value) int { return bytes.Compare(a.b, b.b) }

// compareBpchar ignores blanks at the end.
func compareBpchar(a, b value) int {
	return bytes.Compare(trimPad(a.b), trimPad(b.b))
}

// trimPad drops the blanks that char(n) is padded with. The result is not nil.
func trimPad(b []byte) []byte {
	n := len(b)
	for n > 0 && b[n-1] == ' ' {
		n--
	}
	return b[:n]
}

func keyText(dst []byte, v value) []byte   { return append(dst, v.b...) }
func keyBpchar(dst []byte, v value) []byte { return append(dst, trimPad(v.b)...) }

const hexDigits = "0123456789abcdef"

// parseUUID takes the forms that Postgres does: 32 digits of either case, in
// braces or not, a hyphen after any group of four. The value is the output
// text, which orders as the 16 bytes do.
func parseUUID(text []byte) (value, error) {
	if isCanonicalUUID(text) {
		return value{b: text}, nil
	}
	if len(text) > 2 && text[0] == '{' {
		if text[len(text)-1] != '}' {
			return value{}, errSyntax
		}
		text = text[1 : len(text)-1]
	}
	out := make([]byte, 0, 36)
	digits := 0
	for i, c := range text {
		if c == '-' && digits > 0 && digits%4 == 0 && digits < 32 && text[i-1] != '-' {
			continue
		}
		d := digitOf(c)
		if d > 15 || digits == 32 {
			return value{}, errSyntax
		}
		out = append(out, hexDigits[d])
		digits++
		if digits == 8 || digits == 12 || digits == 16 || digits == 20 {
			out = append(out, '-')
		}
	}
	if digits != 32 {
		return value{}, errSyntax
	}
	return value{b: out}, nil
}

func isCanonicalUUID(text []byte) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range text {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
