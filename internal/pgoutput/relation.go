package pgoutput

import (
	"slices"

	"github.com/spillway-sync/spillway/internal/wal"
)

// relation reads a Relation message and remembers what it says.
func (d *Decoder) relation(r *reader) (Event, error) {
	rel := &wal.Relation{
		OID:      r.uint32(),
		Schema:   string(r.text()),
		Name:     string(r.text()),
		Identity: r.byte(),
	}
	if rel.Schema == "" {
		rel.Schema = "pg_catalog" // how the protocol shortens it
	}
	n := int(r.uint16())
	for range n {
		flags := r.byte()
		c := wal.RelationColumn{
			Name:   string(r.text()),
			Type:   r.uint32(),
			TypMod: int32(r.uint32()),
			Key:    flags&1 != 0,
		}
		if r.failed {
			break
		}
		rel.Columns = append(rel.Columns, c)
	}
	if err := r.end(); err != nil {
		return Event{}, err
	}
	if d.relations == nil {
		d.relations = make(map[uint32]*wal.Relation)
	}
	if known := d.relations[rel.OID]; known != nil && equal(known, rel) {
		rel = known
	}
	d.relations[rel.OID] = rel
	return Event{Kind: Relation, Rel: rel}, nil
}

func equal(a, b *wal.Relation) bool {
	return a.Schema == b.Schema && a.Name == b.Name && a.Identity == b.Identity && slices.Equal(a.Columns, b.Columns)
}
