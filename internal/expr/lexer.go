package expr

import (
	"strings"
	"unicode/utf8"
)

// maxIdent is how much of an identifier Postgres keeps, in bytes (NAMEDATALEN-1).
const maxIdent = 63

// lexer cuts a clause into tokens by the rules of Postgres 15's scan.l, with
// the integer notations of Postgres 16 added. A fault of the text becomes a
// tokBad: the parser reports it only if it gets that far, as Postgres does.
type lexer struct {
	src string
	pos int // byte offset of the next unread byte
	run operatorRun
}

// lex cuts the whole text. The last token is a tokEnd or a tokBad.
func lex(src string) []token {
	l := lexer{src: src}
	tokens := make([]token, 0, len(src)/4+2)
	for {
		t := l.next()
		tokens = append(tokens, t)
		if t.kind == tokEnd || t.kind == tokBad {
			return tokens
		}
	}
}

// at returns the byte i places ahead, 0 at the end. (The text holds no NUL.)
func (l *lexer) at(i int) byte {
	if l.pos+i < len(l.src) {
		return l.src[l.pos+i]
	}
	return 0
}

func (l *lexer) next() token {
	if bad, ok := l.skipBlank(); !ok {
		return bad
	}
	start := l.pos
	c := l.at(0)
	switch {
	case start >= len(l.src):
		return token{kind: tokEnd, pos: start, end: start}
	case c == '\'':
		l.pos++
		return l.quoted(start, tokString)
	case c == '"':
		return l.quotedIdent(start)
	case isDigit(c), c == '.' && isDigit(l.at(1)):
		return l.number(start)
	case isIdentStart(c):
		return l.wordOrPrefixed(start)
	case c == '$':
		return l.dollar(start)
	case isOpByte(c):
		return l.operator(start)
	}
	return l.punct(start)
}

// skipBlank skips white space and comments.
func (l *lexer) skipBlank() (token, bool) {
	for l.pos < len(l.src) {
		switch c := l.at(0); {
		case isBlank(c):
			l.pos++
		case c == '-' && l.at(1) == '-':
			l.lineComment()
		case c == '/' && l.at(1) == '*':
			if start := l.pos; !l.blockComment() {
				return l.bad(start, "unterminated /* comment"), false
			}
		default:
			return token{}, true
		}
	}
	return token{}, true
}

func (l *lexer) lineComment() {
	for l.pos < len(l.src) && l.at(0) != '\n' && l.at(0) != '\r' {
		l.pos++
	}
}

// blockComment skips a comment, which may hold others.
func (l *lexer) blockComment() bool {
	depth := 0
	for l.pos < len(l.src) {
		switch {
		case l.at(0) == '/' && l.at(1) == '*':
			depth++
			l.pos += 2
		case l.at(0) == '*' && l.at(1) == '/':
			depth--
			l.pos += 2
			if depth == 0 {
				return true
			}
		default:
			l.pos++
		}
	}
	return false
}

// bad makes a token of a fault that begins at start; everything after it is lost.
func (l *lexer) bad(start int, reason string) token {
	return token{kind: tokBad, pos: start, end: len(l.src), text: reason}
}

// junk is the fault of a number or parameter that a letter follows.
func (l *lexer) junk(start int, what string) token {
	for isIdentByte(l.at(0)) {
		l.pos++
	}
	t := l.bad(start, what)
	t.end = l.pos
	return t
}

func (l *lexer) wordOrPrefixed(start int) token {
	if l.at(1) == '\'' {
		switch l.at(0) {
		case 'e', 'E':
			l.pos += 2
			return l.escaped(start)
		case 'b', 'B', 'x', 'X':
			l.pos += 2
			return l.quoted(start, tokBits)
		case 'n', 'N': // is nchar '…'
			l.pos++
			return token{kind: tokKeyword, pos: start, end: l.pos, text: "nchar", class: keywords["nchar"]}
		}
	}
	if c := l.at(0); (c == 'u' || c == 'U') && l.at(1) == '&' && (l.at(2) == '\'' || l.at(2) == '"') {
		return l.unicode(start)
	}
	for isIdentByte(l.at(0)) {
		l.pos++
	}
	word := truncate(foldASCII(l.src[start:l.pos]), maxIdent)
	t := token{kind: tokIdent, pos: start, end: l.pos, text: word}
	if class, ok := keywords[word]; ok {
		t.kind, t.class = tokKeyword, class
	}
	return t
}

func (l *lexer) quotedIdent(start int) token {
	t := l.delimited(start)
	if t.kind == tokIdent {
		t.text = truncate(t.text, maxIdent)
	}
	return t
}

// delimited reads an identifier in quotes, whole.
func (l *lexer) delimited(start int) token {
	var b strings.Builder
	for l.pos++; l.pos < len(l.src); l.pos++ {
		if l.at(0) == '"' {
			if l.at(1) != '"' {
				l.pos++
				if b.Len() == 0 {
					t := l.bad(start, "zero-length delimited identifier")
					t.end = l.pos
					return t
				}
				return token{kind: tokIdent, pos: start, end: l.pos, text: b.String()}
			}
			l.pos++
		}
		b.WriteByte(l.at(0))
	}
	return l.bad(start, "unterminated quoted identifier")
}

// number reads digits, a fraction, an exponent; or 0x, 0o, 0b. Underscores may
// stand between digits.
func (l *lexer) number(start int) token {
	if l.at(0) == '0' {
		if t, ok := l.basedInt(start); ok {
			return t
		}
	}
	kind := tokInt
	l.digits()
	if l.at(0) == '.' && l.at(1) != '.' {
		kind = tokDecimal
		l.pos++
		if isDigit(l.at(0)) {
			l.digits()
		}
	}
	if c := l.at(0); c == 'e' || c == 'E' {
		n := 1
		if l.at(1) == '+' || l.at(1) == '-' {
			n = 2
		}
		if isDigit(l.at(n)) {
			kind = tokDecimal
			l.pos += n
			l.digits()
		}
	}
	if isIdentStart(l.at(0)) {
		return l.junk(start, "trailing junk after numeric literal")
	}
	text := strings.ReplaceAll(l.src[start:l.pos], "_", "")
	return token{kind: kind, pos: start, end: l.pos, text: text}
}

func (l *lexer) digits() {
	for isDigit(l.at(0)) || l.at(0) == '_' && isDigit(l.at(1)) {
		l.pos++
	}
}

// basedInt reads 0x1F, 0o17 or 0b11.
func (l *lexer) basedInt(start int) (token, bool) {
	var base int
	switch l.at(1) {
	case 'x', 'X':
		base = 16
	case 'o', 'O':
		base = 8
	case 'b', 'B':
		base = 2
	default:
		return token{}, false
	}
	l.pos += 2
	from := l.pos
	for digitOf(l.at(0)) < base || l.at(0) == '_' && digitOf(l.at(1)) < base {
		l.pos++
	}
	if l.pos == from {
		return l.junk(start, "invalid integer literal"), true
	}
	if isIdentByte(l.at(0)) {
		return l.junk(start, "trailing junk after numeric literal"), true
	}
	digits := strings.ReplaceAll(l.src[from:l.pos], "_", "")
	return token{kind: tokInt, pos: start, end: l.pos, text: decimalOf(digits, base)}, true
}

// dollar reads a parameter or a dollar-quoted string.
func (l *lexer) dollar(start int) token {
	l.pos++
	if isDigit(l.at(0)) {
		for isDigit(l.at(0)) {
			l.pos++
		}
		if isIdentStart(l.at(0)) {
			return l.junk(start, "trailing junk after parameter")
		}
		return token{kind: tokParam, pos: start, end: l.pos, text: l.src[start+1 : l.pos]}
	}
	if isIdentStart(l.at(0)) {
		for isIdentByte(l.at(0)) && l.at(0) != '$' {
			l.pos++
		}
	}
	if l.at(0) != '$' {
		l.pos = start
		return l.punct(start)
	}
	l.pos++
	tag := l.src[start:l.pos]
	n := strings.Index(l.src[l.pos:], tag)
	if n < 0 {
		return l.bad(start, "unterminated dollar-quoted string")
	}
	text := l.src[l.pos : l.pos+n]
	l.pos += n + len(tag)
	return token{kind: tokString, pos: start, end: l.pos, text: text}
}

// operator applies the rules of scan.l: the longest run of operator characters,
// cut where a comment begins; without its trailing + and - unless it holds a
// character that no SQL operator has.
func (l *lexer) operator(start int) token {
	if start >= l.run.end {
		l.run = l.operatorRun(start)
	}
	end := l.run.end
	if l.run.special < start {
		end = max(l.run.unsigned, start) + 1
	}
	op := l.src[start:end]
	l.pos = start + len(op)
	t := token{kind: tokOp, pos: start, end: l.pos, text: op}
	switch op {
	case "!=":
		t.text = "<>"
	case "=>":
		t.kind = tokPunct
	}
	return t
}

// operatorRun is a run of operator characters. Several operators may be cut from
// one, so what has to be known of it is found once: a text may be all +.
type operatorRun struct {
	end      int // where it ends, or a comment begins
	special  int // its last character that no SQL operator has, -1 if there is none
	unsigned int // its last character that is neither + nor -, -1 if there is none
}

func (l *lexer) operatorRun(start int) operatorRun {
	run := operatorRun{end: start, special: -1, unsigned: -1}
	for ; run.end < len(l.src) && isOpByte(l.src[run.end]); run.end++ {
		rest := l.src[run.end:]
		if run.end > start && (strings.HasPrefix(rest, "/*") || strings.HasPrefix(rest, "--")) {
			break
		}
		c := rest[0]
		if strings.IndexByte("~!@#^&|`?%", c) >= 0 {
			run.special = run.end
		}
		if c != '+' && c != '-' {
			run.unsigned = run.end
		}
	}
	return run
}

func (l *lexer) punct(start int) token {
	var n int
	if two := l.src[start:min(start+2, len(l.src))]; two == "::" || two == ":=" || two == ".." {
		n = 2
	} else {
		_, n = utf8.DecodeRuneInString(l.src[start:])
	}
	l.pos = start + n
	return token{kind: tokPunct, pos: start, end: l.pos, text: l.src[start:l.pos]}
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isIdentStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isIdentByte(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }

func isOpByte(c byte) bool { return c != 0 && strings.IndexByte("~!@#^&|`?+-*/%<>=", c) >= 0 }
