package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Create returns the shape of a definition, making it if there is none (created
// is then true, for one caller). It is durable when Create returns. Callers who
// ask for the same definition at once share one creation and its error.
func (r *Registry) Create(def *shape.Def, start wal.LSN) (s *Shape, created bool, err error) {
	key := def.Key()
	encoded, err := encodeTable(def.Table)
	if err != nil {
		return nil, false, err
	}
	r.mu.Lock()
	if s := r.byKey.find(key); s != nil {
		r.mu.Unlock()
		return s, false, nil
	}
	if c := r.creating[key]; c != nil {
		r.mu.Unlock()
		<-c.done
		return c.shape, false, c.err
	}
	c := &creation{done: make(chan struct{})}
	r.creating[key] = c
	t := r.tables.use(def.Table, encoded)
	s = r.newShape(def, t, start)
	withTable := !t.durable
	r.mu.Unlock()

	c.err = r.storeShape(s, t.number, encoded, withTable)

	r.mu.Lock()
	delete(r.creating, key)
	delete(r.coming, s.id)
	if c.err != nil {
		r.tables.leave(t)
	} else {
		c.shape = s
		t.durable = true
		r.shapes.add(s)
		r.byKey.put(s)
		r.recency.enter(s)
	}
	r.mu.Unlock()
	close(c.done)
	return c.shape, c.err == nil, c.err
}

// newShape makes a shape in memory. mu is held.
func (r *Registry) newShape(def *shape.Def, t *table, start wal.LSN) *Shape {
	now := time.Now().UnixMicro()
	s := &Shape{
		reg: r, def: *def,
		id: r.nextID, random: newRandom(),
		start: start, created: now,
		tail:  wal.AfterSnapshot,
		first: &first{ready: make(chan struct{}), failed: make(chan struct{})},
	}
	s.def.Table, s.def.Columns = t.t, t.share(def.Columns)
	s.used.Store(now)
	r.coming[s.id] = struct{}{}
	r.nextID++
	return s
}

// setLive moves a shape whose liveRecord is durable to the live ones.
func (r *Registry) setLive(s *Shape, chunks int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed.Load() != nil {
		return ErrRemoved
	}
	if s.state != Snapshotting {
		return nil
	}
	s.state, s.first, s.chunks = Live, nil, int32(chunks)
	r.nLive++
	t := r.tables.byTable[s.def.Table]
	t.live = max(t.live, s.id)
	return nil
}

// Remove removes a shape: first its tombstone is durable, then nobody finds it
// any more, then those who wait on it are woken, then its log is deleted. What a
// worker still writes to the log is swept out at the next start; a worker that
// has let go may delete the log again. To remove a shape twice is no error, and
// the first reason stays.
func (r *Registry) Remove(s *Shape, reason shape.Reason) error {
	r.mu.Lock()
	if other := r.removing[s.id]; other != nil {
		r.mu.Unlock()
		<-other.done
		return other.err
	}
	if r.shapes.get(s.id) != s {
		r.mu.Unlock()
		return nil
	}
	m := &removal{done: make(chan struct{})}
	r.removing[s.id] = m
	r.mu.Unlock()
	defer close(m.done)

	var unused *table
	if m.err = r.storeTombstone(s, reason); m.err == nil {
		unused = r.forget(s, reason)
	}
	r.mu.Lock()
	delete(r.removing, s.id)
	r.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if err := errors.Join(r.trimTombstones(), r.dropTable(unused), r.log.Delete(s.id)); err != nil {
		m.err = fmt.Errorf("remove shape %d: it is gone, but %w", s.id, err)
	}
	return m.err
}

// hide lets nobody find a shape whose first rows failed by its definition.
func (r *Registry) hide(s *Shape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.State() != Snapshotting {
		return
	}
	r.byKey.drop(s)
	r.recency.fail(s)
}

// forget takes a shape out of the maps and wakes those who wait on it. It returns the
// version of its table if no other shape has it.
func (r *Registry) forget(s *Shape, reason shape.Reason) (unused *table) {
	r.mu.Lock()
	if s.State() == Live {
		r.nLive--
	}
	r.recency.exit(s)
	r.byKey.drop(s)
	r.shapes.remove(s)
	if heir := r.leave(s); heir != nil {
		r.succeed(heir)
	}
	r.nTombs++
	if t := r.tables.byTable[s.def.Table]; r.tables.leave(t) {
		unused = t
	}
	abort := s.setRemoved(reason)
	r.mu.Unlock()
	if abort != nil {
		abort.Abort(ErrRemoved)
	}
	return unused
}
