package client

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// errSubquery: see Shape.
var errSubquery = errors.New("a shape with a subquery in its condition cannot be held as rows: use a ShapeStream")

// stage collects what a shape's next state differs in from the one that is
// shown. It knows no clock, lock or network.
type stage struct {
	partial bool           // log=changes_only: only some rows are known
	whole   bool           // replica=full: an update has the whole row
	rows    map[string]Row // the state that is shown; replaced by commit, see there
	staged  map[string]Row // what differs; a nil Row: not there
	anew    bool           // rows is void: staged is everything
	subsets []tracked
	shown   transactions // in the state that is shown; changed by commit
	fresh   []uint32     // transactions seen since
	initial *visibility  // of the log's first rows, nil if that is in shown
}

// tracked is a subset whose rows are newer than the log for a while.
type tracked struct {
	visibility
	lsn  uint64 // up to here the log may tell what the rows already show
	keys map[string]struct{}
}

func newStage(o *Options) *stage {
	return &stage{partial: o.Log == LogChangesOnly, whole: o.Replica == ReplicaFull, rows: map[string]Row{}, staged: map[string]Row{}}
}

// get returns a row as it will be.
func (g *stage) get(key string) Row {
	if r, ok := g.staged[key]; ok || g.anew {
		return r
	}
	return g.rows[key]
}

// apply takes a batch in. upToDate tells whether the state is complete now;
// whatever stands before an up-to-date message belongs to it.
func (g *stage) apply(batch []Message) (upToDate bool, err error) {
	for i := range batch {
		m := &batch[i]
		h := &m.Headers
		upToDate = false
		switch {
		case h.Event != "":
			return false, errSubquery
		case h.Control == UpToDate:
			upToDate = true
			g.forget(h.GlobalLastSeenLSN)
		case h.Control == MustRefetch:
			g.restart()
		case h.Control == SnapshotEnd && g.initial == nil && (g.anew || g.shown.initial == nil):
			v, err := newVisibility(h.Xmin, h.Xmax, h.XipList)
			if err != nil {
				return false, err
			}
			g.initial = &v
		case h.Operation != "":
			if err := g.change(m); err != nil {
				return false, err
			}
		}
	}
	return upToDate, nil
}

func (g *stage) change(m *Message) error {
	for _, x := range m.Headers.TxIDs {
		if n := len(g.fresh); n == 0 || g.fresh[n-1] != x {
			g.fresh = append(g.fresh, x)
		}
	}
	g.forget(m.Headers.LSN)
	if g.covered(m) {
		return nil
	}
	before := g.get(m.Key)
	switch m.Headers.Operation {
	case OpInsert:
		g.staged[m.Key] = m.Value
	case OpUpdate:
		switch {
		case before != nil:
			g.staged[m.Key] = before.with(m.Value)
		case g.partial && g.whole:
			g.staged[m.Key] = m.Value
		case !g.partial:
			return fmt.Errorf("%w: a change of row %s, which it never sent", ErrNotElectric, m.Key)
		}
	case OpDelete:
		if before != nil {
			g.staged[m.Key] = nil
		}
	default:
		return fmt.Errorf("%w: operation %q", ErrNotElectric, m.Headers.Operation)
	}
	return nil
}

// covered reports whether a subset that was loaded shows a change already.
func (g *stage) covered(m *Message) bool {
	for i := range g.subsets {
		t := &g.subsets[i]
		if _, ok := t.keys[m.Key]; !ok {
			continue
		}
		for _, x := range m.Headers.TxIDs {
			if t.sees(x) {
				return true
			}
		}
	}
	return false
}

// forget drops subsets that the log has reached.
func (g *stage) forget(lsn string) {
	if len(g.subsets) == 0 || lsn == "" {
		return
	}
	n, err := strconv.ParseUint(lsn, 10, 64)
	if err != nil {
		return // then they are kept, which costs memory only
	}
	g.subsets = slices.DeleteFunc(g.subsets, func(t tracked) bool { return n > t.lsn })
}

// load takes the rows of a subset in. false: the log has already told of a
// transaction that the subset does not show. Postgres tells replication of a
// commit a moment before it shows it to queries; the subset must be read again.
func (g *stage) load(s *Snapshot) (bool, error) {
	v, err := newVisibility(s.Metadata.Xmin, s.Metadata.Xmax, s.Metadata.XipList)
	if err != nil {
		return false, err
	}
	lsn, err := strconv.ParseUint(s.Metadata.DatabaseLSN, 10, 64)
	if err != nil {
		return false, fmt.Errorf("%w: database_lsn %q of a subset", ErrNotElectric, s.Metadata.DatabaseLSN)
	}
	for _, x := range slices.Concat(g.shown.order, g.fresh) {
		if !v.sees(x) {
			return false, nil
		}
	}
	t := tracked{visibility: v, lsn: lsn, keys: make(map[string]struct{}, len(s.Rows))}
	for i := range s.Rows {
		t.keys[s.Rows[i].Key] = struct{}{}
		g.staged[s.Rows[i].Key] = s.Rows[i].Value
	}
	g.subsets = append(g.subsets, t)
	return true, nil
}

// restart makes everything void. The state that is shown stays until the new
// one is complete.
func (g *stage) restart() {
	g.staged, g.anew = map[string]Row{}, true
	g.subsets, g.fresh, g.initial = nil, nil, nil
}

// diff lists what the staged state changes, by key.
func (g *stage) diff() []Change {
	var out []Change
	add := func(key string, now Row) {
		if before := g.rows[key]; (before == nil) != (now == nil) || !same(before, now) {
			out = append(out, Change{Key: key, Old: before, New: now})
		}
	}
	for key, now := range g.staged {
		add(key, now)
	}
	if g.anew {
		for key := range g.rows {
			if _, ok := g.staged[key]; !ok {
				add(key, nil)
			}
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// commit makes the staged state the one that is shown. The caller holds the
// lock that guards rows and shown.
func (g *stage) commit() {
	if g.anew {
		g.shown = transactions{}
	}
	g.shown.add(g.fresh)
	if g.initial != nil {
		g.shown.initial = g.initial
	}
	g.fresh, g.initial = nil, nil
	if g.anew || len(g.rows) == 0 {
		for key, r := range g.staged {
			if r == nil {
				delete(g.staged, key)
			}
		}
		g.rows = g.staged
	} else {
		for key, r := range g.staged {
			if r == nil {
				delete(g.rows, key)
			} else {
				g.rows[key] = r
			}
		}
	}
	g.staged, g.anew = map[string]Row{}, false
}

func same(a, b Row) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if w, ok := b[name]; !ok || v != w {
			return false
		}
	}
	return true
}
