package ingest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ledger collects what workers have put into the shape log until it is durable.
type ledger struct {
	mu      sync.Mutex           // leaf lock: held for map operations only
	dirty   map[shape.ID]wal.LSN // since the last look
	waiting map[shape.ID]wal.LSN // from before it
	syncing map[shape.ID]wal.LSN // taken by the flush under way
	settled map[shape.ID]wal.LSN // durable already: nothing was written

	clean chan struct{} // one slot: settled has something
}

func newLedger() *ledger {
	return &ledger{
		dirty:   make(map[shape.ID]wal.LSN),
		waiting: make(map[shape.ID]wal.LSN),
		settled: make(map[shape.ID]wal.LSN),
		clean:   make(chan struct{}, 1),
	}
}

// note records that a shape has come to pos. If it wrote nothing and owes
// nothing to an earlier flush, it is durable at once: a shape that filters out
// all it is handed needs no fsync.
func (l *ledger) note(id shape.ID, pos wal.LSN, wrote bool) {
	l.mu.Lock()
	settled := !wrote && !l.owes(id)
	if settled {
		l.settled[id] = pos
	} else {
		l.dirty[id] = pos
	}
	l.mu.Unlock()
	if settled {
		select {
		case l.clean <- struct{}{}:
		default:
		}
	}
}

// owes says that something of a shape is not durable. The caller holds mu.
func (l *ledger) owes(id shape.ID) bool {
	_, dirty := l.dirty[id]
	_, waiting := l.waiting[id]
	_, syncing := l.syncing[id]
	return dirty || waiting || syncing
}

func (l *ledger) takeClean() map[shape.ID]wal.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.settled
	l.settled = make(map[shape.ID]wal.LSN)
	return m
}

// look returns how many shapes wrote something since the last look.
func (l *ledger) look() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.dirty)
	if len(l.waiting) == 0 {
		l.waiting, l.dirty = l.dirty, l.waiting
		return n
	}
	maps.Copy(l.waiting, l.dirty)
	clear(l.dirty)
	return n
}

// begin takes what was there at the last look.
func (l *ledger) begin() map[shape.ID]wal.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncing = l.waiting
	l.waiting = make(map[shape.ID]wal.LSN)
	return l.syncing
}

func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncing = nil
}

// budgetLooks is how often within the time between two flushes it is looked
// whether the journal comes near its budget: then each look is a flush, since what
// is not durable holds the journal.
const budgetLooks = 16

// What makes a flush worth its while. Each is a table on disk that holds rows of shapes
// from end to end, and after some of them the tables below are written anew. The journal
// has what is not flushed.
const (
	flushBytes         = 12 << 20 // written into the shape log
	flushSpan  wal.LSN = 64 << 20 // bytes of WAL that a start would have to read
)

// worth says whether what was written is worth a flush.
func (in *Ingest) worth() bool {
	written, routed, now := in.opts.Log.Written(), in.Routed(), in.now()
	if written-in.flushed.bytes < flushBytes && routed-in.flushed.at < flushSpan &&
		now-in.flushed.when < in.opts.FlushAtLatest && !in.nearBudget() {
		return false
	}
	in.flushed.bytes, in.flushed.at, in.flushed.when = written, routed, now
	return true
}

// flusher makes the shape log durable from time to time and trims the journal.
// It is a goroutine of its own: a disk that hangs here holds the boundary, and
// nothing else.
func (in *Ingest) flusher(ctx context.Context) error {
	t := time.NewTicker(in.opts.FlushEvery / budgetLooks)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-t.C:
			// Between two flushes a fast writer may fill the rest of the budget.
			if n%budgetLooks != 0 && !in.nearBudget() {
				continue
			}
		case <-ctx.Done():
			// The last flush: what is durable need not be replayed. Nobody is
			// left who could be told.
			return in.opts.Log.Flush()
		}
		if err := in.flushOnce(ctx); err != nil {
			return err
		}
	}
}

func (in *Ingest) flushOnce(ctx context.Context) error {
	in.guard.sawActive(in.durable.look(), in.now(), in.watchdog.window())
	var taken map[shape.ID]wal.LSN
	if in.worth() {
		taken = in.durable.begin()
	}
	if len(taken) > 0 {
		if err := in.opts.Log.Flush(); err != nil {
			return fmt.Errorf("flush the shape log: %w", err)
		}
	}
	in.durable.end()
	if len(taken) > 0 {
		// Who holds the boundary after that is behind, and not merely not durable.
		done := make(chan struct{})
		if in.tell(ctx, command{kind: cmdDurable, durable: taken, done: done}) != nil {
			return nil
		}
		select {
		case <-done:
		case <-in.ended:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	b := in.Boundary()
	// The boundary is written down before anything below it goes.
	if f := in.opts.OnBoundary; f != nil && b != in.trimmed {
		if err := f(b); err != nil {
			return fmt.Errorf("store the boundary: %w", err)
		}
	}
	in.trimmed = b
	// Also when the boundary is where it was: the journal gives the rest of an
	// idle segment back in two steps.
	if err := in.opts.Journal.Trim(b); err != nil {
		return fmt.Errorf("trim the journal below %s: %w", b, err)
	}
	in.keepBudget()
	return nil
}
