package expr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"unicode/utf8"
)

// A bytea is kept as the text of its output function, \x and two digits for each
// byte: it orders and is equal as the bytes are.

var byteaComputations = []computation{
	{"||", kindBytea, kindBytea, kindBytea, func(a, b value) (value, error) {
		return value{b: append(append(make([]byte, 0, len(a.b)+len(b.b)), a.b...), b.b[2:]...)}, nil
	}},
}

var byteaOperators = []operator{
	{name: "~~", left: kindBytea, right: kindBytea, result: kindBool, apply: likeBytea(true)},
	{name: "!~~", left: kindBytea, right: kindBytea, result: kindBool, apply: likeBytea(false)},
}

// parseBytea reads \x and digits, with white space between the bytes, or text with
// \\ and \nnn in it.
func parseBytea(text []byte) (value, error) {
	if !bytes.HasPrefix(text, []byte(`\x`)) {
		raw, err := unescapedBytes(text)
		return byteaOf(raw), err
	}
	out := append(make([]byte, 0, len(text)), `\x`...)
	for text = text[2:]; len(text) > 0; {
		if bytes.IndexByte([]byte(" \n\t\r"), text[0]) >= 0 {
			text = text[1:]
			continue
		}
		if len(text) < 2 || digitOf(text[0]) > 15 || digitOf(text[1]) > 15 {
			return value{}, errSyntax
		}
		out = append(out, lowerByte(text[0]), lowerByte(text[1]))
		text = text[2:]
	}
	return value{b: out}, nil
}

func byteaOf(raw []byte) value { return value{b: hex.AppendEncode([]byte(`\x`), raw)} }

func unescapedBytes(text []byte) ([]byte, error) {
	raw := make([]byte, 0, len(text))
	for len(text) > 0 {
		octal := func(i int, most byte) bool { return i < len(text) && text[i] >= '0' && text[i] <= most }
		switch {
		case text[0] != '\\':
			raw, text = append(raw, text[0]), text[1:]
		case octal(1, '3') && octal(2, '7') && octal(3, '7'):
			raw, text = append(raw, (text[1]-'0')<<6|(text[2]-'0')<<3|(text[3]-'0')), text[4:]
		case len(text) > 1 && text[1] == '\\':
			raw, text = append(raw, '\\'), text[2:]
		default:
			return nil, errSyntax
		}
	}
	return raw, nil
}

func loadBytea(text []byte) (value, error) {
	if !bytes.HasPrefix(text, []byte(`\x`)) {
		return value{}, errSyntax
	}
	return value{b: text}, nil
}

var errBytea = errors.New("not the output of bytea")

// asLetters writes each byte as the character of its number, so that what works on
// characters works on bytes.
func asLetters(v value) ([]byte, error) {
	raw, err := hex.DecodeString(string(v.b[2:]))
	if err != nil {
		return nil, errBytea
	}
	out := make([]byte, 0, len(raw)+8)
	for _, b := range raw {
		out = utf8.AppendRune(out, rune(b))
	}
	return out, nil
}

// letterArgs are two operands as asLetters has them.
func letterArgs(a, b value) ([]value, error) {
	x, err := asLetters(a)
	if err != nil {
		return nil, err
	}
	y, err := asLetters(b)
	return []value{{b: x}, {b: y}}, err
}

func likeBytea(want bool) func(a, b value) (value, error) {
	return func(a, b value) (value, error) {
		v, err := letterArgs(a, b)
		if err != nil {
			return value{}, err
		}
		ok, err := matchPattern(v[0].b, v[1].b, &sameByte)
		return boolValue(ok == want), err
	}
}

// escapeBytea is like_escape.
func escapeBytea(v []value) (value, error) {
	args, err := letterArgs(v[0], v[1])
	if err != nil {
		return value{}, err
	}
	pattern, err := likeEscape(args)
	if err != nil {
		return value{}, err
	}
	raw := make([]byte, 0, len(pattern.b))
	for _, r := range string(pattern.b) {
		raw = append(raw, byte(r))
	}
	return byteaOf(raw), nil
}
