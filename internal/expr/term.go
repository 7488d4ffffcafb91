package expr

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// conjunction is a term that asks what both ask; possible is false if no row can
// have both. Of several ranges the first is kept.
func conjunction(s, t Term) (both Term, possible bool) {
	both = slices.Clone(s)
	for _, a := range t {
		if both, possible = both.with(a); !possible {
			return nil, false
		}
	}
	slices.SortStableFunc(both, func(a, b Anchor) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		if a.Kind == AnchorWithin {
			return 0
		}
		return cmp.Or(a.Col-b.Col, strings.Compare(a.Low, b.Low))
	})
	return both, true
}

// with adds an anchor. One that the term has for the same column becomes what
// both leave.
func (t Term) with(a Anchor) (Term, bool) {
	for i, b := range t {
		if b.Col != a.Col || (a.Kind == AnchorPart) != (b.Kind == AnchorPart) {
			continue
		}
		if a.Kind == AnchorHas || a.Kind == AnchorPart {
			if a.Low == b.Low {
				return t, true
			}
			continue
		}
		if a.Kind == AnchorIs && b.Kind == AnchorWithin {
			a, b = b, a
		}
		switch {
		case a.Kind == AnchorIs:
			return t, a.Low == b.Low
		case b.Kind == AnchorIs:
			t[i] = b
			return t, a.Low <= b.Low && (a.Open || b.Low < a.High)
		}
		b.Low = max(a.Low, b.Low)
		switch {
		case b.Open:
			b.High, b.Open = a.High, a.Open
		case !a.Open:
			b.High = min(a.High, b.High)
		}
		t[i] = b
		return t, b.Open || b.Low < b.High
	}
	return append(t, a), true
}

// narrow leaves one range in a term, one with both ends if there is one; and one
// part, the longest, if it asks for no value and no element: behind them it would
// cost memory and spare little.
func (t Term) narrow() Term {
	within, part := -1, -1
	for i, a := range t {
		switch {
		case a.Kind == AnchorWithin && (within < 0 || a.closed() && !t[within].closed()):
			within = i
		case a.Kind == AnchorPart && t[0].Kind == AnchorPart && (part < 0 || len(a.Low) > len(t[part].Low)):
			part = i
		}
	}
	var kept Term
	for i, a := range t {
		if a.Kind == AnchorIs || a.Kind == AnchorHas || i == within || i == part {
			kept = append(kept, a)
		}
	}
	return kept
}

func (a *Anchor) closed() bool { return !a.Open && a.Low != "" }

// dedup drops repeated terms and keeps the order.
func dedup(list []Term) []Term {
	if len(list) < 2 {
		return list
	}
	seen := make(map[string]bool, len(list))
	kept := list[:0]
	for _, t := range list {
		if name := packTerms([]Term{t}); !seen[name] {
			seen[name] = true
			kept = append(kept, t)
		}
	}
	return kept
}

// packTerms brings terms into one string: a million clauses keep theirs, and a
// key that the index needs is a part of it. "" stands for nil.
func packTerms(terms []Term) string {
	if terms == nil {
		return ""
	}
	text := func(b []byte, s string) []byte {
		return append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b := binary.AppendUvarint(nil, uint64(len(terms)))
	for _, t := range terms {
		b = binary.AppendUvarint(b, uint64(len(t)))
		for _, a := range t {
			kind := byte(a.Kind) << 1
			if a.Open {
				kind |= 1
			}
			b = binary.AppendUvarint(append(b, kind), uint64(a.Col))
			b = text(b, a.Low)
			if a.Kind == AnchorWithin {
				b = text(b, a.High)
			}
		}
	}
	return string(b)
}

// plan reads what packTerms wrote.
type plan string

func (p *plan) number() int {
	n, shift := 0, 0
	for {
		c := (*p)[0]
		*p = (*p)[1:]
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
		shift += 7
	}
}

func (p *plan) text() string {
	n := p.number()
	s := string((*p)[:n])
	*p = (*p)[n:]
	return s
}

func unpackTerms(packed string) (terms []Term, known bool) {
	if packed == "" {
		return nil, false
	}
	p := plan(packed)
	terms = make([]Term, p.number())
	for i := range terms {
		terms[i] = make(Term, p.number())
		for k := range terms[i] {
			a := &terms[i][k]
			kind := p[0]
			p = p[1:]
			a.Kind, a.Open = AnchorKind(kind>>1), kind&1 != 0
			a.Col = p.number()
			a.Low = p.text()
			if a.Kind == AnchorWithin {
				a.High = p.text()
			}
		}
	}
	return terms, true
}

// planOf is what is kept of a clause's terms.
func planOf(root node) string {
	terms := termsOf(root)
	for i, t := range terms {
		terms[i] = t.narrow()
	}
	return packTerms(terms)
}
