package expr

import (
	"bytes"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Functions of text: lower and upper, concat, LIKE as a function, the output
// functions.

var letterFunctions = []function{
	{"lower", []kind{kindText}, kindText, letters("lower", false)},
	{"upper", []kind{kindText}, kindText, letters("upper", true)},
}

// letters builds lower() or upper(). What they do depends on the locale of the
// collation; where it is known (Column.Case), letters on which all libraries
// agree are mapped, and others are an error. A constant of ASCII without the
// letter I, which Turkish has its own way with, is the same everywhere.
func letters(name string, up bool) func(*checker, ast, []node) (node, error) {
	return func(c *checker, at ast, args []node) (node, error) {
		known := collationOf(args[0]).letters
		if known == CaseUnknown {
			if k, ok := args[0].(*constant); !ok || !k.value.null && !sameEverywhere(k.value.b, up) {
				return nil, c.fail(at, name+"() is not supported here, as the rules for upper and lower case of the collation are not known")
			}
		}
		return strict(name, kindText, func(args []value) (value, error) {
			b, err := mapLetters(args[0].b, known, up)
			return value{b: b}, err
		})(c, at, args)
	}
}

func sameEverywhere(text []byte, up bool) bool {
	dotted := byte('I')
	if up {
		dotted = 'i'
	}
	return isASCII(text) && bytes.IndexByte(text, dotted) < 0
}

func mapLetters(text []byte, known Case, up bool) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < utf8.RuneSelf && up:
			out = append(out, upperByte(byte(r)))
		case r < utf8.RuneSelf:
			out = append(out, lowerByte(byte(r)))
		case known == CaseASCII, caseless(r):
			out = append(out, text[:n]...)
		case up && settledUpper(r):
			out = utf8.AppendRune(out, unicode.ToUpper(r))
		case !up && settledLower(r):
			out = utf8.AppendRune(out, unicode.ToLower(r))
		default:
			return nil, fmt.Errorf("%w: %q", errLetter, r)
		}
		text = text[n:]
	}
	return out, nil
}

func upperByte(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// settledUpper and settledLower: see settledLetter. Here a sigma is as good as
// another letter, since libc, unlike ICU, does not look at what stands beside it.
func settledUpper(r rune) bool { return settledLetter(r) && r != 'ß' || r == 'σ' || r == 'Σ' }
func settledLower(r rune) bool { return settledLetter(r) || r == 'σ' || r == 'Σ' }

// likeFunctions are LIKE and ILIKE as functions. Postgres has no ilike(); Electric
// does, and the canonical text has the operator.
var likeFunctions = []function{
	{"like", []kind{kindText, kindText}, kindBool, asOperator("~~")},
	{"like", []kind{kindName, kindText}, kindBool, asOperator("~~")},
	{"notlike", []kind{kindText, kindText}, kindBool, asOperator("!~~")},
	{"notlike", []kind{kindName, kindText}, kindBool, asOperator("!~~")},
	{"like", []kind{kindBytea, kindBytea}, kindBool, asOperator("~~")},
	{"notlike", []kind{kindBytea, kindBytea}, kindBool, asOperator("!~~")},
	{"ilike", []kind{kindText, kindText}, kindBool, asOperator("~~*")},
	{"like_escape", []kind{kindText, kindText}, kindText, strict("like_escape", kindText, likeEscape)},
	{"like_escape", []kind{kindBytea, kindBytea}, kindBytea, strict("like_escape", kindBytea, escapeBytea)},
}

func asOperator(name string) func(*checker, ast, []node) (node, error) {
	return func(c *checker, at ast, args []node) (node, error) { return c.apply(at, name, args[0], args[1]) }
}

var errEscape = errors.New("invalid escape string: it must be empty or one character")

// likeEscape is like_escape: the pattern with a backslash for each escape
// character, and its own backslashes escaped.
func likeEscape(v []value) (value, error) {
	pattern, escape := v[0].b, v[1].b
	if len(escape) > 0 && charLen(escape) != len(escape) {
		return value{}, errEscape
	}
	if string(escape) == `\` {
		return value{b: pattern}, nil
	}
	out := make([]byte, 0, len(pattern)+8)
	escaped := false
	for len(pattern) > 0 {
		n := charLen(pattern)
		switch {
		case len(escape) > 0 && !escaped && bytes.Equal(pattern[:n], escape):
			out, escaped, pattern = append(out, '\\'), true, pattern[n:]
			continue
		case pattern[0] == '\\' && !escaped:
			out = append(out, '\\', '\\')
		default:
			out = append(out, pattern[:n]...)
		}
		escaped, pattern = false, pattern[n:]
	}
	return value{b: out}, nil
}

// concatAll checks concat: the output texts of all operands that are not NULL.
func (c *checker) concatAll(at *astCall, args []node) (node, error) {
	types := make([]typ, len(args))
	for i, n := range args {
		n, err := c.text(n)
		if err != nil {
			return nil, err
		}
		if args[i], types[i] = n, n.typeOf(); types[i].kind == kindOther {
			return nil, c.noFunction(at, at.name, args)
		}
	}
	return c.computed(at, &applied{t: typ{kind: kindText}, args: args, lax: true, sql: sqlCall("concat"), apply: func(v []value) (value, error) {
		out := []byte{}
		for i, x := range v {
			if !x.null {
				out = append(out, types[i].output(x)...)
			}
			if len(out) > maxComputed {
				return value{}, errComputed
			}
		}
		return value{b: out}, nil
	}})
}

// outputFunctions: their result is no text in Postgres but must be cast to it,
// which the canonical text does.
func outputFunctions() []function {
	var list []function
	for k, name := range map[kind]string{
		kindBool: "boolout", kindInt2: "int2out", kindInt4: "int4out", kindInt8: "int8out", kindFloat4: "float4out",
		kindFloat8: "float8out", kindNumeric: "numeric_out", kindUUID: "uuid_out", kindBytea: "byteaout", kindDate: "date_out",
		kindTimestamp: "timestamp_out", kindTimestamptz: "timestamptz_out", kindTime: "time_out", kindTimetz: "timetz_out", kindInterval: "interval_out",
	} {
		list = append(list, function{name, []kind{k}, kindText, func(c *checker, at ast, args []node) (node, error) {
			return c.computed(at, &applied{t: typ{kind: kindText}, args: args,
				apply: func(v []value) (value, error) { return value{b: outputText(k, v[0])}, nil },
				sql: func(p printer, args []node) {
					sqlCall(name)(p, args)
					p.WriteString("::text")
				}})
		}})
	}
	return list
}
