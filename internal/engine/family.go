package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/ingest"
	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// factKin holds the parents of tables, as JSON. A replay after a crash must route as it
// was routed before, also while Postgres is away.
const factKin = "parents"

// families keeps what is known of partitions in step with the catalogue, for the
// stream. Four ways lead here: a snapshot sees a family, a Relation message of the
// stream names a table, the reconciler looks from time to time, and a start.
//
// A partition that came into being without rows is taken in silently: all that it
// will ever hold comes through the stream. Any other difference (ATTACH of a table
// with rows, DETACH, DROP of a partition, a new inheritance child) changes what a
// SELECT on the ancestor returns without a word in the stream: shapes on all
// ancestors rotate. So do those on a partition that has left its parent: it may have
// been published in the parent's name only, and then its changes have not come since.
type families struct {
	e *Engine
	// turn, one slot, is held by whoever changes what is known, also while he asks
	// Postgres and writes it down.
	turn  chan struct{}
	known atomic.Pointer[kin]
	// matters: there was a shape that rows of another table may belong to.
	matters atomic.Bool

	mu    sync.Mutex // leaf lock
	heard map[uint32]struct{}
	poke  chan struct{} // one slot: heard is not empty
	look  chan struct{} // one slot: the reconciler should look now
}

func newFamilies(e *Engine) *families {
	f := &families{e: e, turn: make(chan struct{}, 1), heard: make(map[uint32]struct{}), poke: make(chan struct{}, 1), look: make(chan struct{}, 1)}
	f.known.Store(&kin{})
	return f
}

// load reads what was known before the start.
func (f *families) load() error {
	for sp := range f.e.registry.All() {
		if sp.Def().Table.Kind == 'p' {
			f.matters.Store(true)
			break
		}
	}
	v, ok := f.e.registry.Fact(factKin)
	if !ok {
		return nil
	}
	k := kin{}
	if err := json.Unmarshal(v, &k); err != nil {
		return fmt.Errorf("read fact %s of the catalogue: %w", factKin, err)
	}
	f.known.Store(&k)
	for _, parents := range k {
		if len(parents) > 0 {
			f.matters.Store(true)
		}
	}
	return nil
}

// waitOn finds who waits for a lock on a table, or on a partition or child of it.
func (f *families) waitOn(oid uint32, waits []pgquery.LockWait) *pgquery.LockWait {
	if len(waits) == 0 {
		return nil
	}
	family := f.known.Load().below([]uint32{oid})
	for i := range waits {
		if family[waits[i].Relation] {
			return &waits[i]
		}
	}
	return nil
}

// tell gives a new stream what is known. Whoever learns more meanwhile may have given
// that to it before, or to the stream before it.
func (f *families) tell(in *ingest.Ingest) {
	for {
		k := f.known.Load()
		in.SetKin(k.ancestors())
		if f.known.Load() == k {
			return
		}
	}
}

// see takes in what the catalogue says of everything above and below some tables.
func (f *families) see(ctx context.Context, oids []uint32, found []pgquery.Edge) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	was := *f.known.Load()
	n := was.learn(oids, found)
	if len(n.added)+len(n.removed) == 0 && len(n.kin) == len(was) {
		return nil
	}
	changed := make(map[uint32]string) // tables whose rows changed without a word
	for oid := range was.below(n.left) {
		changed[oid] = "it was detached, and may not have been published since"
	}
	for _, r := range n.removed {
		for a := range was.above(r.parent) {
			changed[a] = "a partition or inheritance child was detached or dropped"
		}
	}
	for _, a := range n.added {
		empty, err := f.empty(ctx, a)
		if err != nil {
			return err
		}
		if empty {
			continue
		}
		for oid := range n.kin.above(a.Parent) {
			changed[oid] = "a partition or inheritance child was attached"
		}
	}
	f.rotate(changed)
	if len(n.added)+len(n.removed) > 0 {
		f.matters.Store(true)
	}
	if err := f.write(n.kin); err != nil {
		return err
	}
	f.known.Store(&n.kin)
	f.e.stream.Load().ingest.SetKin(n.kin.ancestors())
	return nil
}

// empty reports whether a new partition had no rows when it became one.
func (f *families) empty(ctx context.Context, a pgquery.Edge) (bool, error) {
	if !a.Together || !f.watched(a.Parent) {
		return false, nil
	}
	empty, err := f.e.db.BornEmpty(ctx, a.Child)
	if err != nil && pgquery.IsUnreachable(err) {
		return false, err
	}
	return empty && err == nil, nil // not allowed, too slow: it may have had some
}

// watched reports whether an edge below the table is news to anybody.
func (f *families) watched(oid uint32) bool {
	above := f.known.Load().above(oid)
	for sp := range f.e.registry.All() {
		if above[sp.Def().Table.OID] && sp.Sees() != nil {
			return true
		}
	}
	return false
}

// rotate gives the shapes up whose snapshot was taken before what has happened to
// their tables.
func (f *families) rotate(changed map[uint32]string) {
	for oid := range changed {
		f.e.db.Invalidate(oid) // who comes next must not be given what it was
	}
	if len(changed) == 0 {
		return
	}
	var gone []*registry.Shape
	for sp := range f.e.registry.All() {
		if changed[sp.Def().Table.OID] != "" && sp.Sees() != nil {
			gone = append(gone, sp)
		}
	}
	for _, sp := range gone {
		f.e.stream.Load().ingest.Remove(sp, shape.ReasonSchema, changed[sp.Def().Table.OID])
	}
}

func (f *families) write(k kin) error {
	b, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("note the ancestors of tables: %w", err)
	}
	if err := f.e.registry.SetFact(factKin, b, true); err != nil {
		return &storageError{err}
	}
	return nil
}

// relation hears of each Relation message, from the spine.
func (f *families) relation(rel *wal.Relation) {
	// A partition's columns are those of its ancestors, of which no word comes.
	for oid := range f.known.Load().above(rel.OID) {
		f.e.db.Invalidate(oid)
	}
	if rel.Identity != 'f' {
		f.lookNow() // the reconciler puts it right
	}
	if !f.matters.Load() {
		return
	}
	f.mu.Lock()
	f.heard[rel.OID] = struct{}{}
	f.mu.Unlock()
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

func (f *families) lookNow() {
	select {
	case f.look <- struct{}{}:
	default:
	}
}

// take gives the tables heard of, all at once: one question is enough.
func (f *families) take() []uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	oids := slices.Sorted(maps.Keys(f.heard))
	clear(f.heard)
	return oids
}

// unseenLimit is how long a table is looked for that is not there: it may have been
// dropped since. By then those who wait for it have given their shapes up.
const unseenLimit = 10 * time.Second

// run looks up the tables that the stream names, until ctx is done.
func (f *families) run(ctx context.Context) {
	for {
		select {
		case <-f.poke:
		case <-ctx.Done():
			return
		}
		oids, began := f.take(), time.Now()
		for wait := 5 * time.Millisecond; len(oids) > 0; wait = min(2*wait, time.Second) {
			unseen, err := f.lookUp(ctx, oids)
			switch {
			case err != nil:
				f.e.log.Warn("look up whose partitions tables are; will try again", "err", err)
			case time.Since(began) > unseenLimit:
				oids = nil
				continue
			default:
				oids = unseen
			}
			select {
			case <-time.After(wait):
				oids = append(oids, f.take()...)
			case <-ctx.Done():
				return
			}
		}
	}
}

// lookUp learns of tables, and returns those that there are not, or not yet.
func (f *families) lookUp(ctx context.Context, oids []uint32) (unseen []uint32, err error) {
	// Or a connection that has died without a word would keep all from learning more.
	ctx, cancel := context.WithTimeout(ctx, reconcileLimit)
	defer cancel()
	found, there, err := f.e.db.Kin(ctx, oids)
	if err != nil {
		return nil, err
	}
	for _, oid := range oids {
		if !slices.Contains(there, oid) {
			unseen = append(unseen, oid)
		}
	}
	was := len(*f.known.Load())
	if err := f.see(ctx, there, found); err != nil {
		return nil, err
	}
	if len(*f.known.Load()) != was {
		f.lookNow() // a new partition wants its replica identity
	}
	return unseen, nil
}
