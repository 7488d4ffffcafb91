package expr

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

var (
	errPattern = errors.New("LIKE pattern must not end with escape character")
	errTedious = errors.New("the text repeats itself so much that the pattern takes too long")
)

// A search for a part of a text takes as many steps as text and part have characters,
// multiplied, if the text repeats itself: a minute for a MiB, and the stream of all
// shapes waits for it. Beyond so many steps, and so many for each byte of the text, it
// is given up, which costs the one shape.
const (
	freeSteps   = 1 << 20
	stepsOfByte = 16
)

// prepareLike builds LIKE and NOT LIKE.
func prepareLike(o *operation, _ collation) (func(a, b value) (value, error), error) {
	want := o.op.name == "~~"
	k, ok := o.r.(*constant)
	if !ok || k.value.null {
		return func(a, b value) (value, error) {
			ok, err := matchPattern(a.b, b.b, &sameByte)
			return boolValue(ok == want), err
		}, nil
	}
	match, err := constantPattern(k.value.b)
	if err != nil {
		return nil, err
	}
	return func(a, _ value) (value, error) {
		ok, err := match(a.b)
		return boolValue(ok == want), err
	}, nil
}

// constantPattern compiles a pattern. The common forms need no matcher: text is
// UTF-8, where a search by bytes finds whole characters.
func constantPattern(p []byte) (func(text []byte) (bool, error), error) {
	if escapedEnd(p) {
		return nil, errPattern
	}
	inner := bytes.Trim(p, "%")
	if bytes.ContainsAny(inner, `%_\`) {
		return func(text []byte) (bool, error) { return matchPattern(text, p, &sameByte) }, nil
	}
	switch head, tail := bytes.HasPrefix(p, []byte("%")), bytes.HasSuffix(p, []byte("%")); {
	case len(inner) == 0 && head:
		return func([]byte) (bool, error) { return true, nil }, nil
	case head && tail:
		return func(text []byte) (bool, error) { return bytes.Contains(text, inner), nil }, nil
	case head:
		return func(text []byte) (bool, error) { return bytes.HasSuffix(text, inner), nil }, nil
	case tail:
		return func(text []byte) (bool, error) { return bytes.HasPrefix(text, inner), nil }, nil
	}
	return func(text []byte) (bool, error) { return bytes.Equal(text, inner), nil }, nil
}

// escapedEnd: the pattern ends in a backslash that escapes nothing.
func escapedEnd(p []byte) bool {
	n := 0
	for n < len(p) && p[len(p)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// sameByte and lowByte are what a byte is compared as.
var sameByte, lowByte = foldTables()

func foldTables() (same, low [256]byte) {
	for i := range same {
		same[i], low[i] = byte(i), lowerByte(byte(i))
	}
	return same, low
}

// matchPattern is MatchText of like_match.c, without its recursion: behind a %
// only the last one can still give way, since an earlier one would leave less
// text for the same rest. An errPattern comes exactly where Postgres raises it.
func matchPattern(text, pattern []byte, fold *[256]byte) (bool, error) {
	t, p := 0, 0
	starT, starP := -1, -1 // where to go on when the last % takes one character more
	for left := freeSteps + stepsOfByte*len(text); ; left-- {
		matched, err := false, error(nil)
		switch {
		case left == 0:
			return false, errTedious
		case t >= len(text):
			for p < len(pattern) && pattern[p] == '%' {
				p++
			}
			return p == len(pattern), nil
		case p >= len(pattern):
		case pattern[p] == '%':
			var done, ok bool
			t, p, done, ok = skipPercent(text, pattern, t, p)
			if done {
				return ok, nil
			}
			starT, starP = t, p
			continue
		case pattern[p] == '_':
			t += charLen(text[t:])
			p++
			continue
		default:
			p, matched, err = matchByte(text[t], pattern, p, fold)
		}
		if err != nil {
			return false, err
		}
		if matched {
			t++
			continue
		}
		if starP < 0 {
			return false, nil
		}
		starT += charLen(text[starT:])
		t, p = starT, starP
	}
}

// matchByte compares one byte with the pattern at p, an escape included, and
// returns the place behind it.
func matchByte(c byte, pattern []byte, p int, fold *[256]byte) (int, bool, error) {
	if pattern[p] == '\\' {
		if p++; p >= len(pattern) {
			return p, false, errPattern
		}
	}
	return p + 1, fold[pattern[p]] == fold[c], nil
}

// skipPercent takes a run of % and _; each _ costs a character. done: the result
// is known.
func skipPercent(text, pattern []byte, t, p int) (nextT, nextP int, done, ok bool) {
	for ; p < len(pattern); p++ {
		switch pattern[p] {
		case '%':
		case '_':
			if t >= len(text) {
				return t, p, true, false
			}
			t += charLen(text[t:])
		default:
			return t, p, false, false
		}
	}
	return t, p, true, true
}

// charLen is the length of the first character, in bytes.
func charLen(text []byte) int {
	if text[0] < utf8.RuneSelf {
		return 1
	}
	n := 1
	for n < len(text) && text[n]&0xC0 == 0x80 {
		n++
	}
	return n
}
