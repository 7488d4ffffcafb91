package route

// slab holds values by number, so that links are four bytes each and a million
// values are few objects for the garbage collector. A page that nobody uses goes.
type slab[T any] struct {
	pages []*[pageSize]T
	used  []int32 // of each page
	free  []int32
	n     int32 // numbers given out so far
}

const pageSize = 64

func (s *slab[T]) at(n int32) *T { return &s.pages[n/pageSize][n%pageSize] }

func (s *slab[T]) add(v T) int32 {
	var n int32
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
	} else {
		n = s.n
		s.n++
	}
	p := n / pageSize
	if int(p) == len(s.pages) {
		s.pages, s.used = append(s.pages, nil), append(s.used, 0)
	}
	if s.pages[p] == nil {
		s.pages[p] = new([pageSize]T)
	}
	s.used[p]++
	*s.at(n) = v
	return n
}

func (s *slab[T]) remove(n int32) {
	var none T
	*s.at(n) = none
	p := n / pageSize
	if s.used[p]--; s.used[p] == 0 {
		s.pages[p] = nil
	}
	s.free = append(s.free, n)
}
