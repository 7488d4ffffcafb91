package shapelog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Log's defaults; see Options.
const (
	defaultCacheBytes    = 32 << 20
	defaultMemTableBytes = 16 << 20
	defaultInlineBytes   = 64 << 10

	maxOpenTables = 1000

	// blockBytes is a table's block: with 16 KiB a chunk is read at 1.5 times
	// the speed of Pebble's 4 KiB and the newest entry as fast; with 32 KiB the
	// newest entry costs twice as much.
	blockBytes = 16 << 10
)

// Events tells the engine what Pebble does in the background. Each may be nil.
// They are called by Pebble's goroutines and must not wait.
type Events struct {
	// BackgroundError: a flush or a compaction failed; Pebble tries again.
	BackgroundError func(error)
	// WriteStall: Pebble makes writers wait (true), or no longer does (false).
	WriteStall func(stalled bool)
}

func pebbleOptions(o *Options) *pebble.Options {
	p := &pebble.Options{
		FS:                 o.FS,
		FormatMajorVersion: pebble.FormatNewest,
		// Pebble takes the room of its memtables, of which two are usual, out of this.
		CacheSize:    o.CacheBytes + 2*int64(o.MemTableBytes),
		DisableWAL:   true,
		ReadOnly:     o.ReadOnly,
		Logger:       PebbleLogger(o.Logger),
		MaxOpenFiles: maxOpenTables,
		MemTableSize: o.MemTableBytes,
		// Three full memtables may wait for the disk before writers do.
		MemTableStopWritesThreshold: 4,
		// Pebble compacts at half of this many tables above each other. With many shapes each
		// flush has keys from end to end, so each compaction of level 0 writes the level below
		// anew: a change costs 6.3 µs of CPU in BenchmarkManyLogs with a 4 here, about 2.8 with 16,
		// 2.3 to 3 with 24 and 1.6 to 2.1 with 32; it depends on how many compactions fall into it.
		// Who waits for news does not look into these tables (times). Who reads where all shapes
		// stand does, as a worker that takes over from a stuck one: 4.5 µs a shape on average with
		// 16, 7.5 with 32.
		L0CompactionThreshold: 24,
		L0StopWritesThreshold: 60,
		EventListener: &pebble.EventListener{
			BackgroundError: o.Events.BackgroundError,
		},
		BlockPropertyCollectors: []func() pebble.BlockPropertyCollector{
			func() pebble.BlockPropertyCollector { return sstable.NewBlockIntervalCollector(times, commits{}, nil) },
		},
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = blockBytes
	}
	if stall := o.Events.WriteStall; stall != nil {
		p.EventListener.WriteStallBegin = func(pebble.WriteStallBeginInfo) { stall(true) }
		p.EventListener.WriteStallEnd = func() { stall(false) }
	}
	return p
}

// times is the property of tables and blocks that says of what commits their entries
// are. Who waits for a shape's next change reads what is newer than all tables but the
// last, and need not look into the others.
const times = "spillway.commits"

// commits maps an entry to its commit. Tables of before there was this property are
// looked into always.
type commits struct{}

func (commits) MapPointKey(key pebble.InternalKey, _ []byte) (sstable.BlockInterval, error) {
	off, ok := entryOffset(key.UserKey)
	if !ok {
		return sstable.BlockInterval{}, nil
	}
	return sstable.BlockInterval{Lower: uint64(off.Tx), Upper: uint64(off.Tx) + 1}, nil
}

func (commits) MapRangeKeys(sstable.Span) (sstable.BlockInterval, error) {
	return sstable.BlockInterval{}, nil // there are none
}

// between lets an iterator pass over what has no entry of these commits.
func between(after, upTo wal.LSN) []pebble.BlockPropertyFilter {
	return []pebble.BlockPropertyFilter{sstable.NewBlockIntervalFilter(times, uint64(after), uint64(upTo)+1, nil)}
}

// PebbleLogger hands Pebble's words to l: its chatter at debug level, its
// errors as errors. What Pebble calls fatal (a failed write of its own manifest
// or WAL, after which nothing it says can be trusted) ends the process, as
// Pebble demands. A nil l is silence.
func PebbleLogger(l *slog.Logger) pebble.Logger {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return pebbleLogger{l}
}

type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "msg", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "msg", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error("pebble: fatal", "msg", msg)
	panic("pebble: " + msg)
}
