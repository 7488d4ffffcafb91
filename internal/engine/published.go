package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// factPublished keeps what published the tables of shapes, as JSON.
const factPublished = "published"

// published is what was seen to publish tables. One that was taken out of the
// publication and put back between two looks, or while we were away, is published as
// it was, and has had changes that nobody told. The catalogue shows it by other rows.
type published struct {
	// Publication stands for the publication's own row: whoever alters it may have
	// let it leave operations out for a while.
	Publication string `json:"publication"`
	// Tables has, for each table with shapes and each member of its family, what
	// publishes it.
	Tables map[uint32]map[uint32][]string `json:"tables"`
}

// publishing keeps published in step with the catalogue, from a table's first shape on.
type publishing struct {
	e *Engine
	// turn, one slot, is held by whoever changes what is known, also while he asks
	// Postgres and writes it down.
	turn  chan struct{}
	known atomic.Pointer[published] // not changed any more
}

func newPublishing(e *Engine) *publishing {
	p := &publishing{e: e, turn: make(chan struct{}, 1)}
	p.known.Store(&published{})
	return p
}

// load reads what was known before the start.
func (p *publishing) load() error {
	v, ok := p.e.registry.Fact(factPublished)
	if !ok {
		return nil
	}
	var known published
	if err := json.Unmarshal(v, &known); err != nil {
		return fmt.Errorf("read fact %s of the catalogue: %w", factPublished, err)
	}
	p.known.Store(&known)
	return nil
}

// reset forgets everything: there are no shapes any more.
func (p *publishing) reset(ctx context.Context) error {
	return p.update(ctx, func() error {
		p.known.Store(&published{})
		if err := p.e.registry.SetFact(factPublished, nil, true); err != nil {
			return &storageError{err}
		}
		return nil
	})
}

// first notes what publishes a table that has got its first shape.
func (p *publishing) first(ctx context.Context, oid uint32) error {
	if p.known.Load().Tables[oid] != nil {
		return nil
	}
	return p.update(ctx, func() error { return p.see(ctx, *p.known.Load(), []uint32{oid}) })
}

// look compares all tables with shapes with what is known of them.
func (p *publishing) look(ctx context.Context, oids []uint32) error {
	return p.update(ctx, func() error { return p.see(ctx, p.remembered(), oids) })
}

func (p *publishing) update(ctx context.Context, do func() error) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remembered is what is known without tables that have no shape any more.
func (p *publishing) remembered() published {
	known := *p.known.Load()
	has := make(map[uint32]bool)
	for _, t := range p.e.registry.Tables() {
		has[t.Table.OID] = true
	}
	known.Tables = maps.Clone(known.Tables)
	maps.DeleteFunc(known.Tables, func(oid uint32, _ map[uint32][]string) bool { return !has[oid] })
	return known
}

// see takes in what publishes some tables, and rotates the shapes that may have missed
// something. It is written down last: after a crash before that it is noticed again.
func (p *publishing) see(ctx context.Context, was published, oids []uint32) error {
	pub, err := p.e.db.Publication(ctx, p.e.cfg.Publication())
	if err != nil || pub == nil {
		return err // that it is gone is noticed by the audit
	}
	all, err := p.e.db.Members(ctx, oids, pub.OID)
	if err != nil {
		return err
	}
	is, gaps := was.learn(pub.Version, all)
	if is.equal(*p.known.Load()) {
		return nil
	}
	altered := was.Publication != "" && was.Publication != pub.Version
	err = p.e.giveUp(ctx, func(sp *registry.Shape) bool {
		return altered && !seesOne(sp, []string{pub.Version})
	}, shape.ReasonContinuity, "the publication was altered, and may have left changes out meanwhile")
	if err != nil {
		return err
	}
	err = p.e.giveUp(ctx, func(sp *registry.Shape) bool {
		return slices.ContainsFunc(gaps[sp.Def().Table.OID], func(by []string) bool { return !seesOne(sp, by) })
	}, shape.ReasonIdentity, "the table, or a partition of it, was not wholly in the publication for a while")
	if err != nil {
		return err
	}
	b, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("note what publishes tables: %w", err)
	}
	if err := p.e.registry.SetFact(factPublished, b, true); err != nil {
		return &storageError{err}
	}
	p.known.Store(&is)
	return nil
}

// seesOne reports whether one of the catalogue's rows was there when a shape's first
// rows were read: nothing has happened since that concerns it.
func seesOne(sp *registry.Shape, rows []string) bool {
	return slices.ContainsFunc(rows, func(row string) bool {
		made, err := pgquery.Made(row)
		return err == nil && sp.Sees().Sees(wal.Txn{XID: made})
	})
}

// learn returns what is known with what the catalogue says of some families, and of the
// members that nothing has published all the time what publishes them now, by table.
func (k published) learn(publication string, all []pgquery.Member) (is published, gaps map[uint32][][]string) {
	families := make(map[uint32]map[uint32][]string)
	gaps = make(map[uint32][][]string)
	for i := range all {
		m := &all[i]
		if families[m.Root] == nil {
			families[m.Root] = make(map[uint32][]string)
		}
		if len(m.By) > 0 {
			families[m.Root][m.OID] = m.By
		}
		was, ok := k.Tables[m.Root][m.OID]
		if ok && !slices.ContainsFunc(m.By, func(by string) bool { return slices.Contains(was, by) }) {
			gaps[m.Root] = append(gaps[m.Root], m.By)
		}
	}
	is = published{publication, maps.Clone(k.Tables)}
	if is.Tables == nil {
		is.Tables = make(map[uint32]map[uint32][]string)
	}
	maps.Copy(is.Tables, families)
	return is, gaps
}

func (k published) equal(other published) bool {
	return k.Publication == other.Publication && maps.EqualFunc(k.Tables, other.Tables, func(a, b map[uint32][]string) bool {
		return maps.EqualFunc(a, b, slices.Equal)
	})
}

// giveUp rotates shapes whose snapshot was taken before what has happened, and returns
// when that is durable.
func (e *Engine) giveUp(ctx context.Context, which func(*registry.Shape) bool, reason shape.Reason, detail string) error {
	var gone []*registry.Shape
	for sp := range e.registry.All() {
		if sp.Sees() != nil && which(sp) {
			gone = append(gone, sp)
		}
	}
	for _, sp := range gone {
		e.stream.Load().ingest.Remove(sp, reason, detail)
	}
	for _, sp := range gone {
		for changed := sp.Changed(); ; changed = sp.Changed() {
			if _, gone := sp.Removed(); gone {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
