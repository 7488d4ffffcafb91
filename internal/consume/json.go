package consume

import "unicode/utf8"

// appendText appends a value: its text as a JSON string, or null.
func appendText(dst, text []byte) []byte {
	if text == nil {
		return append(dst, "null"...)
	}
	return appendString(dst, text)
}

// appendString appends s as a JSON string. '"', '\' and what is below 0x20 is
// escaped, everything else stays as it is: Postgres sends UTF-8, and clients get it
// byte for byte. The exception is a "char" of before Postgres 15, which may be half a
// character: a byte that is no UTF-8 becomes \303, as newer versions write it.
func appendString[T []byte | string](dst []byte, s T) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

// appendEscaped appends what goes between the quotes.
func appendEscaped[T []byte | string](dst []byte, s T) []byte {
	start, length := 0, len(dst)
	var seen uint64
	for i := 0; i < len(s); {
		if i+8 <= len(s) {
			if w := load(s, i); plain(w) {
				seen |= w
				i += 8
				continue
			}
		}
		c := s[i]
		seen |= uint64(c)
		i++
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i-1]...)
		dst = appendEscape(dst, c)
		start = i
	}
	if seen&highBits != 0 && !valid(s) {
		return appendBroken(dst[:length], s)
	}
	return append(dst, s[start:]...)
}

func valid[T []byte | string](s T) bool {
	switch s := any(s).(type) {
	case []byte:
		return utf8.Valid(s)
	case string:
		return utf8.ValidString(s)
	}
	return false
}

// appendBroken is appendEscaped for what is not UTF-8.
func appendBroken[T []byte | string](dst []byte, s T) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		switch c := s[i]; {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, '\\', '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		case c < 0x20 || c == '"' || c == '\\':
			dst = appendEscape(dst, c)
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

const highBits = 0x8080808080808080

// load reads eight bytes of s from i on.
func load[T []byte | string](s T, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// plain reports whether none of the eight bytes of w needs an escape. The tests
// are the known ones for "a byte less than n" and "a zero byte" in a word: their
// answer about the word is exact, only which byte it was is not.
func plain(w uint64) bool {
	const ones = 0x0101010101010101
	quote, slash := w^ones*'"', w^ones*'\\'
	hit := (w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash
	return hit&highBits == 0
}
