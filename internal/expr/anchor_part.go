package expr

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Patterns are found by a part of their text: a row that matches '%overdue-%' has
// "erdue-" in it. Parts are looked up in lower case, so that LIKE and ILIKE share
// an index; the clause decides on the rest.
const (
	shortPart = 3 // bytes
	longPart  = 6 // far fewer texts share one
	// maxPartText is the length up to which a text is cut, in bytes: two lookups
	// for each byte are cheaper than evaluating clauses, until they are not.
	maxPartText = 16 << 10
)

// AppendParts appends all parts of a text, in lower case. False: it is too long,
// or holds a letter that some locale lowers to one of ASCII; such a text may match
// any anchor of its column.
func AppendParts(dst []string, text []byte) ([]string, bool) {
	if len(text) > maxPartText || bytes.Contains(text, []byte("İ")) || bytes.Contains(text, []byte("\u212A")) {
		return dst, false
	}
	low := lowerASCII(text)
	for i := shortPart; i <= len(low); i++ {
		dst = append(dst, low[i-shortPart:i])
		if i >= longPart {
			dst = append(dst, low[i-longPart:i])
		}
	}
	return dst, true
}

func lowerASCII(text []byte) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, c := range text {
		b.WriteByte(lowerByte(c))
	}
	return b.String()
}

// patternTerms: a text that is LIKE or ILIKE a constant.
func patternTerms(n *operation) []Term {
	k, ok := n.r.(*constant)
	col, isColumn := keyColumn(n.l)
	if !ok || k.value.null || !isColumn || keyClass(col.kind) != kindText {
		return nil
	}
	run := longestRun(k.value.b, n.op.name == "~~*")
	switch {
	case len(run) >= longPart:
		run = run[len(run)-longPart:]
	case len(run) >= shortPart:
		run = run[len(run)-shortPart:]
	default:
		return nil
	}
	return []Term{{{Kind: AnchorPart, Col: col.pos, Low: lowerASCII(run)}}}
}

// longestRun is the longest text between the wildcards of a pattern; of ASCII
// letters only if others may lower to something else.
func longestRun(pattern []byte, asciiOnly bool) []byte {
	var run, best []byte
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '%', c == '_', asciiOnly && c >= utf8.RuneSelf:
			run = nil
			continue
		case c == '\\' && i+1 < len(pattern):
			if i++; asciiOnly && pattern[i] >= utf8.RuneSelf {
				run = nil
				continue
			}
			c = pattern[i]
		}
		if run = append(run, c); len(run) > len(best) {
			best = run
		}
	}
	return best
}
