package expr

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"unicode/utf8"
)

// A jsonb is kept as its output text: keys sorted and there once, numbers as
// numeric has them, one blank after a comma or a colon. So a part of it is a part
// of the text. A json is kept as it was written.

var (
	errJSONEscape = errors.New("unsupported Unicode escape sequence")
	errJSONDepth  = errors.New("json is nested too deeply")
)

// maxJSONDepth is for what input functions read. (Postgres's limit is its stack.)
const maxJSONDepth = 1000

// document is a JSON value: kind is the first byte of its text, '0' for numbers.
type document struct {
	kind  byte
	text  []byte     // as it stands in the text that was read
	str   []byte     // a string without its escapes
	elems []document // of an array or an object
	keys  [][]byte   // of an object, as long as elems
	// behind is the text with the blanks before it, of a whole document.
	behind []byte
}

func (d *document) scalar() bool { return d.kind != '[' && d.kind != '{' }

// jsonReader reads a JSON text by the rules of Postgres's jsonapi.c.
type jsonReader struct {
	text  []byte
	pos   int
	depth int // how many levels are left; negative: any number
	parts int // read so far
	// decode: strings are wanted without escapes, and those that no text can hold
	// are errors.
	decode bool
}

// readJSON reads a whole text.
func readJSON(text []byte, depth int, decode bool) (document, error) {
	r := jsonReader{text: text, depth: depth, decode: decode}
	d, err := r.value()
	d.behind = text[:r.pos]
	if err == nil && r.peek() != 0 {
		err = errSyntax
	}
	return d, err
}

// loadJSON reads a text that Postgres wrote.
func loadJSON(text []byte) (document, error) { return readJSON(text, -1, true) }

// peek is the next byte that is no blank, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.text) {
		switch c := r.text[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) accept(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

func (r *jsonReader) value() (document, error) {
	c := r.peek()
	from := r.pos
	var d document
	var err error
	if r.parts++; r.parts > maxParts {
		return d, errParts
	}
	switch c {
	case '{', '[':
		if r.depth == 0 {
			return d, errJSONDepth
		}
		r.depth--
		d, err = r.container(c)
		r.depth++
	case '"':
		d.str, err = r.string()
	default:
		c, err = r.word()
	}
	d.kind, d.text = c, r.text[from:r.pos]
	return d, err
}

// container reads an object or an array.
func (r *jsonReader) container(open byte) (document, error) {
	var d document
	closing := open + 2
	r.pos++
	if r.accept(closing) {
		return d, nil
	}
	for {
		if open == '{' {
			if r.peek() != '"' {
				return d, errSyntax
			}
			key, err := r.string()
			if err != nil {
				return d, err
			}
			if !r.accept(':') {
				return d, errSyntax
			}
			d.keys = append(d.keys, key)
		}
		e, err := r.value()
		if err != nil {
			return d, err
		}
		d.elems = append(d.elems, e)
		if r.accept(closing) {
			return d, nil
		}
		if !r.accept(',') {
			return d, errSyntax
		}
	}
}

// word reads true, false, null or a number.
func (r *jsonReader) word() (byte, error) {
	from := r.pos
	for r.pos < len(r.text) && isJSONWord(r.text[r.pos]) {
		r.pos++
	}
	text := r.text[from:r.pos]
	switch string(text) {
	case "true", "false", "null":
		return text[0], nil
	}
	if !isJSONNumber(text) {
		return 0, errSyntax
	}
	return '0', nil
}

func isJSONWord(c byte) bool {
	return isDigit(c) || isIdentStart(c) || c == '-' || c == '+' || c == '.'
}

func isJSONNumber(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte("-"))
	n := countDigits(text)
	if n == 0 || n > 1 && text[0] == '0' {
		return false
	}
	text = text[n:]
	if len(text) > 0 && text[0] == '.' {
		n = countDigits(text[1:])
		if n == 0 {
			return false
		}
		text = text[1+n:]
	}
	if len(text) > 0 && (text[0] == 'e' || text[0] == 'E') {
		text = text[1:]
		if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
			text = text[1:]
		}
		n = countDigits(text)
		return n > 0 && n == len(text)
	}
	return len(text) == 0
}

func countDigits(text []byte) int {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}

// string reads a quoted string.
func (r *jsonReader) string() ([]byte, error) {
	r.pos++
	from, plain := r.pos, true
	var out []byte
	for r.pos < len(r.text) {
		c := r.text[r.pos]
		switch {
		case c == '"':
			r.pos++
			if plain {
				return r.text[from : r.pos-1], nil
			}
			return out, nil
		case c < ' ':
			return nil, errSyntax
		case c != '\\':
			if !plain {
				out = append(out, c)
			}
			r.pos++
			continue
		}
		if plain {
			out, plain = bytes.Clone(r.text[from:r.pos]), false
		}
		r.pos++
		var err error
		if out, err = r.escape(out); err != nil {
			return nil, err
		}
	}
	return nil, errSyntax
}

// escape reads what follows a backslash.
func (r *jsonReader) escape(out []byte) ([]byte, error) {
	if r.pos == len(r.text) {
		return nil, errSyntax
	}
	c := r.text[r.pos]
	if c == 'u' {
		return r.unicode(out)
	}
	i := bytes.IndexByte([]byte(`"\/bfnrt`), c)
	if i < 0 {
		return nil, errSyntax
	}
	r.pos++
	return append(out, "\"\\/\b\f\n\r\t"[i]), nil
}

// unicode reads uXXXX, and the second half of a pair.
func (r *jsonReader) unicode(out []byte) ([]byte, error) {
	n, ok := r.hex()
	if !ok {
		return nil, errSyntax
	}
	if !r.decode {
		return out, nil
	}
	if n >= 0xD800 && n < 0xDC00 {
		if !bytes.HasPrefix(r.text[r.pos:], []byte(`\u`)) {
			return nil, errSyntax
		}
		r.pos++
		low, ok := r.hex()
		if !ok || low < 0xDC00 || low > 0xDFFF {
			return nil, errSyntax
		}
		n = 0x10000 + (n-0xD800)<<10 + low - 0xDC00
	}
	switch {
	case n == 0:
		return nil, errJSONEscape
	case n >= 0xDC00 && n <= 0xDFFF:
		return nil, errSyntax
	}
	return utf8.AppendRune(out, n), nil
}

func (r *jsonReader) hex() (rune, bool) {
	n := rune(0)
	if len(r.text)-r.pos < 5 {
		return 0, false
	}
	for _, c := range r.text[r.pos+1 : r.pos+5] {
		d := digitOf(c)
		if d > 15 {
			return 0, false
		}
		n = n<<4 | rune(d)
	}
	r.pos += 5
	return n, true
}

// parseJSON is json_in: the text is only checked.
func parseJSON(text []byte) (value, error) {
	_, err := readJSON(text, maxJSONDepth, false)
	return value{b: text}, err
}

// parseJSONB is jsonb_in.
func parseJSONB(text []byte) (value, error) {
	d, err := readJSON(text, maxJSONDepth, true)
	if err != nil {
		return value{}, err
	}
	b, err := d.appendCanonical(make([]byte, 0, len(text)))
	return value{b: b}, err
}

// appendCanonical writes a document as jsonb_out does. Of equal keys the last
// counts.
func (d *document) appendCanonical(b []byte) ([]byte, error) {
	switch d.kind {
	case '"':
		return appendJSONString(b, d.str), nil
	case '0':
		n, err := parseNumeric(d.text)
		return append(b, n.b...), err
	case '{', '[':
	default:
		return append(b, d.text...), nil
	}
	order := d.order()
	b = append(b, d.kind)
	var err error
	for i, at := range order {
		if i > 0 {
			b = append(b, ", "...)
		}
		if d.kind == '{' {
			b = append(appendJSONString(b, d.keys[at]), ": "...)
		}
		if b, err = d.elems[at].appendCanonical(b); err != nil {
			return nil, err
		}
	}
	return append(b, d.kind+2), nil
}

// order is the places of the elements: an object's by their keys, shorter ones
// first.
func (d *document) order() []int {
	order := make([]int, len(d.elems))
	for i := range order {
		order[i] = i
	}
	if d.kind != '{' {
		return order
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := d.keys[i], d.keys[j]
		return cmp.Or(len(a)-len(b), bytes.Compare(a, b), j-i)
	})
	return slices.CompactFunc(order, func(i, j int) bool { return bytes.Equal(d.keys[i], d.keys[j]) })
}

// appendJSONString is escape_json.
func appendJSONString(b, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		switch i := bytes.IndexByte([]byte("\"\\\b\f\n\r\t"), c); {
		case i >= 0:
			b = append(b, '\\', `"\bfnrt`[i])
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// compareJSONB is 0 for values that are equal; else it says nothing of their
// order, which depends on the database's collation. Numbers that are equal may
// have different texts.
func compareJSONB(a, b value) int { return bytes.Compare(withoutScales(a.b), withoutScales(b.b)) }

// withoutScales cuts the zeros that end the fractions of numbers.
func withoutScales(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			from := i
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			i++
			out = append(out, text[from:i]...)
		case isDigit(c):
			from := i
			for i < len(text) && (isDigit(text[i]) || text[i] == '.') {
				i++
			}
			number := text[from:i]
			if bytes.IndexByte(number, '.') >= 0 {
				number = bytes.TrimRight(bytes.TrimRight(number, "0"), ".")
			}
			out = append(out, number...)
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}
