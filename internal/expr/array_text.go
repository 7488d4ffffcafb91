package expr

import (
	"errors"
	"fmt"
	"strconv"
)

// maxParts is how many elements of an array, or parts of a document, are read: of two
// bytes each they take a hundred when they are read.
const maxParts = 1 << 20

var errParts = errors.New("it has too many parts")

var errDimensions = errors.New("multidimensional arrays must have sub-arrays with matching dimensions")

// parseArray is array_in: it reads a literal of Postgres 15's form.
func parseArray(text []byte, element typ) (*array, error) {
	r := arrayReader{text: text, element: element}
	r.blank()
	bounds, err := r.bounds()
	if err != nil {
		return nil, err
	}
	if !r.accept('{') {
		return nil, errSyntax
	}
	if err := r.level(0); err != nil {
		return nil, err
	}
	r.blank()
	if r.pos < len(text) {
		return nil, errSyntax
	}
	return r.finish(bounds)
}

// arrayReader reads one literal.
type arrayReader struct {
	text    []byte
	pos     int
	element typ
	elems   []value
	sizes   [maxDimensions]int64 // of each level, as its first member has it; 0: not known yet
	depth   int                  // of the elements, 0: none was seen
}

func (r *arrayReader) peek() byte {
	if r.pos < len(r.text) {
		return r.text[r.pos]
	}
	return 0
}

func (r *arrayReader) accept(c byte) bool {
	if r.pos < len(r.text) && r.text[r.pos] == c {
		r.pos++
		return true
	}
	return false
}

func (r *arrayReader) blank() {
	for r.pos < len(r.text) && isBlank(r.text[r.pos]) {
		r.pos++
	}
}

// bounds reads [1:2][3]= before the braces.
func (r *arrayReader) bounds() ([]dimension, error) {
	var dims []dimension
	for r.accept('[') {
		if len(dims) == maxDimensions {
			return nil, dimensionsError(len(dims) + 1)
		}
		lower, upper := int64(1), int64(0)
		n, ok := r.integer()
		if !ok {
			return nil, errSyntax
		}
		if r.accept(':') {
			lower = n
			if upper, ok = r.integer(); !ok {
				return nil, errSyntax
			}
		} else {
			upper = n
		}
		if !r.accept(']') || upper < lower || upper == maxSubscript {
			return nil, errSyntax
		}
		dims = append(dims, dimension{lower, upper - lower + 1})
		r.blank()
	}
	if dims == nil {
		return nil, nil
	}
	if !r.accept('=') {
		return nil, errSyntax
	}
	r.blank()
	return dims, nil
}

func (r *arrayReader) integer() (int64, bool) {
	from := r.pos
	for c := r.peek(); isDigit(c) || r.pos == from && (c == '-' || c == '+'); c = r.peek() {
		r.pos++
	}
	n, err := strconv.ParseInt(string(r.text[from:r.pos]), 10, 32)
	return n, err == nil
}

// dimensionsError is a literal of too many dimensions.
type dimensionsError int

func (n dimensionsError) Error() string {
	return fmt.Sprintf("number of dimensions (%d) exceeds maximum of %d", int(n), maxDimensions)
}

// level reads the members of an open brace, and its closing one. Only the
// outermost may be empty.
func (r *arrayReader) level(depth int) error {
	if depth >= maxDimensions {
		return dimensionsError(depth + 1)
	}
	n := int64(0)
	for r.blank(); ; r.blank() {
		if n == 0 && r.accept('}') {
			break
		}
		if err := r.member(depth); err != nil {
			return err
		}
		n++
		r.blank()
		if r.accept('}') {
			break
		}
		if !r.accept(',') {
			return errSyntax
		}
	}
	if n == 0 && depth > 0 || r.sizes[depth] != 0 && r.sizes[depth] != n {
		return errDimensions
	}
	r.sizes[depth] = n
	return nil
}

// member reads one element or sub-array.
func (r *arrayReader) member(depth int) error {
	if r.accept('{') {
		if r.depth > 0 && r.depth <= depth+1 {
			return errDimensions // an element stands beside a sub-array
		}
		return r.level(depth + 1)
	}
	if r.depth != 0 && r.depth != depth+1 || depth+1 < maxDimensions && r.sizes[depth+1] != 0 {
		return errDimensions
	}
	r.depth = depth + 1
	v, err := r.item()
	if err != nil {
		return err
	}
	if r.elems = append(r.elems, v); len(r.elems) > maxParts {
		return errParts
	}
	return nil
}

// item reads one element: quoted, or up to a delimiter without the blanks around
// it. NULL in any case is NULL unless quoted or escaped.
func (r *arrayReader) item() (value, error) {
	if r.accept('"') {
		return r.quoted()
	}
	from, end, plain := r.pos, r.pos, true
	var text []byte
	for r.pos < len(r.text) {
		c := r.text[r.pos]
		switch c {
		case '"', '{':
			return value{}, errSyntax
		case ',', '}':
			return r.unquoted(text[:end-from], plain)
		case '\\':
			r.pos++
			if r.pos == len(r.text) {
				return value{}, errSyntax
			}
			// What the backslash takes away moves the start, so that end - from
			// stays the length of the text.
			from++
			text = append(text, r.text[r.pos])
			r.pos++
			end, plain = r.pos, false
			continue
		}
		text = append(text, c)
		r.pos++
		if !isBlank(c) {
			end = r.pos
		}
	}
	return value{}, errSyntax
}

func (r *arrayReader) unquoted(text []byte, plain bool) (value, error) {
	if len(text) == 0 {
		return value{}, errSyntax
	}
	if plain && len(text) == 4 && foldASCII(string(text)) == "null" {
		return value{null: true}, nil
	}
	return readConstant(r.element, text)
}

// quoted reads the rest of a "…" element.
func (r *arrayReader) quoted() (value, error) {
	text := []byte{}
	for r.pos < len(r.text) {
		c := r.text[r.pos]
		r.pos++
		switch c {
		case '"':
			if r.blank(); r.peek() != ',' && r.peek() != '}' {
				return value{}, errSyntax
			}
			return readConstant(r.element, text)
		case '\\':
			if r.pos == len(r.text) {
				return value{}, errSyntax
			}
			c = r.text[r.pos]
			r.pos++
		}
		text = append(text, c)
	}
	return value{}, errSyntax
}

// finish makes the array; bounds that were written must fit.
func (r *arrayReader) finish(bounds []dimension) (*array, error) {
	a := &array{elems: r.elems}
	if len(r.elems) == 0 {
		if bounds != nil {
			return nil, errDimensions
		}
		return a, nil
	}
	for _, n := range r.sizes[:r.depth] {
		a.dims = append(a.dims, dimension{1, n})
	}
	if bounds == nil {
		return a, nil
	}
	if len(bounds) != len(a.dims) {
		return nil, errDimensions
	}
	for i := range bounds {
		if bounds[i].n != a.dims[i].n {
			return nil, errDimensions
		}
	}
	a.dims = bounds
	return a, nil
}

// arrayText is array_out.
func arrayText(a *array, element kind) []byte {
	if len(a.elems) == 0 {
		return []byte("{}")
	}
	var b []byte
	shifted := false
	for _, d := range a.dims {
		shifted = shifted || d.lower != 1
	}
	if shifted {
		for _, d := range a.dims {
			b = fmt.Appendf(b, "[%d:%d]", d.lower, d.lower+d.n-1)
		}
		b = append(b, '=')
	}
	w := arrayWriter{b: b, rest: a.elems, element: element}
	w.level(a.dims)
	return w.b
}

type arrayWriter struct {
	b       []byte
	rest    []value
	element kind
}

func (w *arrayWriter) level(dims []dimension) {
	w.b = append(w.b, '{')
	for i := range dims[0].n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if len(dims) > 1 {
			w.level(dims[1:])
			continue
		}
		w.item(w.rest[0])
		w.rest = w.rest[1:]
	}
	w.b = append(w.b, '}')
}

func (w *arrayWriter) item(v value) {
	if v.null {
		w.b = append(w.b, "NULL"...)
		return
	}
	text := outputText(w.element, v)
	if !needsQuotes(text) {
		w.b = append(w.b, text...)
		return
	}
	w.b = append(w.b, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			w.b = append(w.b, '\\')
		}
		w.b = append(w.b, c)
	}
	w.b = append(w.b, '"')
}

func needsQuotes(text []byte) bool {
	if len(text) == 0 || len(text) == 4 && foldASCII(string(text)) == "null" {
		return true
	}
	for _, c := range text {
		switch c {
		case '"', '\\', '{', '}', ',':
			return true
		}
		if isBlank(c) {
			return true
		}
	}
	return false
}
