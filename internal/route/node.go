package route

import (
	"encoding/binary"
	"slices"
)

// place is where a shape stands for one term of its clause. The places behind
// one key are a list. That of the first term is in the entry, so that most shapes are
// one place in memory and not two.
type place struct {
	entry      int32
	prev, next link
	sibling    link // the same shape's place for another term
}

// link leads to a place, 0 to none: twice the number of an entry or, and one more, of
// another place, and two.
type link int32

func linkToFirst(entry int32) link { return link(2*entry + 2) }
func linkTo(n int32) link          { return link(2*n + 3) }

func (l link) place() (n int32, first bool) { return int32(l)/2 - 1, l%2 == 0 }

func (x *Index) place(l link) *place {
	n, first := l.place()
	if first {
		return &x.entries.at(n).place
	}
	return x.places.at(n)
}

// step is one level of a term's way: the values of some columns, or a range of one.
type step struct {
	columns   []*column
	keys      []string
	within    bool
	low, high string
	open      bool
}

// sort brings the columns into one order, so that a set of columns has one hash.
func (s *step) sort() {
	for i := range s.columns {
		for k := i; k > 0 && less(s.columns[k], s.columns[k-1]); k-- {
			s.columns[k], s.columns[k-1] = s.columns[k-1], s.columns[k]
			s.keys[k], s.keys[k-1] = s.keys[k-1], s.keys[k]
		}
	}
}

func less(a, b *column) bool {
	if a.name != b.name {
		return a.name < b.name
	}
	return a.typ.OID < b.typ.OID
}

// key is what a hash is asked for. That of one column is the anchor's own string.
func (s *step) key() string {
	if len(s.keys) == 1 {
		return s.keys[0]
	}
	var b []byte
	for _, k := range s.keys {
		b = appendPart(b, k)
	}
	return string(b)
}

// appendPart appends one of several keys, so that where it ends is known.
func appendPart[T string | []byte](dst []byte, key T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(key))), key...)
}

// node is a level of the index: what has no further anchors, and what has.
type node struct {
	list   link
	hashes []*hash
	ranges []*spans
}

// hash finds what follows by the values of a set of columns.
type hash struct {
	columns []*column
	keys    *keys
}

// target is what a key leads to: a list, or, below 0, a node once one of its shapes has
// a further step. 0 is nothing.
type target int32

func (t target) list() link { return link(max(t, 0)) }

func (t target) node() (n int32, ok bool) { return -int32(t) - 1, t < 0 }

func targetNode(n int32) target { return target(-n - 1) }

func (n *node) empty() bool { return n.list == 0 && len(n.hashes)+len(n.ranges) == 0 }

func (n *node) hash(s *step) *hash {
	for _, h := range n.hashes {
		if slices.Equal(h.columns, s.columns) {
			return h
		}
	}
	h := &hash{columns: s.columns, keys: newKeys()}
	n.hashes = append(n.hashes, h)
	return h
}

func (n *node) spans(s *step) *spans {
	for _, r := range n.ranges {
		if r.column == s.columns[0] {
			return r
		}
	}
	r := &spans{column: s.columns[0]}
	n.ranges = append(n.ranges, r)
	return r
}

// insert puts a place at the end of a way.
func (x *Index) insert(n *node, way []step, p link) {
	if len(way) == 0 {
		x.push(&n.list, p)
		return
	}
	s := &way[0]
	if s.within {
		// A range is the last step.
		x.push(n.spans(s).at(s.low, s.high, s.open), p)
		return
	}
	h := n.hash(s)
	key := s.key()
	t := h.keys.findString(key)
	list := t.list()
	next, further := t.node()
	if !further && len(way) > 1 {
		next, further = x.nodes.add(node{list: list}), true
		t = targetNode(next)
	}
	if further {
		x.insert(x.nodes.at(next), way[1:], p)
	} else {
		x.push(&list, p)
		t = target(list)
	}
	h.keys.set(key, t)
}

// take takes a place from the end of its way, and what becomes empty of the way.
func (x *Index) take(n *node, way []step, p link) {
	if len(way) == 0 {
		x.pull(&n.list, p)
		return
	}
	s := &way[0]
	if s.within {
		r := n.spans(s)
		list := r.at(s.low, s.high, s.open)
		if x.pull(list, p); *list == 0 {
			r.remove(s.low, s.high, s.open)
		}
		if r.root == nil {
			n.ranges = slices.DeleteFunc(n.ranges, func(o *spans) bool { return o == r })
		}
		return
	}
	h := n.hash(s)
	key := s.key()
	t := h.keys.findString(key)
	if next, ok := t.node(); ok {
		further := x.nodes.at(next)
		if x.take(further, way[1:], p); further.empty() {
			x.nodes.remove(next)
			t = 0
		}
	} else {
		list := t.list()
		x.pull(&list, p)
		t = target(list)
	}
	if t != 0 {
		h.keys.set(key, t)
		return
	}
	if h.keys.remove(key); h.keys.n == 0 {
		n.hashes = slices.DeleteFunc(n.hashes, func(o *hash) bool { return o == h })
	}
}

// push puts a place before a list.
func (x *Index) push(list *link, p link) {
	x.place(p).next = *list
	if *list != 0 {
		x.place(*list).prev = p
	}
	*list = p
}

// pull takes a place out of its list.
func (x *Index) pull(list *link, p link) {
	at := x.place(p)
	if at.next != 0 {
		x.place(at.next).prev = at.prev
	}
	if at.prev != 0 {
		x.place(at.prev).next = at.next
	} else {
		*list = at.next
	}
}
