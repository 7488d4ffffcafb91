package ingest

import (
	"context"
	"slices"
	"time"

	"github.com/spillway-sync/spillway/internal/flush"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// roundBytes is about how much of the stream the spine decodes before it hands
// over what it has, in bytes: small enough for latency and memory, large enough
// that a message's cost does not matter.
const roundBytes = 1 << 20

// tick is how often the spine looks at what nobody woke it for.
const tick = 100 * time.Millisecond

type commandKind uint8

const (
	cmdPin     commandKind = iota + 1 // a new shape, before its snapshot
	cmdJoin                           // a new shape, with its snapshot known
	cmdJoined                         // its worker has it
	cmdRemoved                        // a shape's tombstone is durable
	cmdDurable                        // cursors that are durable
	cmdResume                         // a worker has caught up
	cmdReplace                        // a worker makes no progress or failed
)

// command is what others ask of the spine.
type command struct {
	kind    commandKind
	shard   *shard
	pulse   *pulse // whose worker it is about
	id      shape.ID
	join    *join
	durable map[shape.ID]wal.LSN
	stall   *Stall
	// returned: the worker to be replaced has ended, it leaves no ghost.
	returned bool
	// aside: nobody has failed yet.
	aside bool
	done  chan struct{} // closed when the command was carried out
}

// spine is one goroutine's state.
type spine struct {
	in      *Ingest
	reader  *journal.Reader
	unpack  unpacker
	index   *route.Index
	tracker *flush.Tracker
	shards  []*shard

	pos     wal.LSN // position handed over
	inTxn   bool
	touched map[shape.ID]struct{} // by the open transaction
	clear   *wal.Relation         // the newest one that was found not to be in doubt
	kin     *kinNow               // what the index has
	told    map[uint32]*announced // by relation
	joined  []shape.ID            // see news
	doubted bool                  // the open transaction has a row of a table in doubt
	ids     []shape.ID
	slab    []wal.Change
	read    int64     // bytes of the stream since the last hand-over
	joins   []command // wait for the end of the open transaction
	removed []shape.ID
	workers []*worker       // made by New, started by Run
	ctx     context.Context // of Run: fresh workers live in it
}

func (s *spine) run(ctx context.Context) error {
	defer s.reader.Close()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		more, err := s.round()
		if err != nil {
			return err
		}
		s.handOver()
		s.publish()
		ready := s.reader.Ready()
		if more {
			// Others get a look in between two rounds, without waiting.
			ready = closed
		}
		select {
		case c := <-s.in.commands:
			s.command(c)
		case <-ready:
		case <-s.in.durable.clean:
			for id, pos := range s.in.durable.takeClean() {
				s.tracker.Durable(id, s.epochOf(id), pos, s.in.now())
			}
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// round reads about roundBytes of frames. It reports whether there is more.
func (s *spine) round() (more bool, err error) {
	s.refreshKin()
	for n := 0; n < roundBytes; {
		f, ok, err := s.reader.Next()
		if err != nil || !ok {
			return false, err
		}
		n += len(f.Data) + 1
		s.read += int64(len(f.Data) + 1)
		if err := s.unpack.feed(f, s); err != nil {
			return false, err
		}
		if !s.inTxn && s.unpack.pos > s.pos {
			s.pos = s.unpack.pos
			s.tracker.Routed(s.pos, nil, s.in.now())
			s.betweenTxns()
		}
	}
	return true, nil
}

func (s *spine) shardOf(id shape.ID) *shard { return s.shards[uint64(id)%uint64(len(s.shards))] }

func (s *spine) epochOf(id shape.ID) shape.Epoch { return shape.Epoch(s.shardOf(id).epoch.Load()) }

func (s *spine) change(tx *wal.Txn, ch wal.Change) {
	s.inTxn = true
	if ch.Rel != s.clear {
		if s.index.InDoubt(ch.Rel) {
			s.doubt(tx)
		} else {
			s.clear = ch.Rel
		}
	}
	s.ids = s.index.Route(&ch, s.ids[:0])
	if len(s.ids) == 0 {
		return
	}
	p := s.keep(ch)
	for _, id := range s.ids {
		sh := s.shardOf(id)
		sh.touched = true
		sh.out = append(sh.out, step{kind: stepChange, id: id, tx: tx, ch: p})
		s.touched[id] = struct{}{}
	}
}

// keep copies a change to where it stays: slabs are never reused, the shards
// share what is in them.
func (s *spine) keep(ch wal.Change) *wal.Change {
	if len(s.slab) == cap(s.slab) {
		s.slab = make([]wal.Change, 0, 256)
	}
	s.slab = append(s.slab, ch)
	return &s.slab[len(s.slab)-1]
}

func (s *spine) commit(tx *wal.Txn) {
	s.inTxn, s.doubted = false, false
	for _, sh := range s.shards {
		if sh.touched {
			sh.touched = false
			sh.out = append(sh.out, step{kind: stepCommit, tx: tx})
		}
	}
	s.ids = s.ids[:0]
	for id := range s.touched {
		s.ids = append(s.ids, id)
	}
	s.clearTouched()
	s.tracker.Routed(tx.End, s.ids, s.in.now())
	s.pos = tx.End
	s.betweenTxns()
}

func (s *spine) clearTouched() {
	if len(s.touched) > 1024 {
		// A map keeps the size it once had.
		s.touched = make(map[shape.ID]struct{})
		return
	}
	clear(s.touched)
}

func (s *spine) abort() {
	s.inTxn, s.doubted = false, false
	for _, sh := range s.shards {
		if sh.touched {
			sh.touched = false
			sh.out = append(sh.out, step{kind: stepAbort})
		}
	}
	s.clearTouched()
	s.betweenTxns()
}

// betweenTxns does what may only be done while no transaction is open: a shape
// must get a transaction whole or not at all.
func (s *spine) betweenTxns() {
	s.refreshKin()
	for _, sh := range s.shards {
		if sh.wants {
			s.resume(sh)
		}
	}
	joins := s.joins
	s.joins = nil
	for _, c := range joins {
		s.join(c)
	}
	for _, id := range s.removed {
		s.remove(id)
	}
	s.removed = s.removed[:0]
}

// remove takes a shape out, between two transactions: its log, which may go on
// being read, must not claim to have come further than what it was handed, nor end
// in the middle of a transaction.
func (s *spine) remove(id shape.ID) {
	sh := s.shardOf(id)
	s.control(sh, message{remove: id})
	s.index.Remove(id)
	s.tracker.Removed(id)
	sh.shapes.Delete(id)
	delete(sh.joining, id)
	delete(sh.away, id)
}

// handOver puts what was collected into the shards' mailboxes.
func (s *spine) handOver() {
	for _, sh := range s.shards {
		s.deliver(sh)
	}
	s.read = 0
	s.in.routed.Store(uint64(s.pos))
}

func (s *spine) deliver(sh *shard) {
	to := s.pos // of the open transaction, if any, nothing counts yet
	at := wal.LSN(sh.routed.Load())
	if len(sh.out) == 0 && to <= at {
		return
	}
	sh.routed.Store(uint64(to))
	steps := sh.out
	if sh.lagging {
		clear(steps)
		sh.out = steps[:0]
		return
	}
	sh.out = sh.spareSteps()
	if !sh.post(message{at: at, to: to, steps: steps, size: s.read}) {
		s.leaveOut(sh)
	}
}

// leaveOut stops handing over to a shard whose mailbox is full: the spine waits
// for nobody.
func (s *spine) leaveOut(sh *shard) {
	sh.lagging = true
	sh.behind.Store(true)
	select {
	case sh.nudge <- struct{}{}:
	default:
	}
}

// control delivers a control message, after the changes collected before it.
func (s *spine) control(sh *shard, m message) {
	s.deliver(sh)
	m.at = s.pos
	if sh.lagging || !sh.post(m) {
		if !sh.lagging {
			s.leaveOut(sh)
		}
		sh.held = append(sh.held, m)
	}
}

// resume takes a shard in again whose worker has caught up, or nearly.
func (s *spine) resume(sh *shard) {
	sh.wants = false
	sh.lagging = false
	// Here and not in the worker, which may take the message when the shard is
	// left out already again.
	sh.behind.Store(false)
	sh.out = nil
	sh.routed.Store(uint64(s.pos))
	if !sh.post(message{at: s.pos, resume: true}) {
		// Its mailbox was empty when it asked.
		panic("ingest: a worker asked to resume with a full mailbox")
	}
	held := sh.held
	sh.held = nil
	for _, m := range held {
		s.control(sh, m)
	}
}

func (s *spine) command(c command) {
	switch c.kind {
	case cmdPin:
		// A shape that is gone from the registry has or will get its cmdRemoved:
		// a pin behind that would hold the journal for ever.
		if sp := s.in.opts.Registry.ByID(c.id); sp != nil && !out(sp) {
			s.tracker.Pin(c.id, s.epochOf(c.id), s.pos, s.in.now())
		}
		close(c.done)
	case cmdJoin:
		s.joins = append(s.joins, c)
		if !s.inTxn {
			s.betweenTxns()
		}
	case cmdJoined:
		// A ghost's word is not true any more: the worker after it has the shape to join
		// again, and until it has, the shard goes on without it. Who would forget that would
		// take the shard's position for the shape's when this worker is replaced too.
		if c.pulse == c.shard.pulse.Load() {
			delete(c.shard.joining, c.id)
		}
	case cmdRemoved:
		s.removed = append(s.removed, c.id)
		if !s.inTxn {
			s.betweenTxns()
		}
	case cmdDurable:
		for id, pos := range c.durable {
			s.tracker.Durable(id, s.epochOf(id), pos, s.in.now())
		}
		s.publish()
		close(c.done)
	case cmdResume:
		if c.pulse != c.shard.pulse.Load() {
			return // a ghost asks
		}
		c.shard.wants = true
		if !s.inTxn {
			s.betweenTxns()
		}
	case cmdReplace:
		s.replace(c)
	}
}

func (s *spine) join(c command) {
	id := c.join.shape.ID()
	sh := s.shardOf(id)
	if out(c.join.shape) {
		return
	}
	if _, back := sh.away[id]; back {
		delete(sh.away, id)
	} else {
		s.index.Add(id, c.join.shape.Def())
		s.clear = nil // with a first shape on a partitioned table doubts begin
		s.tracker.SetGoal(id, s.pos)
		sh.shapes.Put(id, c.join.shape)
		s.joined = append(s.joined, id)
	}
	sh.joining[id] = c.join
	s.control(sh, message{join: c.join})
}

// publish lets others read the spine's figures.
func (s *spine) publish() {
	s.in.boundary.Store(uint64(s.tracker.Boundary()))
	id, from, ok := s.tracker.Holder()
	// One that leaves at the end of the open transaction must not keep that end
	// from coming.
	s.in.limit(ok && !slices.Contains(s.removed, id))
	if ok {
		if h := s.in.holder.Load(); h == nil || h.id != id || h.from != from {
			s.in.holder.Store(&holder{id: id, from: from, since: time.Now()})
		}
	} else {
		s.in.holder.Store(nil)
	}
}

// adopt takes the live shapes of the catalogue in, at start.
func (s *spine) adopt() {
	for sp := range s.in.opts.Registry.All() {
		if sp.State() != registry.Live {
			continue
		}
		sh := s.shardOf(sp.ID())
		sh.shapes.Put(sp.ID(), sp)
		sp.SetProgress(sh.progress)
		s.index.Add(sp.ID(), sp.Def())
	}
}
