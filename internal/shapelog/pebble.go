package shapelog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
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
		// Pebble compacts at half of this. With many shapes each flush has keys from end to
		// end, so each compaction of level 0 writes the level below anew: with 20 MB there
		// and 2,000 changes in a flush, a change cost 47 µs of CPU for it at 2 tables, 28 at
		// 4 and 16 at 8. The newest entry of a log is read in 5.5 µs with no such table,
		// and in 8.6 with four.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 40,
		EventListener: &pebble.EventListener{
			BackgroundError: o.Events.BackgroundError,
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
