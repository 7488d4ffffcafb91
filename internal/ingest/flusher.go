package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ledger collects what workers have put into the shape log until it is durable.
type ledger struct {
	mu      sync.Mutex // leaf lock: held for map operations only
	dirty   map[shape.ID]wal.LSN
	syncing map[shape.ID]wal.LSN // taken by the flush under way
	settled map[shape.ID]wal.LSN // durable already: nothing was written

	clean chan struct{} // one slot: settled has something
}

func newLedger() *ledger {
	return &ledger{
		dirty:   make(map[shape.ID]wal.LSN),
		settled: make(map[shape.ID]wal.LSN),
		clean:   make(chan struct{}, 1),
	}
}

// note records that a shape has come to pos. If it wrote nothing and owes
// nothing to an earlier flush, it is durable at once: a shape that filters out
// all it is handed needs no fsync.
func (l *ledger) note(id shape.ID, pos wal.LSN, wrote bool) {
	l.mu.Lock()
	_, isDirty := l.dirty[id]
	_, isSyncing := l.syncing[id]
	settled := !wrote && !isDirty && !isSyncing
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

func (l *ledger) takeClean() map[shape.ID]wal.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.settled
	l.settled = make(map[shape.ID]wal.LSN)
	return m
}

func (l *ledger) begin() map[shape.ID]wal.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncing = l.dirty
	l.dirty = make(map[shape.ID]wal.LSN)
	return l.syncing
}

func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncing = nil
}

// flusher makes the shape log durable from time to time and trims the journal.
// It is a goroutine of its own: a disk that hangs here holds the boundary, and
// nothing else.
func (in *Ingest) flusher(ctx context.Context) error {
	t := time.NewTicker(in.opts.FlushEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
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
	// Read before the flush: what is behind this boundary was durable earlier.
	taken := in.durable.begin()
	in.guard.sawActive(len(taken), in.now(), in.watchdog.window())
	if len(taken) > 0 {
		if err := in.opts.Log.Flush(); err != nil {
			return fmt.Errorf("flush the shape log: %w", err)
		}
	}
	in.durable.end()
	if len(taken) > 0 {
		select {
		case in.commands <- command{kind: cmdDurable, durable: taken}:
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
