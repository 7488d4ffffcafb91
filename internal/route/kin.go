package route

import "github.com/spillway-sync/spillway/internal/shape"

// Kin says whose shapes get a table's rows besides its own: for a partition or an
// inheritance child the oids of all its ancestors, for another table none. A
// table that is not in it is one of which that is not known. It is never changed
// once an index has it.
//
// The stream names a row by the table that holds it (publish_via_partition_root
// is off, so that shapes of partitions can be served as well), and does not say
// whose partition that is.
type Kin map[uint32][]uint32

// SetKin replaces what the index knows of ancestors.
func (x *Index) SetKin(k Kin) { x.kin = k }

// InDoubt reports whether the table may be a partition of a table with shapes:
// its rows cannot be routed before that is known. Only partitions come to a
// publication by themselves, so that ancestors of other kinds are always known.
func (x *Index) InDoubt(oid uint32) bool {
	if x.roots == 0 {
		return false
	}
	_, known := x.kin[oid]
	return !known
}

// Partitioned appends the shapes on partitioned tables to dst.
func (x *Index) Partitioned(dst []shape.ID) []shape.ID {
	if x.roots == 0 {
		return dst
	}
	for _, t := range x.tables {
		if partitioned(x.entries.at(t.all[0]).def) {
			dst = x.everyOf(t, dst)
		}
	}
	return dst
}

func partitioned(def *shape.Def) bool { return def.Table.Kind == 'p' }
