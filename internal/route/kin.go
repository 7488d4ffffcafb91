package route

import (
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

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

// InDoubt reports whether a relation may be a partition of a table with shapes: its
// rows cannot be routed before that is known. Only partitions come to a publication by
// themselves, unless it is one of all tables or of a schema; what comes then is mostly
// told by its columns.
func (x *Index) InDoubt(rel *wal.Relation) bool {
	if x.roots == 0 {
		return false
	}
	if _, known := x.kin[rel.OID]; known {
		return false
	}
	for _, t := range x.tables {
		for version := range t.versions {
			if MayHold(version, rel) {
				return true
			}
		}
	}
	return false
}

// MayHold reports whether a relation may be a partition of a table: it has all columns
// of the key, which every shape on the table has.
func MayHold(t *shape.Table, rel *wal.Relation) bool {
	return shape.Align(t, rel).Check(t.KeyColumns()) == nil
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
