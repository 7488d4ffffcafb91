package registry

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Illness is why a shape is out of the stream. Its log is served as it is, and
// is not continued: another shape, its successor, is to take its place.
type Illness struct {
	Reason shape.Reason
	Detail string
	Since  time.Time
	// Failures is how many times in a row the definition was built anew in vain.
	Failures int
	// Until is when it is to be built anew.
	Until time.Time
}

// Illness returns it; ok is false for a shape that is in the stream, or removed.
// It costs a well shape one atomic load.
func (s *Shape) Illness() (ill Illness, ok bool) {
	if p := s.ill.Load(); p != nil && s.removed.Load() == nil {
		return *p, true
	}
	return Illness{}, false
}

// Failures is how many times in a row the shape's definition had been built anew
// when this one was made.
func (s *Shape) Failures() int { return int(s.failures.Load()) }

// Quarantine takes a live shape out of the stream for good, durably: it goes on
// being found and served, and will not be continued after a restart. parked says
// that its clients are to be told to come again. An ill shape may be called
// again: that counts as a failure more. ErrRemoved: the shape is gone.
func (r *Registry) Quarantine(s *Shape, reason shape.Reason, detail string, parked bool, until time.Time) error {
	r.mu.Lock()
	here := r.shapes.get(s.id) == s && r.removing[s.id] == nil
	r.mu.Unlock()
	if !here {
		return ErrRemoved
	}
	s.mu.Lock()
	state, was := s.state, s.ill.Load()
	s.mu.Unlock()
	ill := Illness{Reason: reason, Detail: detail, Since: time.Now(), Failures: s.Failures(), Until: until}
	switch {
	case state == Snapshotting:
		return fmt.Errorf("quarantine shape %d: its first rows are not complete", s.id)
	case was != nil:
		ill.Since, ill.Failures = was.Since, was.Failures+1
	}
	rec, err := encode("illness", recordIllness(&ill, parked))
	if err != nil {
		return err
	}
	err = r.commit("quarantine shape", func(b *pebble.Batch) error { return b.Set(key(kindIll, uint64(s.id)), rec, nil) })
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shapes.get(s.id) != s {
		return ErrRemoved // what was written is swept out at the next start
	}
	s.setIll(&ill, parked)
	if r.ill[s.id] == nil {
		r.ill[s.id] = s
		r.nLive--
	}
	return nil
}

func (s *Shape) setIll(ill *Illness, parked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = Quarantined
	if parked {
		s.state = Parked
	}
	s.ill.Store(ill)
}

// Ill returns the shapes that are quarantined or parked, in the order of their
// IDs.
func (r *Registry) Ill() []*Shape {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Shape, 0, len(r.ill))
	for _, s := range r.ill {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Shape) int { return cmp.Compare(a.id, b.id) })
	return all
}

// Successor makes the shape that is to take an ill one's place: of the same
// definition, found by its handle, and not by Find as long as the old one lives.
// One at a time; ErrRemoved: the old one is gone, or well.
func (r *Registry) Successor(old *Shape, start wal.LSN) (*Shape, error) {
	ill, ok := old.Illness()
	if !ok {
		return nil, ErrRemoved
	}
	encoded, err := encodeTable(old.def.Table)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.ill[old.id] != old {
		r.mu.Unlock()
		return nil, ErrRemoved
	}
	if _, has := r.heirs[old.id]; has {
		r.mu.Unlock()
		return nil, fmt.Errorf("make a successor of shape %d: it has one", old.id)
	}
	t := r.tables.use(old.def.Table, encoded)
	s := r.newShape(&old.def, t, start)
	s.failures.Store(int32(ill.Failures) + 1)
	s.heirOf = old.id
	withTable := !t.durable
	r.heirs[old.id] = nil // it is being made
	r.mu.Unlock()

	err = r.storeShape(s, t.number, encoded, withTable)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.coming, s.id)
	if err != nil {
		delete(r.heirs, old.id)
		r.tables.leave(t)
		return nil, err
	}
	t.durable = true
	r.shapes.add(s)
	r.recency.enter(s)
	if r.ill[old.id] == old {
		r.heirs[old.id] = s
	} else { // it was removed meanwhile
		delete(r.heirs, old.id)
		r.succeed(s)
	}
	return s, nil
}

// succeed lets Find find a successor, unless another shape was made meanwhile. mu
// is held.
func (r *Registry) succeed(s *Shape) {
	if r.byKey.find(s.Key()) == nil {
		r.byKey.put(s)
	}
}

// Promote puts a live successor in the place of its predecessor, whose tombstone
// says what ailed it. One write decides: before it the old one is there, after it
// the new one.
func (r *Registry) Promote(s *Shape) error {
	if st := s.State(); st != Live {
		return fmt.Errorf("promote shape %d: it is %s", s.id, st)
	}
	old := r.ByID(s.heirOf)
	if old == nil {
		return nil // it went by itself
	}
	ill, ok := old.Illness()
	if !ok {
		return nil
	}
	return r.Remove(old, ill.Reason)
}

// Forgive forgets a shape's failures.
func (r *Registry) Forgive(s *Shape) error {
	err := r.commit("forgive shape", func(b *pebble.Batch) error { return b.Set(key(kindForgiven, uint64(s.id)), nil, nil) })
	if err != nil {
		return err
	}
	s.failures.Store(0)
	return nil
}

// leave takes a shape out of what is known of ill ones and of successors, and
// returns who takes its place in Find. mu is held.
func (r *Registry) leave(s *Shape) (heir *Shape) {
	heir = r.heirs[s.id]
	delete(r.heirs, s.id)
	delete(r.ill, s.id)
	if s.heirOf != 0 && r.heirs[s.heirOf] == s {
		delete(r.heirs, s.heirOf)
	}
	return heir
}

// Strike is how often a shape's consumer has failed at one place.
type Strike struct {
	Place wal.LSN `json:"place"`
	Count int     `json:"count"`
}

// SetStrike keeps it, durably, for the next start.
func (r *Registry) SetStrike(id shape.ID, place wal.LSN, count int) error {
	rec, err := encode("strike", Strike{place, count})
	if err != nil {
		return err
	}
	if err := r.db.Set(key(kindStrike, uint64(id)), rec, pebble.Sync); err != nil {
		return fmt.Errorf("catalogue: keep a strike of shape %d: %w", id, err)
	}
	return nil
}

// Strikes returns what SetStrike kept of the shapes that live here.
func (r *Registry) Strikes() (map[shape.ID]Strike, error) {
	all := make(map[shape.ID]Strike)
	err := r.scanNumbers(kindStrike, func(n uint64, v []byte) error {
		var k Strike
		if err := decode("strike", v, &k); err != nil {
			return err
		}
		if r.ByID(shape.ID(n)) != nil {
			all[shape.ID(n)] = k
		}
		return nil
	})
	return all, err
}

// illness makes a shape ill again. If its successor was not finished when the
// process ended, that is a failure more.
func (l *loading) illness(id shape.ID, v []byte) error {
	s := l.r.shapes.get(id)
	if s == nil {
		l.orphans = append(l.orphans, key(kindIll, uint64(id)))
		return nil
	}
	var rec illRecord
	if err := decode("illness", v, &rec); err != nil {
		return err
	}
	ill := rec.illness()
	if l.lost[id] {
		ill.Failures++
		again, err := encode("illness", recordIllness(&ill, rec.Parked))
		if err != nil {
			return err
		}
		l.rewrite = append(l.rewrite, [2][]byte{key(kindIll, uint64(id)), again})
	}
	s.setIll(&ill, rec.Parked)
	l.r.ill[id] = s
	l.r.nLive--
	return nil
}

// promote ends what a crash interrupted: a successor that is live takes the place
// of the one that is still there.
func (l *loading) promote() error {
	for _, s := range l.heirs {
		if old := l.r.ill[s.heirOf]; old != nil {
			ill, _ := old.Illness()
			l.bury = append(l.bury, old.tombstone(ill.Reason))
			l.r.byKey.drop(old)
			l.r.shapes.remove(old)
			l.r.tables.byTable[old.def.Table].users--
			delete(l.r.ill, old.id)
		}
		l.r.byKey.put(s)
	}
	return nil
}
