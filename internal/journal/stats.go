package journal

import (
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// State is how the journal's disk does.
type State uint8

// The states, from well to dead.
const (
	StateOK      State = iota
	StateSlow          // the last sync or the current operation took slowAfter or more
	StateStalled       // the current operation has been running for stalledAfter or more
	StateFull          // no space; tried again about once a second
	StateFailed        // final, see Journal.Err
)

const (
	slowAfter    = 500 * time.Millisecond
	stalledAfter = 5 * time.Second
)

func (s State) String() string {
	return [...]string{"ok", "slow", "stalled", "full", "failed"}[s]
}

// Stats are figures of one moment.
type Stats struct {
	State State
	Err   error // of the last write that found no space, or of the failure

	Bytes    int64   // on disk
	Segments int     // files
	Oldest   wal.LSN // Reader works from here on
	Written  wal.LSN // written, perhaps not fsynced
	Synced   wal.LSN
	Queued   int64 // bytes of frames offered and not fsynced
	Window   int64 // bytes of recent frames in memory
	Readers  int

	Syncs    uint64        // group commits since Open
	LastSync time.Duration // how long the last one's fsync took
	// Op is what the writer asked of the disk and has no answer to yet
	// ("create", "write", "sync"), since OpSince, for OpTook. "": nothing.
	Op      string
	OpSince time.Time
	OpTook  time.Duration
}

// ioWatch remembers what the writer is waiting for. Guarded by Journal.mu.
type ioWatch struct {
	op    string
	since time.Time
	last  time.Duration
	syncs uint64
	full  error
}

// beginIO notes that the writer waits for the disk.
func (j *Journal) beginIO(op string) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.io.op, j.io.since = op, now
}

// endIO notes that the disk has answered.
func (j *Journal) endIO() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.io.op = ""
}

// State returns how the journal's disk does. It never waits for it.
func (j *Journal) State() State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state(time.Now())
}

func (j *Journal) state(now time.Time) State {
	var took time.Duration
	if j.io.op != "" {
		took = now.Sub(j.io.since)
	}
	switch {
	case j.err != nil:
		return StateFailed
	case took >= stalledAfter:
		return StateStalled
	case j.io.full != nil:
		return StateFull
	case took >= slowAfter || j.io.last >= slowAfter:
		return StateSlow
	}
	return StateOK
}

// Stats returns figures of this moment. It never waits for the disk.
func (j *Journal) Stats() Stats {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{
		State:    j.state(now),
		Err:      j.io.full,
		Segments: len(j.segments) + len(j.doomed),
		Oldest:   j.oldest(),
		Written:  max(j.written, j.tail.pos),
		Synced:   j.tail.pos,
		Queued:   j.queued,
		Window:   j.window.bytes,
		Readers:  len(j.readers),
		Syncs:    j.io.syncs,
		LastSync: j.io.last,
	}
	if j.err != nil {
		s.Err = j.err
	}
	if j.io.op != "" {
		s.Op, s.OpSince, s.OpTook = j.io.op, j.io.since, now.Sub(j.io.since)
	}
	for _, seg := range j.segments {
		s.Bytes += seg.size
	}
	for _, seg := range j.doomed {
		s.Bytes += seg.size
	}
	return s
}

// oldest is the position from which Reader works. mu is held.
func (j *Journal) oldest() wal.LSN {
	for _, seg := range j.segments {
		if seg.start {
			return seg.pos
		}
	}
	return j.tail.pos
}
