package route

// slab holds values by number, so that links are four bytes each and a million
// values are few objects for the garbage collector. A page that nobody uses goes.
type slab[T any] struct {
	pages [][]T
	used  []int32 // of each page
	free  []int32
	n     int32 // numbers given out so far
}

// A page is so large that the list of a million entries' pages stays in a processor's
// cache. The first one is not, since most indexes have a shape or a few; the numbers that it has
// no room for are given to nobody.
const (
	pageSize  = 1024
	firstSize = 32
)

func (s *slab[T]) at(n int32) *T { return &s.pages[n/pageSize][n%pageSize] }

func (s *slab[T]) add(v T) int32 {
	var n int32
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
	} else {
		n = s.n
		if s.n++; s.n == firstSize {
			s.n = pageSize
		}
	}
	p := n / pageSize
	if int(p) == len(s.pages) {
		s.pages, s.used = append(s.pages, nil), append(s.used, 0)
	}
	if s.pages[p] == nil {
		s.pages[p] = make([]T, sizeOf(p))
	}
	s.used[p]++
	*s.at(n) = v
	return n
}

func sizeOf(page int32) int {
	if page == 0 {
		return firstSize
	}
	return pageSize
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
