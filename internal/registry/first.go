package registry

import (
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ErrRemoved says that the shape was removed meanwhile.
var ErrRemoved = errors.New("shape was removed")

// first is what a shape needs only until its first rows are durable.
type first struct {
	ready    chan struct{} // closed by SetSnapshot, Fail or removal
	failed   chan struct{} // closed by Fail or removal
	snapshot *shapelog.Snapshot
	err      error
}

// SetSnapshot says that the first rows are being read: what Postgres's snapshot
// sees, and where the rows go. Clients waiting on Ready go on.
func (s *Shape) SetSnapshot(sees wal.Snapshot, snap *shapelog.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.removed.Load() != nil:
		return ErrRemoved
	case s.first == nil || s.first.snapshot != nil || s.first.err != nil:
		return fmt.Errorf("set snapshot of shape %d: it has one, or failed", s.id)
	}
	s.sees, s.seesAny = sees, true
	s.first.snapshot = snap
	close(s.first.ready)
	return nil
}

// SnapshotComplete makes the shape live: its snapshot must be finished. When it
// returns, the shape survives a restart.
func (s *Shape) SnapshotComplete() error {
	s.mu.Lock()
	f, gone := s.first, s.removed.Load() != nil
	s.mu.Unlock()
	switch {
	case gone:
		return ErrRemoved
	case f == nil || f.snapshot == nil:
		return fmt.Errorf("complete snapshot of shape %d: none is being read", s.id)
	case f.err != nil:
		return f.err
	}
	chunks, complete := f.snapshot.Chunks()
	if !complete {
		return fmt.Errorf("complete snapshot of shape %d: it is not finished", s.id)
	}
	blob, inline := f.snapshot.Inline()
	if inline {
		chunks = 0
	}
	if err := s.reg.storeLive(s, &s.sees, chunks, blob); err != nil {
		return fmt.Errorf("complete snapshot of shape %d: %w", s.id, err)
	}
	return s.reg.setLive(s, chunks)
}

// Fail says that the first rows could not be read. Clients waiting on Ready go
// on and find err; the caller then removes the shape. Find does not find it any more:
// who comes until it is removed asks for a shape anew, and is not told why this one
// failed.
func (s *Shape) Fail(err error) {
	s.reg.hide(s)
	s.mu.Lock()
	abort := s.failLocked(err)
	s.mu.Unlock()
	if abort != nil {
		abort.Abort(err)
	}
}

// failLocked notes that the first rows failed. It returns the snapshot to be
// aborted, if any: aborting may close a file, and mu is held here.
func (s *Shape) failLocked(err error) (abort *shapelog.Snapshot) {
	f := s.first
	if f == nil || f.err != nil {
		return nil
	}
	f.err = err
	close(f.failed)
	if f.snapshot == nil {
		close(f.ready)
	}
	return f.snapshot
}

// Ready returns a channel that is closed when the first rows can be asked for
// (Snapshot) or could not be read (SnapshotErr).
func (s *Shape) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		return closed
	}
	return s.first.ready
}

// Failed returns a channel that is closed when the first rows could not be read or
// the shape was removed before they were complete; nil once they are.
func (s *Shape) Failed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		return nil
	}
	return s.first.failed
}

// SnapshotErr says why the first rows could not be read, nil if they could or
// it is not known yet.
func (s *Shape) SnapshotErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		return nil
	}
	return s.first.err
}

// Sees is what the first rows contain; nil until it is known. Who keeps the pointer keeps
// the shape in memory.
func (s *Shape) Sees() *wal.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seesAny {
		return nil
	}
	return &s.sees
}

// Snapshot returns the first rows, perhaps still being written. Before Ready it
// is an error.
func (s *Shape) Snapshot() (*shapelog.Snapshot, error) {
	s.mu.Lock()
	f, chunks, gone := s.first, int(s.chunks), s.removed.Load() != nil
	var snap *shapelog.Snapshot
	var failed error
	if f != nil {
		snap, failed = f.snapshot, f.err
	}
	s.mu.Unlock()
	switch {
	case failed != nil:
		return nil, failed
	case gone:
		return nil, ErrRemoved
	case f != nil && snap == nil:
		return nil, fmt.Errorf("shape %d: the first rows are not there yet", s.id)
	case f != nil:
		return snap, nil
	case chunks > 0:
		return s.reg.log.OpenSnapshot(s.id, chunks), nil
	}
	return s.reg.inlineSnapshot(s)
}
