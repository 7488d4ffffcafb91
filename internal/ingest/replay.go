package ingest

import (
	"context"
	"fmt"

	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// replay reads the journal from one position to another and gives every change
// that touches the shapes of an index to a worker. It is the one way of
// catching up.
type replay struct {
	index *route.Index
	w     *worker
	ids   []shape.ID
	bytes int
	err   error         // the first one
	known *wal.Relation // whose ancestors are known, the newest
	ctx   context.Context
}

// replayBytes is how much of the journal is read before what it gave is
// committed, in bytes: a large transaction or a long distance needs bounded
// memory.
const replayBytes = 1 << 20

// run replays transactions with from ≤ Commit < to. The journal must hold them,
// fsynced; to is a transaction end.
func (w *worker) replay(ctx context.Context, index *route.Index, from, to wal.LSN) error {
	if from >= to {
		return w.commit(to)
	}
	r, err := w.in.opts.Journal.Reader(from)
	if err != nil {
		return fmt.Errorf("read the journal from %s: %w", from, err)
	}
	defer r.Close()
	rp := &replay{index: index, w: w, ctx: ctx}
	u := unpacker{pos: from, stop: to}
	for !u.done {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, ok, err := r.Next()
		if err != nil {
			return fmt.Errorf("read the journal after %s: %w", u.pos, err)
		}
		if !ok {
			return fmt.Errorf("read the journal up to %s: it ends at %s", to, u.pos)
		}
		if err := u.feed(f, rp); err != nil {
			return err
		}
		if rp.err != nil {
			return rp.err
		}
		if rp.bytes += len(f.Data); rp.bytes >= replayBytes {
			rp.bytes = 0
			if err := w.commit(u.pos); err != nil {
				return err
			}
		}
	}
	return w.commit(to)
}

func (rp *replay) relation(tx *wal.Txn, rel *wal.Relation) {
	rp.ids = rp.index.Shapes(rel.OID, rp.ids[:0])
	for _, id := range rp.ids {
		rp.note(rp.w.relation(id, tx, rel))
	}
}

func (rp *replay) change(tx *wal.Txn, ch wal.Change) {
	if err := rp.clear(rp.ctx, ch.Rel); err != nil {
		rp.note(err)
		return
	}
	rp.ids = rp.index.Route(&ch, rp.ids[:0])
	for _, id := range rp.ids {
		rp.note(rp.w.change(rp.w.members.Get(id), tx, &ch))
	}
}

func (rp *replay) commit(tx *wal.Txn) { rp.note(rp.w.endTxn(tx)) }

func (rp *replay) abort() { rp.w.abort() }

// note keeps the first error for run.
func (rp *replay) note(err error) {
	if rp.err == nil {
		rp.err = err
	}
}
