package route

import "hash/maphash"

// keys is a hash table from keys to targets. With a million shapes a change finds none of
// it in a cache, so an entry, a key of up to sixteen bytes in it, is one place in memory,
// where Go's map takes three; and it holds no pointers, so that the garbage collector
// need not look at it.
//
// It is cut into pages, by the first bits of a key's hash, which grow and are split one by
// one: taking in the millionth shape must not stop the stream until all others have moved.
// A page is searched from where the last bits of the hash point to, up to a free place.
type keys struct {
	seed  maphash.Seed
	n     int
	depth uint8   // how many bits choose a page
	dir   []*page // 1<<depth, a page that is not split as often several times
	long  slab[string]
}

type page struct {
	slots []slot // a power of two
	used  int
	depth uint8 // bits that all its keys have in common
}

// slot is free if it has no target.
type slot struct {
	key  [inlineKey]byte
	kept int32 // of a key that is longer: its number in keys.long, plus one
	n    uint8 // the length of one that is not
	tag  uint8 // of its hash
	to   target
}

const (
	inlineKey = 16
	firstPage = 4
	fullPage  = 4096
)

func newKeys() *keys { return &keys{seed: maphash.MakeSeed(), dir: []*page{newPage(firstPage, 0)}} }

func newPage(slots int, depth uint8) *page {
	return &page{slots: make([]slot, slots), depth: depth}
}

func tagOf(hash uint64) uint8 { return uint8(hash >> 24) }

func (k *keys) page(hash uint64) *page { return k.dir[hash>>(64-k.depth)] } // a shift by 64 gives 0

// find is the target of a key, 0 if it is not there.
func (k *keys) find(key []byte) target {
	s := lookUp(k, key, maphash.Bytes(k.seed, key))
	if s == nil {
		return 0
	}
	return s.to
}

func (k *keys) findString(key string) target {
	s := lookUp(k, key, maphash.String(k.seed, key))
	if s == nil {
		return 0
	}
	return s.to
}

func lookUp[T string | []byte](k *keys, key T, hash uint64) *slot {
	p := k.page(hash)
	mask := len(p.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		switch s := &p.slots[i]; {
		case s.to == 0:
			return nil
		case s.tag == tagOf(hash) && is(k, s, key):
			return s
		}
	}
}

func is[T string | []byte](k *keys, s *slot, key T) bool {
	if s.kept != 0 {
		return *k.long.at(s.kept - 1) == string(key)
	}
	return int(s.n) == len(key) && string(s.key[:s.n]) == string(key)
}

func (k *keys) hash(s *slot) uint64 {
	if s.kept != 0 {
		return maphash.String(k.seed, *k.long.at(s.kept - 1))
	}
	return maphash.Bytes(k.seed, s.key[:s.n])
}

// set gives a key another target, which is not 0.
func (k *keys) set(key string, to target) {
	hash := maphash.String(k.seed, key)
	if s := lookUp(k, key, hash); s != nil {
		s.to = to
		return
	}
	s := slot{tag: tagOf(hash), to: to}
	if len(key) <= inlineKey {
		s.n = uint8(copy(s.key[:], key))
	} else {
		s.kept = k.long.add(key) + 1
	}
	for p := k.page(hash); (p.used+1)*4 > len(p.slots)*3; p = k.page(hash) {
		k.grow(p, hash)
	}
	k.page(hash).put(s, hash)
	k.n++
}

// put needs a free place.
func (p *page) put(s slot, hash uint64) {
	mask := len(p.slots) - 1
	i := int(hash) & mask
	for p.slots[i].to != 0 {
		i = (i + 1) & mask
	}
	p.slots[i] = s
	p.used++
}

// grow makes room in the page of a hash.
func (k *keys) grow(p *page, hash uint64) {
	if len(p.slots) < fullPage {
		k.resize(p, 2*len(p.slots))
		return
	}
	if p.depth == k.depth {
		dir := make([]*page, 0, 2*len(k.dir))
		for _, p := range k.dir {
			dir = append(dir, p, p)
		}
		k.dir, k.depth = dir, k.depth+1
	}
	halves := [2]*page{newPage(fullPage, p.depth+1), newPage(fullPage, p.depth+1)}
	for i := range p.slots {
		if s := &p.slots[i]; s.to != 0 {
			h := k.hash(s)
			halves[h>>(63-p.depth)&1].put(*s, h)
		}
	}
	// Its places in dir are beside each other, and the halves of them the halves'.
	n := 1 << (k.depth - p.depth)
	first := int(hash>>(64-k.depth)) &^ (n - 1)
	for i := range n {
		k.dir[first+i] = halves[2*i/n]
	}
}

func (k *keys) resize(p *page, slots int) {
	was := p.slots
	p.slots, p.used = make([]slot, slots), 0
	for i := range was {
		if s := &was[i]; s.to != 0 {
			p.put(*s, k.hash(s))
		}
	}
}

// remove takes a key out that is there.
func (k *keys) remove(key string) {
	hash := maphash.String(k.seed, key)
	p, s := k.page(hash), lookUp(k, key, hash)
	if s.kept != 0 {
		k.long.remove(s.kept - 1)
	}
	k.n--
	p.used--
	mask := len(p.slots) - 1
	free := int(hash) & mask
	for &p.slots[free] != s {
		free = (free + 1) & mask
	}
	// Those behind it that were put there since it stood in their way move up.
	for i := (free + 1) & mask; p.slots[i].to != 0; i = (i + 1) & mask {
		home := int(k.hash(&p.slots[i])) & mask
		if (i-home)&mask >= (i-free)&mask {
			p.slots[free] = p.slots[i]
			free = i
		}
	}
	p.slots[free] = slot{}
	if len(p.slots) > firstPage && p.used < len(p.slots)/8 {
		k.resize(p, len(p.slots)/2)
	}
}

// all are all targets.
func (k *keys) all(yield func(target) bool) {
	for i := 0; i < len(k.dir); {
		p := k.dir[i]
		for n := range p.slots {
			if to := p.slots[n].to; to != 0 && !yield(to) {
				return
			}
		}
		i += 1 << (k.depth - p.depth)
	}
}
