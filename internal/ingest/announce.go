package ingest

import (
	"slices"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// announced is how a relation was told last. Postgres tells it anew after each ANALYZE of
// its table, mostly with nothing new; to hand that to a million shapes takes 0.4 s of CPU.
type announced struct {
	rel    *wal.Relation
	joined int // how many of spine.joined were there
	// early are those to whom it said nothing, as their first rows have seen the transaction:
	// the table may have been another when they were read.
	early []shape.ID
}

// maxJoined bounds spine.joined. Beyond it all shapes are told once more.
const maxJoined = 64 << 10

// relation hands a Relation message to the shapes that it may be news for.
func (s *spine) relation(tx *wal.Txn, rel *wal.Relation) {
	if f := s.in.opts.OnRelation; f != nil {
		f(rel)
	}
	if len(s.joined) > maxJoined {
		s.joined = nil
		clear(s.told)
	}
	a := s.told[rel.OID]
	s.ids = s.news(a, rel, s.ids[:0])
	if a == nil {
		a = new(announced)
		s.told[rel.OID] = a
	}
	a.rel, a.joined, a.early = rel, len(s.joined), a.early[:0]
	all := make([]*told, len(s.shards))
	for _, id := range s.ids {
		sh := s.shardOf(id)
		if sp := sh.shapes.Get(id); sp != nil && sp.Sees() != nil && tx.Commit < sp.Sees().Until {
			a.early = append(a.early, id)
		}
		t := all[sh.n]
		if t == nil {
			t = &told{rel: rel}
			all[sh.n] = t
			sh.out = append(sh.out, step{kind: stepRelation, tx: tx, told: t})
		}
		t.ids = append(t.ids, id)
	}
}

// news appends the shapes on a relation that do not know yet what it is like: all if it
// is not as it was told last, else those that have come since, and those that it said nothing to.
func (s *spine) news(a *announced, rel *wal.Relation, dst []shape.ID) []shape.ID {
	if a == nil || !alike(a.rel, rel) {
		return s.index.Shapes(rel.OID, dst)
	}
	if a.joined == len(s.joined) && len(a.early) == 0 {
		return dst
	}
	fresh := make(map[shape.ID]bool)
	for _, id := range s.joined[a.joined:] {
		fresh[id] = true
	}
	for _, id := range a.early {
		fresh[id] = true
	}
	return slices.DeleteFunc(s.index.Shapes(rel.OID, dst), func(id shape.ID) bool { return !fresh[id] })
}

func alike(a, b *wal.Relation) bool {
	return a.OID == b.OID && a.Schema == b.Schema && a.Name == b.Name && a.Identity == b.Identity && slices.Equal(a.Columns, b.Columns)
}
