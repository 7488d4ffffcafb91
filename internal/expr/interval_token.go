package expr

import "strings"

// tokenClass is what ParseDateTime (datetime.c) takes a piece of a date or an
// interval for.
type tokenClass uint8

const (
	classNumber  tokenClass = iota // digits, perhaps with a point
	classDate                      // digits and delimiters, or digits and text
	classTime                      // digits with colons
	classWord                      // letters
	classSpecial                   // a sign and letters
	classSigned                    // a sign and digits, with : . and - among them
)

type timeToken struct {
	class tokenClass
	text  string // letters in lower case
}

// Limits of interval_in: fields, and bytes of all of them with one more for each.
const (
	maxTimeTokens = 25
	maxTimeText   = 256
)

// timeLexer cuts a text as ParseDateTime does. What no date or interval can hold
// makes it fail.
type timeLexer struct {
	src    string
	pos    int
	used   int // of maxTimeText
	from   int
	tokens []timeToken
}

func timeTokens(text string) ([]timeToken, bool) {
	l := timeLexer{src: text}
	for l.pos < len(text) {
		c := text[l.pos]
		switch {
		case isBlank(c):
			l.pos++
			continue
		case len(l.tokens) == maxTimeTokens:
			return nil, false
		}
		l.from = l.pos
		class, ok := l.token(c)
		if !ok {
			return nil, false
		}
		if class == classNone {
			continue
		}
		piece := strings.ToLower(text[l.from:l.pos])
		if class == classSigned || class == classSpecial { // blanks behind the sign
			piece = piece[:1] + strings.TrimLeft(piece[1:], " \t\n\v\f\r")
		}
		if l.used+len(piece)+1 > maxTimeText {
			return nil, false
		}
		l.used += len(piece) + 1
		l.tokens = append(l.tokens, timeToken{class, piece})
	}
	return l.tokens, true
}

// classNone: punctuation that only parts.
const classNone tokenClass = 255

func (l *timeLexer) peek() byte {
	if l.pos < len(l.src) {
		return l.src[l.pos]
	}
	return 0
}

func (l *timeLexer) while(ok func(c byte) bool) {
	for l.pos < len(l.src) && ok(l.src[l.pos]) {
		l.pos++
	}
}

func (l *timeLexer) token(c byte) (tokenClass, bool) {
	switch {
	case isDigit(c):
		return l.digits(), true
	case c == '.':
		l.pos++
		l.while(isDigit)
		return classNumber, true
	case isLetter(c):
		return l.word(), true
	case c == '+' || c == '-':
		l.pos++
		l.while(isBlank)
		switch {
		case isDigit(l.peek()):
			l.while(func(c byte) bool { return isDigit(c) || c == ':' || c == '.' || c == '-' })
			return classSigned, true
		case isLetter(l.peek()):
			l.while(isLetter)
			return classSpecial, true
		}
		return 0, false
	case c > ' ' && c < 0x7f: // ispunct
		l.pos++
		return classNone, true
	}
	return 0, false
}

// digits reads a token that begins with a digit.
func (l *timeLexer) digits() tokenClass {
	l.while(isDigit)
	delim := l.peek()
	switch delim {
	case ':':
		l.while(func(c byte) bool { return isDigit(c) || c == ':' || c == '.' })
		return classTime
	case '-', '/', '.':
		l.pos++
		if !isDigit(l.peek()) {
			l.while(func(c byte) bool { return isDigit(c) || isLetter(c) || c == delim })
			return classDate
		}
		l.while(isDigit)
		if l.peek() == delim {
			l.while(func(c byte) bool { return isDigit(c) || c == delim })
			return classDate
		}
		if delim != '.' {
			return classDate
		}
	}
	return classNumber
}

// word reads letters, and what follows them if they may be the start of the name
// of a time zone.
func (l *timeLexer) word() tokenClass {
	l.while(isLetter)
	c := l.peek()
	switch {
	case c == '-' || c == '/' || c == '.':
	case (c == '+' || isDigit(c)) && !isDateWord(strings.ToLower(l.src[l.from:l.pos])):
	default:
		return classWord
	}
	l.pos++
	l.while(func(c byte) bool {
		return isDigit(c) || isLetter(c) || strings.IndexByte("+-/_.:", c) >= 0
	})
	return classDate
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// maxWord is how much of a word is looked at (TOKMAXLEN).
const maxWord = 10

func shortWord(word string) string { return word[:min(len(word), maxWord)] }

// isDateWord: the word is one of datetktbl (datetime.c), behind which a number
// begins a token of its own.
func isDateWord(word string) bool { return dateWords[shortWord(word)] }

var dateWords = makeDateWords()

func makeDateWords() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`ad allballs am apr april at aug august bc d dec december dow doy dst epoch feb february
		fri friday h infinity isodow isoyear j jan january jd jul julian july jun june m mar march may mm mon monday nov
		november now oct october on pm s sat saturday sep sept september sun sunday t thu thur thurs thursday today
		tomorrow tue tues tuesday wed wednesday weds y yesterday`) {
		m[shortWord(w)] = true
	}
	return m
}
