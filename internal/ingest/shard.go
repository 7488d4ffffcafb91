package ingest

import (
	"sync/atomic"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// mailboxLength bounds the batches that wait for a shard before it has to read
	// the journal by itself.
	mailboxLength = 32
	// mailboxBytes bounds them too, in bytes of stream, of which a batch has about
	// one MiB at the most. Decoded they take two to four times as much memory.
	mailboxBytes = 8 << 20
	// keepSteps bounds how many steps' room is used again; a batch has some thousands.
	keepSteps = 32 << 10
)

// stepKind says what a step of a batch is.
type stepKind uint8

const (
	stepChange stepKind = iota + 1
	stepCommit
	stepAbort
	stepRelation
)

// step is one thing a worker has to do. Changes are shared read-only by all
// shards.
type step struct {
	kind stepKind
	id   shape.ID
	tx   *wal.Txn
	ch   *wal.Change
	told *told
}

// told is how a relation looks from now on, for the shapes of a shard on it. They
// are many at once: a step of its own for each took 200 MB with a million.
type told struct {
	rel *wal.Relation
	ids []shape.ID
}

// message is what lies in a shard's mailbox.
type message struct {
	// at is the spine's position before the steps, to the one after them.
	at, to wal.LSN
	steps  []step
	size   int64 // bytes of the stream that they were made of, about

	// One of these may be set instead of steps; they come at transaction ends.
	join   *join
	rejoin *join // a join that a replaced worker may not have finished
	remove shape.ID
	// resume tells a worker that is behind to read the journal up to at and to
	// take its mailbox from there.
	resume bool
}

// join brings a new shape to its shard. Its consumer has come to
// consumer.Cursor().Pos and reads the journal from there to message.at.
type join struct {
	shape    *registry.Shape
	consumer *consume.Consumer // of the worker that takes the join
	from     wal.LSN           // everything below is in the shape's log or snapshot
}

// shard is a set of shapes with one worker. Fields up to the blank line belong
// to the spine; the atomics are read by anybody.
type shard struct {
	n       int
	box     chan message  // the present worker's mailbox; replaced with the worker
	spare   chan []step   // one slot: room of steps that a worker is done with
	nudge   chan struct{} // wakes the present worker when behind was set
	out     []step        // collected for the next message
	touched bool          // by the open transaction
	lagging bool          // left out until its worker has caught up
	wants   bool          // its worker asks to be taken in again
	held    []message     // controls to deliver when it resumes
	doubted wal.LSN       // the highest that doubt ever was
	failed  failure       // outside of a consumer
	shapes  *shape.ByID[registry.Shape]
	joining map[shape.ID]*join // sent to the worker, not yet confirmed
	// away are the shapes that are not the worker's at present: a worker was
	// replaced for them, and they are brought back by themselves.
	away map[shape.ID]struct{}

	// writing, a lock of one slot, is held by a worker from the look at its epoch until what it
	// wrote is published and in the ledger. A worker that takes over holds it
	// once before it reads where its shapes stand: no write of the one before
	// can come later.
	writing  chan struct{}
	progress *registry.Progress
	epoch    atomic.Uint64 // of the present worker: others are ghosts
	routed   atomic.Uint64 // position handed over (or held back, when lagging)
	applied  atomic.Uint64 // position up to which everything is in the shape log
	behind   atomic.Bool   // tells the worker that it is lagging
	// doubt is the commit LSN of the newest transaction for which shapes here were held
	// to owe rows that may not be theirs; 0: all are settled.
	doubt atomic.Uint64
	pulse atomic.Pointer[pulse]
}

// pulse is what one worker shows of itself, so that the watchdog need not ask.
type pulse struct {
	epoch     uint64
	replaced  chan struct{} // closed when it is; a worker that waits for work must not wait on
	goroutine atomic.Int64  // its number in stack traces
	posted    atomic.Uint64 // messages put into its mailbox
	taken     atomic.Uint64 // messages it has finished
	queued    atomic.Int64  // bytes of those it has not
	beat      atomic.Uint64 // changes applied and batches committed
	current   atomic.Uint64 // ID of the shape whose consumer is running, 0: none
	place     atomic.Uint64 // commit LSN of the transaction that it was last given
	wrote     atomic.Int64  // when it last wrote to the shape log, in ns of Ingest.now; 0: never
}

// failure counts how often a shard's worker failed at one position without a
// consumer that could be blamed.
type failure struct {
	at    wal.LSN
	count int
}

// spareSteps is room for steps that is free again, or none.
func (s *shard) spareSteps() []step {
	select {
	case steps := <-s.spare:
		return steps
	default:
		return nil
	}
}

// done takes the room of steps back from the worker that they were given to.
func (s *shard) done(steps []step) {
	if cap(steps) == 0 || cap(steps) > keepSteps {
		return
	}
	clear(steps)
	select {
	case s.spare <- steps[:0]:
	default:
	}
}

// post puts a message into the mailbox, if there is room. A single one there is
// always room for in an empty mailbox.
func (s *shard) post(m message) bool {
	p := s.pulse.Load()
	if n := p.queued.Load(); n > 0 && m.size > 0 && n+m.size > mailboxBytes {
		return false
	}
	p.queued.Add(m.size)
	select {
	case s.box <- m:
		p.posted.Add(1)
		return true
	default:
		p.queued.Add(-m.size)
		return false
	}
}
