package expr

import (
	"bytes"
	"errors"
	"fmt"
)

// Operators of json and jsonb. What they give is a part of their operand's text.

var (
	errJSONCast  = errors.New("jsonb is of another type")
	errJSONPairs = errors.New("both have so many parts that comparing them takes too long")
)

// maxPairs is how many parts of one document are compared with parts of another at the
// most: a second's work, for which the stream of all shapes waits.
const maxPairs = 1 << 24

// size is the number of parts of a document, itself included.
func (d *document) size() int {
	n := 1
	for i := range d.elems {
		n += d.elems[i].size()
	}
	return n
}

// jsonComputations are -> and ->> by a key or a place, and jsonb || jsonb.
var jsonComputations = func() []computation {
	list := []computation{{"||", kindJSONB, kindJSONB, kindJSONB, concatJSONB}}
	for _, k := range []kind{kindJSON, kindJSONB} {
		for _, right := range []kind{kindText, kindInt4} {
			get := member
			if right == kindInt4 {
				get = elementOfJSON
			}
			for name, result := range map[string]kind{"->": k, "->>": kindText} {
				list = append(list, computation{name, k, right, result, func(a, b value) (value, error) {
					d, err := loadJSON(a.b)
					if err != nil {
						return value{}, err
					}
					return part(get(&d, b, k), result), nil
				}})
			}
		}
	}
	return list
}()

// part is a document as a result: nil is NULL, and as a text null is NULL too.
func part(d *document, result kind) value {
	switch {
	case d == nil || result == kindText && d.kind == 'n':
		return value{null: true}
	case result == kindText && d.kind == '"':
		return value{b: append([]byte{}, d.str...)}
	}
	return value{b: d.text}
}

// member is the value of a key; of equal ones the last.
func member(d *document, key value, _ kind) *document {
	if d.kind == '{' {
		for i := len(d.keys) - 1; i >= 0; i-- {
			if bytes.Equal(d.keys[i], key.b) {
				return &d.elems[i]
			}
		}
	}
	return nil
}

// elementOfJSON counts from 0, or from the end with -1. A jsonb that is a scalar is
// an array of one to Postgres.
func elementOfJSON(d *document, place value, k kind) *document {
	n := place.n
	if d.scalar() && k == kindJSONB {
		if n == 0 || n == -1 {
			return d
		}
		return nil
	}
	if n < 0 {
		n += int64(len(d.elems))
	}
	if d.kind != '[' || n < 0 || n >= int64(len(d.elems)) {
		return nil
	}
	return &d.elems[n]
}

func loadBoth(a, b value) (l, r document, err error) {
	if l, err = loadJSON(a.b); err == nil {
		r, err = loadJSON(b.b)
	}
	return l, r, err
}

// concatJSONB merges two objects; anything else becomes one array.
func concatJSONB(a, b value) (value, error) {
	if len(a.b)+len(b.b) > maxComputed {
		return value{}, errComputed
	}
	l, r, err := loadBoth(a, b)
	if err != nil {
		return value{}, err
	}
	both := document{kind: '['}
	if l.kind == '{' && r.kind == '{' {
		both = document{kind: '{', keys: append(l.keys, r.keys...), elems: append(l.elems, r.elems...)}
	} else {
		for _, d := range []document{l, r} {
			if d.kind == '[' {
				both.elems = append(both.elems, d.elems...)
			} else {
				both.elems = append(both.elems, d)
			}
		}
	}
	text, err := both.appendCanonical(nil)
	return value{b: text}, err
}

// jsonbOperators are those that give a bool. An order there is, but it follows the
// database's collation.
func jsonbOperators() []operator {
	list := []operator{
		{name: "@>", right: kindJSONB, apply: func(a, b value) (value, error) { return containsJSON(a, b) }},
		{name: "<@", right: kindJSONB, apply: func(a, b value) (value, error) { return containsJSON(b, a) }},
		{name: "?", right: kindText, apply: func(a, b value) (value, error) {
			d, err := loadJSON(a.b)
			return boolValue(d.hasKey(b.b)), err
		}},
	}
	for _, c := range comparisons {
		op := operator{name: c.name, right: kindJSONB, compare: compareJSONB, rel: c.rel}
		if c.rel != relEQ && c.rel != relNE {
			op.compare, op.prepare = nil, orderOfJSONB
		}
		list = append(list, op)
	}
	for i := range list {
		list[i].left, list[i].result = kindJSONB, kindBool
	}
	return list
}

func orderOfJSONB(*operation, collation) (func(a, b value) (value, error), error) {
	return nil, errors.New("the order of jsonb cannot be decided here, as it depends on the database's collation")
}

// hasKey: an object has the key, an array or a scalar the string.
func (d *document) hasKey(key []byte) bool {
	if d.kind == '"' {
		return bytes.Equal(d.str, key)
	}
	for i, e := range d.elems {
		if d.kind == '{' && bytes.Equal(d.keys[i], key) || d.kind == '[' && e.kind == '"' && bytes.Equal(e.str, key) {
			return true
		}
	}
	return false
}

func containsJSON(a, b value) (value, error) {
	l, r, err := loadBoth(a, b)
	if err != nil {
		return value{}, err
	}
	if len(a.b)*len(b.b) > maxPairs && l.size()*r.size() > maxPairs {
		return value{}, errJSONPairs
	}
	if r.scalar() {
		// A scalar is in an array that has it, and in itself.
		return boolValue(l.kind == '[' && l.hasScalar(&r) || l.scalar() && sameScalar(&l, &r)), nil
	}
	return boolValue(l.contains(&r)), nil
}

// contains is JsonbDeepContains.
func (d *document) contains(sub *document) bool {
	if d.kind != sub.kind {
		return false
	}
	for i := range sub.elems {
		e := &sub.elems[i]
		switch {
		case d.kind == '{':
			own := member(d, value{b: sub.keys[i]}, kindJSONB)
			if own == nil || own.scalar() != e.scalar() || e.scalar() && !sameScalar(own, e) || !e.scalar() && !own.contains(e) {
				return false
			}
		case e.scalar():
			if !d.hasScalar(e) {
				return false
			}
		case !d.hasContaining(e):
			return false
		}
	}
	return true
}

func (d *document) hasScalar(e *document) bool {
	for i := range d.elems {
		if d.elems[i].scalar() && sameScalar(&d.elems[i], e) {
			return true
		}
	}
	return false
}

func (d *document) hasContaining(e *document) bool {
	for i := range d.elems {
		if d.elems[i].contains(e) {
			return true
		}
	}
	return false
}

func sameScalar(a, b *document) bool {
	switch {
	case a.kind != b.kind:
		return false
	case a.kind == '0':
		return compareNumeric(value{b: a.text}, value{b: b.text}) == 0
	case a.kind == '"':
		return bytes.Equal(a.str, b.str)
	}
	return true
}

// jsonbCasts are those of pg_cast; numbers go by way of numeric.
func jsonbCasts() []castRow {
	rows := []castRow{
		{kindJSON, kindJSONB, false, func(v value) (value, error) { return parseJSONB(v.b) }},
		{kindJSONB, kindJSON, false, nil},
		{kindJSONB, kindBool, false, func(v value) (value, error) {
			switch v.b[0] {
			case 't', 'f':
				return boolValue(v.b[0] == 't'), nil
			}
			return value{}, castError(v.b)
		}},
	}
	for to, convert := range map[kind]func(value) (value, error){
		kindNumeric: func(v value) (value, error) { return v, nil }, kindFloat4: numericToFloat4, kindFloat8: numericToFloat8,
		kindInt2: numericToInt(toInt2), kindInt4: numericToInt(toInt4), kindInt8: numericToInt(sameInt),
	} {
		rows = append(rows, castRow{kindJSONB, to, false, func(v value) (value, error) {
			if c := v.b[0]; c != '-' && !isDigit(c) {
				return value{}, castError(v.b)
			}
			return convert(v)
		}})
	}
	return rows
}

// castError: null is an error up to Postgres 17, and NULL since.
func castError(text []byte) error {
	if text[0] == 'n' {
		return errServers
	}
	return fmt.Errorf("%w: %s", errJSONCast, truncate(text, 100))
}
