package expr

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// cursor is a place in the tokens of a clause. The first fault is kept in err and
// makes every later step of the parsers a no-op.
type cursor struct {
	src    string
	tokens []token
	i      int
	// prefix is the length of what stands before the clause in the statement that
	// it would be part of; syntax errors are counted from there.
	prefix int
	field  string // the request parameter
	err    *Error
}

func (c *cursor) peek() token { return c.tokens[c.i] }

// peekAt looks n tokens ahead; the last token repeats for ever.
func (c *cursor) peekAt(n int) token {
	return c.tokens[min(c.i+n, len(c.tokens)-1)]
}

func (c *cursor) advance() token {
	t := c.tokens[c.i]
	if c.i < len(c.tokens)-1 {
		c.i++
	}
	return t
}

// fail keeps a fault without a place.
func (c *cursor) fail(msg string) {
	if c.err == nil {
		c.err = &Error{Field: c.field, Msg: msg}
	}
}

// failAt keeps a fault at a byte offset of the clause, counted from the beginning of
// the statement. Clients get characters.
func (c *cursor) failAt(pos int, reason string) {
	n := c.prefix + utf8.RuneCountInString(c.src[:pos])
	c.fail("At location " + strconv.Itoa(n) + ": " + reason)
}

// unexpected reports a syntax error at the next token.
func (c *cursor) unexpected() {
	t := c.peek()
	reason := "syntax error"
	if t.kind == tokBad {
		reason = t.text
	}
	if t.pos >= len(c.src) {
		reason += " at end of input"
	} else {
		reason += ` at or near "` + c.src[t.pos:t.end] + `"`
	}
	c.failAt(t.pos, reason)
}

// parts reads a name with its qualifiers; star is the token of a * among them.
func (c *cursor) parts() (parts []string, star token) {
	parts = []string{c.advance().text}
	for c.err == nil && c.peek().is(".") {
		c.advance()
		switch t := c.peek(); {
		case t.kind == tokIdent, t.kind == tokKeyword:
			parts = append(parts, c.advance().text)
		case t.is("*"):
			return parts, t
		default:
			c.unexpected()
		}
	}
	return parts, token{}
}

// wordNode names the node of Postgres's tree that a keyword begins and that no
// clause of ours may hold, "" if there is none.
func wordNode(word string, next token) string {
	switch word {
	case "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_role",
		"current_user", "session_user", "system_user", "user", "current_catalog", "current_schema":
		return "SQLValueFunction"
	}
	if !next.is("(") {
		return ""
	}
	switch word {
	case "exists":
		return "SubLink"
	case "grouping":
		return "GroupingFunc"
	case "overlay", "position", "substring", "treat", "trim", "normalize":
		return "FuncCall"
	}
	if strings.HasPrefix(word, "xml") {
		return "XmlExpr"
	}
	return ""
}
