package registry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// State says how far a shape has come.
type State uint8

// The states.
const (
	Snapshotting State = iota // its first rows are being read
	Live                      // its first rows are durable
	Quarantined               // out of the stream: what there is is served until it is built anew
	Parked                    // the same, and clients are told to come again: building it anew did not help
)

func (s State) String() string {
	return [...]string{"snapshotting", "live", "quarantined", "parked"}[s]
}

// Progress is how far a group of consumers, a shard, has applied the stream.
// Shapes point to it, so that a transaction that touches one shape costs the
// others nothing.
type Progress struct{ applied atomic.Uint64 }

// Advance says that all transactions below pos are applied and published for
// every shape that points here. A lower position than before is ignored.
func (p *Progress) Advance(pos wal.LSN) {
	for {
		old := p.applied.Load()
		if uint64(pos) <= old || p.applied.CompareAndSwap(old, uint64(pos)) {
			return
		}
	}
}

// Position returns the position of the last Advance.
func (p *Progress) Position() wal.LSN { return wal.LSN(p.applied.Load()) }

// Shape is one shape that lives here. Its methods may be called from any
// goroutine. A Shape stays usable after it was removed: it tells so.
type Shape struct {
	// What each change of the shape touches is together, two lines of a cache that
	// begin where the object does: with a million shapes none of it is in one.
	def      shape.Def
	id       shape.ID
	removed  atomic.Pointer[shape.Reason] // nil: it was not
	ill      atomic.Pointer[Illness]      // nil: it is well; written under mu
	leaving  atomic.Bool                  // see Leave
	failures atomic.Int32                 // see Failures
	mu       sync.Mutex                   // of what follows up to changed, of sees and of first
	state    State
	seesAny  bool  // sees is known
	chunks   int32 // of the durable snapshot; 0: it is in the catalogue
	tail     wal.Offset
	seen     wal.LSN
	changed  chan struct{} // made by a waiter, closed when the tail moves or the shape goes

	progress atomic.Pointer[Progress]
	reg      *Registry
	start    wal.LSN
	created  int64 // µs since 1970
	heirOf   shape.ID
	used     atomic.Int64  // µs since 1970
	sees     wal.Snapshot  // once known never changed
	first    *first        // nil once the first rows are durable
	recent   int32         // its place in recency, under the mutex there
	random   uint32        // of the handle
	odd      *shape.Handle // the whole handle if appendHandle makes another one
}

// Def is the shape's definition. Its Table is shared by all shapes of that
// version of the table. Who keeps the pointer keeps the shape in memory.
func (s *Shape) Def() *shape.Def { return &s.def }

// Key is the definition's canonical form, made anew at each call.
func (s *Shape) Key() string { return s.def.Key() }

// ID is the shape's number, never used again.
func (s *Shape) ID() shape.ID { return s.id }

// Start is the position that the shape was created at: transactions whose
// commit LSN is below it are not its business.
func (s *Shape) Start() wal.LSN { return s.start }

// Created is when the shape was created.
func (s *Shape) Created() time.Time { return time.UnixMicro(s.created) }

// State says how far the shape has come.
func (s *Shape) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Tail is the offset of the last entry that may be read, wal.AfterSnapshot when
// there is none.
func (s *Shape) Tail() wal.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail
}

// Seen is what a client that has read up to Tail may be told it has seen
// (global_last_seen_lsn). Take it before Tail: everything of the shape up to
// Seen is then at or below Tail.
func (s *Shape) Seen() wal.LSN {
	// Progress first: it is advanced behind Publish.
	var applied wal.LSN
	for p := s.progress.Load(); p != nil; p = s.progress.Load() {
		applied = p.Position()
		if s.progress.Load() == p {
			break // or the position may be from after the shape was set apart
		}
		applied = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := max(s.seen, s.tail.Tx)
	if applied > 0 {
		seen = max(seen, applied-1)
	}
	return seen
}

// SetProgress says whose progress the shape shares. The position there must not
// be above what was applied for this shape, also while the shape catches up on
// its own: then it needs a Progress of its own.
func (s *Shape) SetProgress(p *Progress) { s.progress.Store(p) }

// Publish says that the log may be read up to tail and that everything of the
// shape with a commit LSN up to seen is in it, and wakes the waiters. A tail
// that is lower than the one before changes nothing.
func (s *Shape) Publish(tail wal.Offset, seen wal.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = max(s.seen, seen)
	if !s.tail.Less(tail) {
		return
	}
	s.tail = tail
	s.wake()
}

// Leave says that the shape's log is not continued from now on: it will be removed or
// become ill, which takes as long as it takes to write that down.
func (s *Shape) Leave() { s.leaving.Store(true) }

// Leaving reports whether Leave was called.
func (s *Shape) Leaving() bool { return s.leaving.Load() }

// Changed returns a channel that is closed when the tail next moves or the
// shape is removed; of a removed shape it is closed already. Take it, then look
// at Tail and Removed, then wait.
func (s *Shape) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed.Load() != nil {
		return closed
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Removed says whether the shape was removed, and why.
func (s *Shape) Removed() (shape.Reason, bool) {
	if reason := s.removed.Load(); reason != nil {
		return *reason, true
	}
	return "", false
}

// wake tells the waiters. mu is held.
func (s *Shape) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// setRemoved marks the shape as gone and wakes those who wait on it. What it
// returns must be aborted once no mutex is held.
func (s *Shape) setRemoved(reason shape.Reason) (abort *shapelog.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed.Store(&reason)
	s.wake()
	return s.failLocked(ErrRemoved)
}

// closed is a channel for those who need not wait.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
