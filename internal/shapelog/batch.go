package shapelog

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Entry is one message of a shape's log in the form it is sent in.
type Entry struct {
	Offset wal.Offset
	JSON   []byte
	// Boundary: the entry is the last of its chunk.
	Boundary bool
	// Pos and ChunkBytes are those of the cursor whose tail this entry is, if it is
	// the last of a transaction; else Pos is 0. Such an entry is a cursor by itself.
	Pos        wal.LSN
	ChunkBytes int64
}

// keepBatchBytes bounds the memory of a batch that Pebble uses again for others: to grow
// it anew was a quarter of what a change allocates.
const keepBatchBytes = 8 << 20

// Batch is a set of writes that becomes readable, and later durable, as one.
// It belongs to one goroutine. The memory that a Batch is given is its caller's
// again when the call returns.
type Batch struct {
	log *Log
	b   *pebble.Batch
}

// NewBatch returns an empty batch. It must be ended with Commit or Discard.
func (l *Log) NewBatch() *Batch {
	return &Batch{log: l, b: l.db.NewBatch(pebble.WithMaxRetainedSizeBytes(keepBatchBytes))}
}

// Append adds one entry to a shape's log.
func (b *Batch) Append(id shape.ID, e Entry) error {
	var head [entryHeadMax]byte
	h := appendEntryHead(head[:0], &e)
	op := b.b.SetDeferred(entryKeyLen, len(h)+len(e.JSON))
	putEntryKey(op.Key, id, e.Offset)
	copy(op.Value[copy(op.Value, h):], e.JSON)
	if err := op.Finish(); err != nil {
		return fmt.Errorf("append to log of shape %d: %w", id, err)
	}
	return nil
}

// SetCursor says how far the shape's log has come after this batch, in the
// words of the worker of the given epoch.
func (b *Batch) SetCursor(id shape.ID, epoch shape.Epoch, c shape.Cursor) error {
	op := b.b.SetDeferred(cursorKeyLen, cursorValueLen)
	putCursorKey(op.Key, id, epoch)
	putCursor(op.Value, c)
	if err := op.Finish(); err != nil {
		return fmt.Errorf("set cursor of shape %d: %w", id, err)
	}
	return nil
}

// Size is the number of bytes the batch holds.
func (b *Batch) Size() int { return b.b.Len() }

// Commit makes the batch readable. It does not wait for the disk; it does wait
// when Pebble's memtables are full (Events.WriteStall). The batch is used up.
func (b *Batch) Commit() error {
	empty, size := b.b.Empty(), int64(b.b.Len())
	if err := b.b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("commit shape log batch: %w", err)
	}
	if !empty {
		b.log.commits.Add(1)
		b.log.written.Add(size)
	}
	return b.close()
}

// Discard drops the batch.
func (b *Batch) Discard() error { return b.close() }

func (b *Batch) close() error {
	if err := b.b.Close(); err != nil {
		return fmt.Errorf("close shape log batch: %w", err)
	}
	return nil
}
