package expr

import (
	"bytes"
	"math"
	"slices"
	"strconv"
)

// pathOperators take a text[] on the right.
var pathOperators = map[string]struct {
	json   bool // takes json too
	result kind // kindUnknown: that of the left operand
	apply  func(d *document, list []value, k kind) value
}{
	"#>":  {true, kindUnknown, func(d *document, list []value, k kind) value { return part(follow(d, list, k), k) }},
	"#>>": {true, kindText, func(d *document, list []value, k kind) value { return part(follow(d, list, k), kindText) }},
	"?|":  {false, kindBool, func(d *document, list []value, _ kind) value { return boolValue(d.countKeys(list, true) > 0) }},
	"?&":  {false, kindBool, func(d *document, list []value, _ kind) value { return boolValue(d.countKeys(list, false) == 0) }},
}

// countKeys counts those of a list that are there, or that are not. NULL is
// neither.
func (d *document) countKeys(list []value, there bool) int {
	n := 0
	for _, v := range list {
		if !v.null && d.hasKey(v.b) == there {
			n++
		}
	}
	return n
}

// follow goes down a path; nil: there is nothing.
func follow(d *document, path []value, k kind) *document {
	if k == kindJSON {
		w := newWalk(path)
		w.visit(d, 0)
		if len(path) == 0 {
			if d.scalar() { // Postgres then takes what stands before it too
				return &document{kind: d.kind, text: d.behind, str: d.str}
			}
			return d
		}
		return w.found
	}
	for _, step := range path {
		switch d.kind {
		case '{':
			d = member(d, step, k)
		case '[':
			n, ok := placeOf(step.b)
			if !ok {
				return nil
			}
			d = elementOfJSON(d, value{n: n}, k)
		default:
			return nil
		}
		if d == nil {
			return nil
		}
	}
	return d
}

// walk looks a path up in a json as get_worker of Postgres's jsonfuncs.c does: in
// the order of the text, the last that fits counts. A place from the end becomes
// one from the beginning at the first array of its level, wherever that array is,
// and stays it; what comes of that is not what the manual promises, but is what
// Postgres gives.
type walk struct {
	path   []value
	places []int64
	on     []bool // the way down to this level is that of the path
	found  *document
}

const noPlace = math.MinInt32

func newWalk(path []value) *walk {
	w := &walk{path: path, places: make([]int64, len(path)), on: make([]bool, len(path)+1)}
	w.on[0] = true
	for i, step := range path {
		n, ok := placeOf(step.b)
		if !ok {
			n = noPlace
		}
		w.places[i] = n
	}
	return w
}

func (w *walk) visit(d *document, level int) {
	if d.scalar() || level == len(w.path) {
		return
	}
	if n := w.places[level]; d.kind == '[' && n < 0 && n != noPlace && -n <= int64(len(d.elems)) {
		w.places[level] += int64(len(d.elems))
	}
	for i := range d.elems {
		fits := w.on[level] && (d.kind == '[' && int64(i) == w.places[level] || d.kind == '{' && bytes.Equal(d.keys[i], w.path[level].b))
		last := level+1 == len(w.path)
		if fits {
			w.on[level+1] = true
			if last {
				w.found = &d.elems[i]
			}
		}
		w.visit(&d.elems[i], level+1)
		w.on[level+1] = false
	}
}

// placeOf reads a number as C's strtol does: blanks before it, and a sign.
func placeOf(text []byte) (int64, bool) {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	n, err := strconv.ParseInt(string(text), 10, 32)
	return n, err == nil && n != math.MinInt32
}

// path checks an operator over json and a path or a list of keys.
func (c *checker) path(at ast, name string, l, r node) (node, error) {
	op := pathOperators[name]
	k := l.typeOf().kind
	if k == kindUnknown && r.typeOf().kind == kindUnknown && name == "?|" {
		return nil, c.noOperator(at, l, r) // it is one of lines, too
	}
	if k == kindUnknown && !op.json {
		k = kindJSONB
	}
	texts := arrayOf(typ{kind: kindText})
	if k != kindJSONB && (k != kindJSON || !op.json) || !coercible(r.typeOf(), texts) {
		return nil, c.noOperator(at, l, r)
	}
	l, err := c.coerce(l, typ{kind: k})
	if err != nil {
		return nil, err
	}
	if r, err = c.coerce(r, texts); err != nil {
		return nil, err
	}
	result := op.result
	if result == kindUnknown {
		result = k
	}
	return c.computed(at, &applied{t: typ{kind: result}, args: []node{l, r},
		sql: func(p printer, args []node) { p.infix(args[0], name, args[1]) },
		apply: func(v []value) (value, error) {
			list := v[1].array.elems
			if result != kindBool && slices.ContainsFunc(list, func(step value) bool { return step.null }) {
				return value{null: true}, nil // whatever the json is
			}
			d, err := loadJSON(v[0].b)
			if err != nil {
				return value{}, err
			}
			if result == kindBool && len(list)*len(d.elems) > maxPairs {
				return value{}, errJSONPairs
			}
			return op.apply(&d, list, k), nil
		}})
}
