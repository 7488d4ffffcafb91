package route

// spans finds the ranges of one column that hold a key: a treap ordered by the
// ranges' ends, each subtree knowing its highest end, so that a search costs the
// depth and what it finds.
type spans struct {
	column *column
	root   *span
	seed   uint64
}

// span is one range, low ≤ key < high.
type span struct {
	low         string
	high        end
	top         end // the highest in the subtree
	left, right *span
	list        link
	rank        uint32
}

// end is an upper end; open is above all keys.
type end struct {
	key  string
	open bool
}

func (e end) above(key []byte) bool { return e.open || string(key) < e.key }

func (e end) compare(o end) int {
	switch {
	case e == o:
		return 0
	case o.open || !e.open && e.key < o.key:
		return -1
	}
	return 1
}

func (s *span) compare(low string, high end) int {
	switch {
	case low < s.low:
		return -1
	case low > s.low:
		return 1
	}
	return high.compare(s.high)
}

// at returns the list of a range, made if it is not there.
func (r *spans) at(low, high string, open bool) *link {
	h := end{high, open}
	for s := r.root; s != nil; {
		switch c := s.compare(low, h); {
		case c == 0:
			return &s.list
		case c < 0:
			s = s.left
		default:
			s = s.right
		}
	}
	// Any spread of ranks will do; a counter turned over needs no chance.
	r.seed += 0x9e3779b97f4a7c15
	made := &span{low: low, high: h, top: h, rank: uint32((r.seed ^ r.seed>>29) * 0xbf58476d1ce4e5b9 >> 32)}
	r.root = r.root.insert(made)
	return &made.list
}

func (s *span) insert(made *span) *span {
	if s == nil {
		return made
	}
	if s.compare(made.low, made.high) < 0 {
		if s.left = s.left.insert(made); s.left.rank > s.rank {
			return s.turnRight()
		}
	} else {
		if s.right = s.right.insert(made); s.right.rank > s.rank {
			return s.turnLeft()
		}
	}
	s.measure()
	return s
}

func (s *span) turnRight() *span {
	l := s.left
	s.left, l.right = l.right, s
	s.measure()
	l.measure()
	return l
}

func (s *span) turnLeft() *span {
	r := s.right
	s.right, r.left = r.left, s
	s.measure()
	r.measure()
	return r
}

func (s *span) measure() {
	s.top = s.high
	for _, o := range [2]*span{s.left, s.right} {
		if o != nil && s.top.compare(o.top) < 0 {
			s.top = o.top
		}
	}
}

func (r *spans) remove(low, high string, open bool) { r.root = r.root.remove(low, end{high, open}) }

func (s *span) remove(low string, high end) *span {
	switch c := s.compare(low, high); {
	case c < 0:
		s.left = s.left.remove(low, high)
	case c > 0:
		s.right = s.right.remove(low, high)
	case s.left == nil:
		return s.right
	case s.right == nil:
		return s.left
	case s.left.rank > s.right.rank:
		s = s.turnRight()
		s.right = s.right.remove(low, high)
	default:
		s = s.turnLeft()
		s.left = s.left.remove(low, high)
	}
	s.measure()
	return s
}

// holding collects the list of each range below s that holds a key.
func (x *Index) holding(s *span, key []byte) {
	for s != nil && s.top.above(key) {
		x.holding(s.left, key)
		if s.low > string(key) {
			return
		}
		if s.high.above(key) {
			x.collect(s.list, false)
		}
		s = s.right
	}
}

// every collects all lists below s.
func (x *Index) every(s *span) {
	if s != nil {
		x.every(s.left)
		x.collect(s.list, false)
		x.every(s.right)
	}
}
