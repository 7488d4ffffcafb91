package engine

import (
	"context"
	"encoding/json"
	"errors"
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
	// begin is held while a shape begins, and where coming, what will be known, is
	// set: it is what is known unless somebody is about to learn. Nobody waits with it.
	begin  sync.Mutex
	coming kin
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
	f.expect(k)
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

// see asks the catalogue about everything above and below some tables, and takes the
// answer in. there are those of the tables that there are; sure: of the others, too, it
// is known that there is nothing.
func (f *families) see(ctx context.Context, oids []uint32, sure bool) (there []uint32, err error) {
	err = f.inTurn(ctx, func() error {
		var found []pgquery.Edge
		if found, there, err = f.e.db.Kin(ctx, oids); err != nil {
			return err
		}
		about := oids
		if !sure {
			if there, err = f.explained(ctx, there, found); err != nil {
				return err
			}
			about = there
		}
		return f.learn(ctx, about, found)
	})
	return there, err
}

// explained leaves out the tables, of those that the stream has named, that are nobody's
// partition and not in the publication: the stream names only what is published, so they
// were partitions when they were written to, and have left since. Whose they were is told
// nowhere: as of a table that was dropped nothing is known of them, and the shapes that
// may miss their rows are given up. (With a publication of all tables they cannot be told
// from others.)
func (f *families) explained(ctx context.Context, oids []uint32, found []pgquery.Edge) ([]uint32, error) {
	known, odd := *f.known.Load(), make(map[uint32]bool)
	for _, oid := range oids {
		if _, ok := known[oid]; !ok && !slices.ContainsFunc(found, func(e pgquery.Edge) bool { return e.Child == oid }) {
			odd[oid] = true
		}
	}
	if len(odd) == 0 {
		return oids, nil
	}
	pub, err := f.e.db.Publication(ctx, f.e.cfg.Publication())
	if err != nil || pub == nil {
		return oids, err // that it is gone is noticed by the audit
	}
	all, err := f.e.db.Members(ctx, slices.Sorted(maps.Keys(odd)), pub.OID)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if m := &all[i]; m.Published {
			delete(odd, m.OID)
		}
	}
	return slices.DeleteFunc(slices.Clone(oids), func(oid uint32) bool { return odd[oid] }), nil
}

// inTurn runs do when nobody else learns. Who asks the catalogue does so in there: an
// older answer must not be taken in behind a newer one.
func (f *families) inTurn(ctx context.Context, do func() error) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// learn takes an answer of the catalogue in. What is known is written down when the
// shapes that it rotates are gone: after a crash before that it is noticed again, and
// no shape is given the rows of a family that is not the one of its first rows.
func (f *families) learn(ctx context.Context, oids []uint32, found []pgquery.Edge) error {
	was := *f.known.Load()
	n := was.learn(oids, found)
	if n.none(was) {
		return nil
	}
	changed, err := f.changed(ctx, was, n)
	if err != nil {
		return err
	}
	f.expect(n.kin)
	defer func() { f.expect(*f.known.Load()) }()
	if err := f.rotate(ctx, changed); err != nil {
		return err
	}
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

// changed are the tables whose rows changed without a word, and why.
func (f *families) changed(ctx context.Context, was kin, n news) (map[uint32]string, error) {
	changed := make(map[uint32]string)
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
			return nil, err
		}
		if empty {
			continue
		}
		for oid := range n.kin.above(a.Parent) {
			changed[oid] = "a partition or inheritance child was attached"
		}
	}
	return changed, nil
}

// expect says what will be known: whoever begins from now on is compared with it.
func (f *families) expect(k kin) {
	f.begin.Lock()
	defer f.begin.Unlock()
	f.coming = k
}

// admit lets a shape begin (it is then one that Sees) whose snapshot found edges above
// and below its table, unless its family is another by now. Who learns of a change
// later finds the shape, and who did before has not missed it.
func (f *families) admit(ctx context.Context, oid uint32, edges []pgquery.Edge, begin func() error) error {
	if done, err := f.admitNow(oid, edges, begin); done {
		return err
	}
	return f.inTurn(ctx, func() error {
		found, _, err := f.e.db.Kin(ctx, []uint32{oid})
		if err != nil {
			return err
		}
		if err := f.learn(ctx, []uint32{oid}, found); err != nil {
			return err
		}
		if err := f.same(ctx, edges, found); err != nil {
			return err
		}
		return begin() // it is our turn: nobody learns
	})
}

// admitNow is admit where nothing is new.
func (f *families) admitNow(oid uint32, edges []pgquery.Edge, begin func() error) (done bool, err error) {
	f.begin.Lock()
	defer f.begin.Unlock()
	for _, k := range []kin{*f.known.Load(), f.coming} {
		if !k.learn([]uint32{oid}, edges).none(k) {
			return false, nil
		}
	}
	return true, begin()
}

// same is an error if first rows that found some edges are not those of a family with
// others: a partition that came empty, all of whose rows come in the stream, is no
// difference.
func (f *families) same(ctx context.Context, edges, found []pgquery.Edge) error {
	for _, e := range found {
		if slices.Contains(edges, e) {
			continue
		}
		empty := false
		if e.Together {
			var err error
			if empty, err = f.e.db.BornEmpty(ctx, e.Child); err != nil {
				return err
			}
		}
		if !empty {
			return errFamily
		}
	}
	for _, e := range edges {
		if !slices.Contains(found, e) {
			return errFamily
		}
	}
	return nil
}

var errFamily = &pgquery.Error{Kind: pgquery.ErrSchemaChanged,
	Err: errors.New("a partition or inheritance child came or went while its first rows were read")}

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
// their tables, and returns when that is durable.
func (f *families) rotate(ctx context.Context, changed map[uint32]string) error {
	for oid := range changed {
		f.e.db.Invalidate(oid) // who comes next must not be given what it was
	}
	why := make(map[string]struct{})
	for _, text := range changed {
		why[text] = struct{}{}
	}
	for text := range why {
		err := f.e.giveUp(ctx, func(sp *registry.Shape) bool { return changed[sp.Def().Table.OID] == text }, shape.ReasonSchema, text)
		if err != nil {
			return err
		}
	}
	return nil
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
	was := len(*f.known.Load())
	there, err := f.see(ctx, oids, false)
	if err != nil {
		return nil, err
	}
	for _, oid := range oids {
		if !slices.Contains(there, oid) {
			unseen = append(unseen, oid)
		}
	}
	if len(*f.known.Load()) != was {
		f.lookNow() // a new partition wants its replica identity
	}
	return unseen, nil
}
