package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Shape holds the rows of a shape and keeps them live while Run runs. All
// other methods may be called at any time and by any goroutine.
//
// The rows are always a state that the server called up to date. A rotation
// (must-refetch) is seen only as the changes that it brings: the old rows stay
// until the new ones are complete.
//
// Shapes with a subquery in their condition are not supported: Run returns an
// error at the first move of rows by the subquery.
type Shape struct {
	// Of Run.
	stream *ShapeStream
	stage  *stage   // its rows and shown are changed under mu, and read by others
	loaded []Subset // to load them again after a rotation
	again  bool     // that is due
	owed   []*load  // staged, and shown by the next commit
	ended  int      // subset requests in a row that were told of a rotation

	mu        sync.RWMutex // guards what follows; never held while calling or waiting
	schema    Schema
	at        Position
	synced    bool          // there is a state
	stopped   error         // what Run returned
	next      chan struct{} // closed at the next state, and when Run has ended
	listeners map[int]func(Update)
	listener  int                // the next key of listeners
	loads     []*load            // for Run
	wake      context.CancelFunc // interrupts Run's live request; nil: it makes none
}

// load is a call of Load that waits for Run.
type load struct {
	subset Subset
	done   chan error // has room for one
}

// A Change is what happened to one row between two states of a Shape.
type Change struct {
	Key string
	Old Row // nil: it was not there
	New Row // nil: it is gone
}

// An Update is the step from one state of a Shape to the next.
type Update struct {
	Changes  []Change // by key
	Position Position // of the new state
}

// NewShape makes a shape of a stream, which belongs to it from then on. It has
// no rows until Run runs.
func NewShape(s *ShapeStream) *Shape {
	return &Shape{
		stream:    s,
		stage:     newStage(&s.o),
		next:      make(chan struct{}),
		listeners: map[int]func(Update){},
	}
}

var (
	errDone  = errors.New("the shape is not followed any more: Options.Once is set")
	errWoken = errors.New("woken for a subset")
)

// Run follows the shape until ctx ends, or until an error that trying again
// would not mend, and returns that. With Options.Once it returns nil after the
// first sync. It may be called again, and continues where it was.
func (s *Shape) Run(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = nil
	s.mu.Unlock()
	defer s.stream.Close()
	err := s.follow(ctx)
	why := err
	if why == nil {
		why = errDone
	}
	s.mu.Lock()
	waiting := append(s.owed, s.loads...)
	s.owed, s.loads, s.stopped = nil, nil, why
	s.announce()
	s.mu.Unlock()
	for _, l := range waiting {
		l.done <- why
	}
	return err
}

func (s *Shape) follow(ctx context.Context) error {
	for {
		if err := s.serve(ctx); err != nil {
			return err
		}
		batch, err := s.read(ctx)
		switch {
		case errors.Is(err, errWoken):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		upToDate, err := s.stage.apply(batch)
		if err != nil {
			// What is staged is half of it: a later Run begins anew.
			s.stage.restart()
			s.stream.restart("", "")
			return err
		}
		s.again = s.again || s.stage.anew && len(s.loaded) > 0 && batch[0].IsMustRefetch()
		if upToDate && !s.again {
			s.commit()
		}
	}
}

// read waits for messages, or for a subset that is asked for.
func (s *Shape) read(ctx context.Context) ([]Message, error) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.stream.live {
		s.mu.Lock()
		woken := len(s.loads) > 0
		s.wake = cancel
		s.mu.Unlock()
		if woken {
			return nil, errWoken
		}
	}
	batch, err := s.stream.Next(own)
	s.mu.Lock()
	s.wake = nil
	s.mu.Unlock()
	if err != nil && own.Err() != nil && ctx.Err() == nil {
		return nil, errWoken
	}
	return batch, err
}

// commit shows the state that is staged.
func (s *Shape) commit() {
	s.mu.RLock()
	listeners := slices.Collect(maps.Values(s.listeners))
	s.mu.RUnlock()
	u := Update{Position: s.stream.Position()}
	if len(listeners) > 0 {
		u.Changes = s.stage.diff()
	}
	s.mu.Lock()
	s.stage.commit()
	s.schema, s.at, s.synced = s.stream.Schema(), u.Position, true
	owed := s.owed
	s.owed = nil
	s.announce()
	s.mu.Unlock()
	for _, l := range owed {
		l.done <- nil
	}
	if len(u.Changes) == 0 {
		return
	}
	for _, f := range listeners {
		f(u)
	}
}

// announce wakes all who wait for a state. The caller holds mu.
func (s *Shape) announce() {
	close(s.next)
	s.next = make(chan struct{})
}

// Rows returns the rows by key, none before the first sync. The map is the
// caller's, the rows in it are shared.
func (s *Shape) Rows() map[string]Row {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.stage.rows)
}

// Row returns the row with a key, and whether it is there.
func (s *Shape) Row(key string) (Row, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.stage.rows[key]
	return r, ok
}

// Len is the number of rows.
func (s *Shape) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.stage.rows)
}

// Schema has the types of the rows' columns, nil before the first sync.
func (s *Shape) Schema() Schema {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.schema
}

// Position is that of the rows in the shape's log.
func (s *Shape) Position() Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.at
}

// Subscribe has f called after each state that differs from the one before, in
// order, by the goroutine of Run, which waits for f. Without subscribers changes
// are not worked out. Call Subscribe before Run to hear of the first sync too.
func (s *Shape) Subscribe(f func(Update)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.listener
	s.listener++
	s.listeners[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, id)
	}
}

// Wait returns after the first sync, or with the error of ctx or of Run if one
// of them ends before.
func (s *Shape) Wait(ctx context.Context) error {
	return s.await(ctx, func() bool { return true })
}

// Changed returns a channel that is closed at the next state, and when Run ends.
// To wait for a condition, ask for the channel, look at the rows, then wait.
func (s *Shape) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.next
}

// AwaitTx returns when the rows show what a transaction did that changed rows
// of the shape. Its number is that of pg_current_xact_id(), asked within the
// transaction. The last 4096 transactions are remembered, and those before the
// first sync. For a transaction that does not touch the shape only ctx ends the
// wait.
func (s *Shape) AwaitTx(ctx context.Context, xid uint64) error {
	return s.await(ctx, func() bool { return s.stage.shown.has(uint32(xid)) })
}

// await waits until there is a state and ok, which is called under mu.
func (s *Shape) await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.RLock()
		done, stopped, next := s.synced && ok(), s.stopped, s.next
		s.mu.RUnlock()
		if done {
			return nil
		}
		if stopped != nil {
			return stopped
		}
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Load adds a subset's rows to those that are held, and returns when they are
// shown. It is for shapes with LogChangesOnly, which begin without rows. The
// rows are kept live, and read again after a rotation. Run must be running.
//
// The subset's condition is not evaluated here. Rows that are inserted later are
// held whether it holds for them or not. A row that an update brings into the
// subset is held with ReplicaFull only, as is any other row that is updated:
// else the update tells a part of the row.
//
// Changes that the log tells later, but that the subset shows already, are
// recognised. A transaction that changed rows inside and outside of the subset
// may be shown in two steps, if it committed while the subset was read.
func (s *Shape) Load(ctx context.Context, q Subset) error {
	l := &load{subset: q, done: make(chan error, 1)}
	s.mu.Lock()
	if s.stopped != nil {
		defer s.mu.Unlock()
		return s.stopped
	}
	s.loads = append(s.loads, l)
	if s.wake != nil {
		s.wake()
	}
	s.mu.Unlock()
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// serve reads the subsets that were asked for, and all again after a rotation.
func (s *Shape) serve(ctx context.Context) error {
	if !s.stream.at.concrete() {
		return nil // there is no log yet to ask
	}
	if s.again {
		for _, q := range s.loaded {
			if err := s.fetch(ctx, q); errors.Is(err, errEnded) {
				return nil // the stream will hear of it
			} else if err != nil {
				return fmt.Errorf("load a subset again: %w", err)
			}
		}
		s.again = false
	}
	s.mu.Lock()
	loads := s.loads
	s.loads = nil
	s.mu.Unlock()
	for i, l := range loads {
		err := s.fetch(ctx, l.subset)
		switch {
		case err == nil:
			s.loaded = append(s.loaded, l.subset)
			s.owed = append(s.owed, l)
		case errors.Is(err, errEnded) || ctx.Err() != nil:
			s.mu.Lock()
			s.loads = append(loads[i:], s.loads...)
			s.mu.Unlock()
			return context.Cause(ctx)
		default:
			l.done <- err // its condition is refused; the shape goes on
		}
	}
	return nil
}

const (
	maxEnded = 5                     // rotations in a row that a subset may meet
	settle   = 20 * time.Millisecond // what a transaction needs to be visible
)

// fetch reads one subset into the stage.
func (s *Shape) fetch(ctx context.Context, q Subset) error {
	// The rows are shown with the log's next word, asked for without waiting.
	s.stream.refresh()
	for {
		snapshot, err := s.stream.fetch(ctx, s.stream.at, q)
		if errors.Is(err, errEnded) {
			if s.ended++; s.ended > maxEnded {
				return fmt.Errorf("%w, says each request for a subset, but the log itself goes on", ErrNotElectric)
			}
			return errEnded
		}
		if err != nil {
			return err
		}
		s.ended = 0
		ok, err := s.stage.load(snapshot)
		if ok || err != nil {
			return err
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
