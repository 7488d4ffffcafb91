package expr

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ILIKE compares lower(text) with lower(pattern), and what lower() does depends
// on the locale of the collation. What is accepted is what comes out the same
// whatever the locale may be, as far as Column.Case narrows it down:
//
//   - CaseASCII: everything.
//   - CaseUnicode: patterns of ASCII, of letters without case, and of the Latin,
//     Greek and Cyrillic letters whose case has been the same since Unicode 1
//     (no sigma: ICU lowers it by its place in the word).
//   - CaseUnknown on a bytewise collation, which is either of the two: patterns
//     of ASCII and of letters without case.
//
// The text may hold any character, for none but those below lowers into such a
// pattern's letters. İ lowers to one character or to two: an evaluation error.

var errLetter = errors.New("the lower case of a letter depends on the server's locale")

// prepareILike builds ILIKE and NOT ILIKE.
func prepareILike(o *operation, col collation) (func(a, b value) (value, error), error) {
	if col.letters == CaseUnknown && !col.bytewise {
		return nil, errors.New("ILIKE is not supported here, as the rules for upper and lower case of the collation are not known")
	}
	want := o.op.name == "~~*"
	letters := col.letters
	k, ok := o.r.(*constant)
	if !ok || k.value.null {
		return func(a, b value) (value, error) {
			pattern, err := foldPattern(b.b, letters)
			if err != nil {
				return value{}, err
			}
			ok, err := matchFolded(a.b, pattern, letters)
			return boolValue(ok == want), err
		}, nil
	}
	if escapedEnd(k.value.b) {
		return nil, errPattern
	}
	pattern, err := foldPattern(k.value.b, letters)
	if err != nil {
		return nil, err
	}
	return func(a, _ value) (value, error) {
		ok, err := matchFolded(a.b, pattern, letters)
		return boolValue(ok == want), err
	}, nil
}

// foldPattern lowers a pattern, or says why that cannot be done exactly.
func foldPattern(p []byte, letters Case) ([]byte, error) {
	out := make([]byte, 0, len(p))
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, lowerByte(byte(r)))
		case letters == CaseASCII, caseless(r):
			out = append(out, p[:n]...)
		case letters == CaseUnicode && settledLetter(r):
			out = utf8.AppendRune(out, unicode.ToLower(r))
		default:
			return nil, fmt.Errorf("ILIKE is not supported for the letter %q: %w", r, errLetter)
		}
		p = p[n:]
	}
	return out, nil
}

// matchFolded matches a text with a pattern that was lowered.
func matchFolded(text, pattern []byte, letters Case) (bool, error) {
	if letters == CaseASCII || isASCII(text) {
		return matchPattern(text, pattern, &lowByte)
	}
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, lowerByte(byte(r)))
		case r == 'İ', r == '\u212A' && letters == CaseUnknown:
			return false, errLetter
		case letters == CaseUnicode:
			out = utf8.AppendRune(out, unicode.ToLower(r))
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return matchPattern(out, pattern, &sameByte)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// caseless: a letter of a script that has no case, or no letter at all in the
// blocks where no later version of Unicode can give it one.
func caseless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Arabic,
		unicode.Hebrew, unicode.Devanagari) || r >= 0x2000 && r <= 0x20CF || r >= 0x2190 && r <= 0x2426 ||
		r >= 0x2500 && r <= 0x27BF || r >= 0x3000 && r <= 0x303F || r >= 0x1F300 && r <= 0x1FAFF ||
		r >= 0x80 && r <= 0xBF && r != 'ª' && r != 'µ' && r != 'º' || r == '×' || r == '÷'
}

// settledLetter: Latin-1, Latin Extended-A, Vietnamese, Greek and Cyrillic letters on whose
// lower case all libraries agree.
func settledLetter(r rune) bool {
	switch r {
	case 'İ', 'ı', 'ŉ', 'ſ', 'Σ', 'σ', 'ς':
		return false
	}
	return r >= 0xC0 && r <= 0x17F || r >= 0x391 && r <= 0x3C9 || r >= 0x400 && r <= 0x45F || r >= 0x1EA0 && r <= 0x1EF9 ||
		r == 'Ơ' || r == 'ơ' || r == 'Ư' || r == 'ư'
}
