package api

import (
	"errors"
	"maps"
	"strings"
	"unicode/utf8"
)

// kind is what a query parameter turned out to be.
type kind uint8

const (
	kindText   kind = iota // name=x
	kindList               // name[]=x&name[]=y
	kindObject             // name[a]=x&name[b]=y
)

// value is one parameter of the query. Repeating a key keeps the last value;
// so does giving it in another form.
type value struct {
	kind   kind
	text   string
	list   []string
	object map[string]string
	// odd: brackets nested deeper than the protocol has any use for. Such a
	// value is wrong wherever it is looked at.
	odd bool
}

// query is a decoded query string.
type query map[string]*value

// errQueryText: a key or value is not UTF-8.
var errQueryText = errors.New("decode the query: invalid UTF-8")

// parseQuery decodes application/x-www-form-urlencoded with brackets
// (http-protocol §5). Malformed % sequences are taken literally. On
// errQueryText the parameters that could be read are returned all the same:
// authentication comes first.
//
// url.ParseQuery is not used: it drops pairs that hold a semicolon or a
// malformed % sequence, and a WHERE clause may hold both.
func parseQuery(raw string) (query, error) {
	q := query{}
	var err error
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		k, v = unescape(k), unescape(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			err = errQueryText
			continue
		}
		q.put(k, v)
	}
	return q, err
}

// put stores one pair: name, name[] or name[key].
func (q query) put(key, text string) {
	name, rest, ok := strings.Cut(key, "[")
	if !ok || name == "" || !strings.HasSuffix(rest, "]") {
		q[key] = &value{kind: kindText, text: text}
		return
	}
	inner := rest[:len(rest)-1]
	want := kindObject
	if inner == "" || strings.HasPrefix(inner, "][") {
		want = kindList
	}
	v := q[name]
	if v == nil || v.kind != want {
		v = &value{kind: want}
		q[name] = v
	}
	switch {
	case strings.ContainsAny(inner, "[]"):
		v.odd = true
	case want == kindList:
		v.list = append(v.list, text)
	default:
		if v.object == nil {
			v.object = map[string]string{}
		}
		v.object[inner] = text
	}
}

// text returns a scalar parameter. A blank value counts as absent. ok is false
// if the parameter is there, but is not a scalar.
func (q query) text(name string) (s string, ok bool) {
	v := q[name]
	if v == nil {
		return "", true
	}
	if v.kind != kindText {
		return "", false
	}
	if strings.TrimSpace(v.text) == "" {
		return "", true
	}
	return v.text, true
}

// hasSubset reports whether anything in the query asks for a subset: the mere
// presence of such a key counts (http-protocol §6).
func (q query) hasSubset() bool {
	for name := range maps.Keys(q) {
		if name == "subset" || strings.HasPrefix(name, "subset__") {
			return true
		}
	}
	return false
}

// unescape decodes + and %XX. It returns s itself if there is nothing to do.
func unescape(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, fromHex(s[i+1])<<4|fromHex(s[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func fromHex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
