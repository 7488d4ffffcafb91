package route

import (
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Index finds shapes by change. Create it with New.
type Index struct {
	tables  map[uint32]*table
	entries map[shape.ID]*entry
	kin     Kin
	roots   int    // shapes on partitioned tables
	stamp   uint64 // of the present change, see entry.seen
	key     []byte
	keys    []string
}

// New returns an empty index.
func New() *Index {
	return &Index{
		tables:  make(map[uint32]*table),
		entries: make(map[shape.ID]*entry),
	}
}

// entry is one shape in the index.
type entry struct {
	id    shape.ID
	def   *shape.Def
	seen  uint64  // stamp of the last change that it was looked at for
	all   int32   // its place in table.all
	slots []int32 // its places: one for each anchor, or one in plain or linear
	one   [1]int32
}

// Len is the number of shapes.
func (x *Index) Len() int { return len(x.entries) }

// Add takes a shape in. Adding one that is there changes nothing.
func (x *Index) Add(id shape.ID, def *shape.Def) {
	if x.entries[id] != nil {
		return
	}
	e := &entry{id: id, def: def}
	e.slots = e.one[:]
	x.entries[id] = e
	t := x.tables[def.Table.OID]
	if t == nil {
		t = &table{}
		x.tables[def.Table.OID] = t
	}
	t.add(e)
	if partitioned(def) {
		x.roots++
	}
}

// Remove takes a shape out. Removing one that is not there changes nothing.
func (x *Index) Remove(id shape.ID) {
	e := x.entries[id]
	if e == nil {
		return
	}
	delete(x.entries, id)
	if partitioned(e.def) {
		x.roots--
	}
	oid := e.def.Table.OID
	t := x.tables[oid]
	t.remove(e)
	if len(t.all) == 0 {
		delete(x.tables, oid)
	}
}

// Shapes appends all shapes of a table to dst.
func (x *Index) Shapes(oid uint32, dst []shape.ID) []shape.ID {
	dst = x.tables[oid].appendAll(dst)
	for _, p := range x.kin[oid] {
		dst = x.tables[p].appendAll(dst)
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
