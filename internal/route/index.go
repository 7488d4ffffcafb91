package route

import (
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Index finds shapes by change. Create it with New.
type Index struct {
	tables  map[uint32]*table
	numbers map[shape.ID]int32 // in entries
	entries slab[entry]
	places  slab[place] // but the first of each entry
	nodes   slab[node]  // but the tables' roots
	kin     Kin
	roots   int     // shapes on partitioned tables
	stamp   uint64  // of the present change, see entry.seen
	found   []int32 // entries that the change must be tried on
	sure    []int32 // entries that it touches
	key     []byte
	looked  uint64
	spread  Spread
	hits    []bool // of found, see trySpread
}

// Spread runs do(0) to do(parts-1), side by side where it can, and returns when
// all have.
type Spread func(parts int, do func(part int))

// spreadPart is how many shapes are tried one after the other: some 50 µs.
const spreadPart = 256

// SetSpread lets a change that must be tried on many shapes be tried on them side
// by side. It is the caller who owns goroutines.
func (x *Index) SetSpread(s Spread) { x.spread = s }

// New returns an empty index.
func New() *Index {
	return &Index{
		tables:  make(map[uint32]*table),
		numbers: make(map[shape.ID]int32),
	}
}

// entry is one shape in the index, and one line of a processor's cache.
type entry struct {
	id    shape.ID
	seen  uint64 // stamp of the last change that it was looked at for
	place        // of the first term of its clause, if there is one
	whole bool   // its places are all there is of its clause
	all   int32  // where it is in table.all
	plain int32  // where it is in table.plain; without a WHERE clause only
	def   *shape.Def
	_     [8]byte
}

// Len is the number of shapes.
func (x *Index) Len() int { return len(x.numbers) }

// Looked is the number of shapes that were looked at over all changes so far, and their
// clauses evaluated if need be: what a change costs besides its own size.
func (x *Index) Looked() uint64 { return x.looked }

// Add takes a shape in. Adding one that is there changes nothing.
func (x *Index) Add(id shape.ID, def *shape.Def) {
	if _, ok := x.numbers[id]; ok {
		return
	}
	n := x.entries.add(entry{id: id, def: def})
	x.numbers[id] = n
	t := x.tables[def.Table.OID]
	if t == nil {
		t = &table{}
		x.tables[def.Table.OID] = t
	}
	x.add(t, n)
	if partitioned(def) {
		x.roots++
	}
}

// Remove takes a shape out. Removing one that is not there changes nothing.
func (x *Index) Remove(id shape.ID) {
	n, ok := x.numbers[id]
	if !ok {
		return
	}
	delete(x.numbers, id)
	if partitioned(x.entries.at(n).def) {
		x.roots--
	}
	oid := x.entries.at(n).def.Table.OID
	t := x.tables[oid]
	x.remove(t, n)
	x.entries.remove(n)
	if len(t.all) == 0 {
		delete(x.tables, oid)
	}
}

// Shapes appends all shapes of a table to dst.
func (x *Index) Shapes(oid uint32, dst []shape.ID) []shape.ID {
	dst = x.everyOf(x.tables[oid], dst)
	for _, p := range x.kin[oid] {
		dst = x.everyOf(x.tables[p], dst)
	}
	return dst
}

func (x *Index) everyOf(t *table, dst []shape.ID) []shape.ID {
	if t == nil {
		return dst
	}
	for _, n := range t.all {
		dst = append(dst, x.entries.at(n).id)
	}
	return dst
}

// Route appends the shapes that a change may touch to dst.
func (x *Index) Route(ch *wal.Change, dst []shape.ID) []shape.ID {
	x.stamp++
	dst = x.route(x.tables[ch.Rel.OID], ch, dst)
	for _, p := range x.kin[ch.Rel.OID] {
		dst = x.route(x.tables[p], ch, dst)
	}
	return dst
}
