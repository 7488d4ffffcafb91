package shape

import (
	"iter"
	"slices"
)

// ByID holds pointers by the IDs of shapes. IDs are given one after another, so that most
// of those that live are neighbours: a page of pointers for pageIDs of them, found over
// blocks of pages, is half of what a map takes, one place in memory that no cache has for
// each look and not two, and in the order of the IDs. A shape that is alone in its page
// takes the whole of it, 512 bytes.
//
// It has one owner. Make one with NewByID.
type ByID[T any] struct {
	stride  uint64
	n       int
	numbers []uint64 // of the blocks, sorted
	blocks  []*block[T]
}

const (
	pageIDs    = 64
	blockPages = 256
	blockIDs   = pageIDs * blockPages
)

type block[T any] struct {
	n     int // pages in use
	used  [blockPages]uint8
	pages [blockPages]*[pageIDs]*T
}

// NewByID makes one for IDs that leave the same rest when divided by stride, all IDs if
// it is 1.
func NewByID[T any](stride int) *ByID[T] { return &ByID[T]{stride: uint64(stride)} }

// Len is how many there are.
func (b *ByID[T]) Len() int { return b.n }

// Get returns what there is for an ID, or nil.
func (b *ByID[T]) Get(id ID) *T {
	key := uint64(id) / b.stride
	i, ok := slices.BinarySearch(b.numbers, key/blockIDs)
	if !ok {
		return nil
	}
	p := b.blocks[i].pages[key%blockIDs/pageIDs]
	if p == nil {
		return nil
	}
	return p[key%pageIDs]
}

// Put puts something in for an ID, instead of what there was. It is not nil.
func (b *ByID[T]) Put(id ID, v *T) {
	key := uint64(id) / b.stride
	i, ok := slices.BinarySearch(b.numbers, key/blockIDs)
	if !ok {
		b.numbers = slices.Insert(b.numbers, i, key/blockIDs)
		b.blocks = slices.Insert(b.blocks, i, new(block[T]))
	}
	k, n := b.blocks[i], key%blockIDs/pageIDs
	if k.pages[n] == nil {
		k.pages[n] = new([pageIDs]*T)
		k.n++
	}
	at := &k.pages[n][key%pageIDs]
	if *at == nil {
		k.used[n]++
		b.n++
	}
	*at = v
}

// Delete takes out what there is for an ID, if there is something.
func (b *ByID[T]) Delete(id ID) {
	if b.Get(id) == nil {
		return
	}
	key := uint64(id) / b.stride
	i, _ := slices.BinarySearch(b.numbers, key/blockIDs)
	k, n := b.blocks[i], key%blockIDs/pageIDs
	k.pages[n][key%pageIDs] = nil
	b.n--
	if k.used[n]--; k.used[n] > 0 {
		return
	}
	k.pages[n] = nil
	if k.n--; k.n == 0 {
		b.numbers = slices.Delete(b.numbers, i, i+1)
		b.blocks = slices.Delete(b.blocks, i, i+1)
	}
}

// All iterates over them in the order of the IDs. What is put in or taken out meanwhile
// may be met or not.
func (b *ByID[T]) All() iter.Seq[*T] { return b.From(0) }

// From is All without the IDs below one that has the same rest as they, or 0.
func (b *ByID[T]) From(id ID) iter.Seq[*T] {
	key := uint64(id) / b.stride
	return func(yield func(*T) bool) {
		i, found := slices.BinarySearch(b.numbers, key/blockIDs)
		page, first := 0, 0
		if found {
			page, first = int(key%blockIDs/pageIDs), int(key%pageIDs)
		}
		for _, k := range slices.Clone(b.blocks[i:]) {
			for _, p := range k.pages[page:] {
				if p != nil {
					for _, v := range p[first:] {
						if v != nil && !yield(v) {
							return
						}
					}
				}
				first = 0
			}
			page = 0
		}
	}
}

// Clone is a copy that has the same pointers. It takes the time of copying memory: with a
// million some milliseconds.
func (b *ByID[T]) Clone() *ByID[T] {
	c := &ByID[T]{stride: b.stride, n: b.n, numbers: slices.Clone(b.numbers), blocks: make([]*block[T], len(b.blocks))}
	for i, k := range b.blocks {
		to := *k
		for n, p := range k.pages {
			if p != nil {
				page := *p
				to.pages[n] = &page
			}
		}
		c.blocks[i] = &to
	}
	return c
}
