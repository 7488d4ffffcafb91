package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Partitions. A row comes under the name of the partition that holds it; whose
// partition that is stands in the catalogue only, which the spine must not wait
// for. So the ancestors of tables are kept beside the stream (route.Kin). When a
// row comes of a table that is not in there yet, while there are shapes on
// partitioned tables, their shards are left out like one that is too slow: their
// workers read the journal by themselves, and wait there until it is known.
//
// A replay may know more than the spine knew: that is as if it had been known in
// time, since a table that becomes a partition with rows in it rotates the shapes
// of its ancestors (package engine).

const (
	// kinLimit is how long a worker waits to learn of a table's ancestors.
	kinLimit = 5 * time.Second
	kinPoll  = 50 * time.Millisecond
)

// kinNow is what is known of ancestors at present.
type kinNow struct {
	kin  route.Kin
	next chan struct{} // closed when more is known
}

// SetKin says what is known of the ancestors of tables. The map is not changed any
// more by the caller.
func (in *Ingest) SetKin(k route.Kin) {
	was := in.kin.Swap(&kinNow{kin: k, next: make(chan struct{})})
	close(was.next)
}

func (in *Ingest) newIndex() *route.Index {
	x := route.New()
	x.SetSpread(spread)
	x.SetKin(in.kin.Load().kin)
	return x
}

func (s *spine) refreshKin() {
	if k := s.in.kin.Load(); k != s.kin {
		s.kin, s.clear = k, nil
		clear(s.told) // a relation may be others' now
		s.index.SetKin(k.kin)
	}
}

// doubt takes a row in of which it is not known whose partition holds it: every
// shape on a partitioned table may owe it.
func (s *spine) doubt(tx *wal.Txn) {
	if s.doubted {
		return
	}
	s.doubted = true
	s.ids = s.index.Partitioned(s.ids[:0])
	for _, id := range s.ids {
		s.touched[id] = struct{}{}
		sh := s.shardOf(id)
		sh.doubted = tx.Commit
		sh.doubt.Store(uint64(tx.Commit))
		if !sh.lagging {
			s.leaveOut(sh)
		}
	}
}

// settleDoubt is called when everything up to w.pos has been read: whoever was
// held to owe something below it has it now, or it was not for him.
func (w *worker) settleDoubt() error {
	at := w.sh.doubt.Load()
	if w.private || at == 0 || w.pos <= wal.LSN(at) {
		return nil // its transaction may still be open in the spine
	}
	for m := range w.members.All() {
		if !m.dead && !m.open && m.shape.Def().Table.Kind == 'p' {
			m.consumer.Skip(w.pos)
			w.mark(m, true)
		}
	}
	if err := w.commit(w.pos); err != nil {
		return err
	}
	w.sh.doubt.CompareAndSwap(at, 0) // not if a newer one has come meanwhile
	return nil
}

// clear makes sure that it is known whose rows those of a table are. If it cannot
// be found out, shapes that might miss them are given up.
func (rp *replay) clear(ctx context.Context, rel *wal.Relation) error {
	if rel == rp.known {
		return nil
	}
	limit := time.Now().Add(kinLimit)
	t := time.NewTicker(kinPoll)
	defer t.Stop()
	for rp.index.InDoubt(rel) {
		now := rp.w.in.kin.Load()
		rp.index.SetKin(now.kin)
		if !rp.index.InDoubt(rel) {
			break
		}
		if time.Now().After(limit) {
			rp.giveUp(rel)
			break
		}
		select {
		case <-now.next:
		case <-t.C:
			rp.w.pulse.beat.Add(1) // it waits for somebody, with a limit
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	rp.known = rel
	return nil
}

func (rp *replay) giveUp(rel *wal.Relation) {
	why := &consume.Rotate{Reason: shape.ReasonSchema, Detail: fmt.Sprintf(
		"whether %q.%q is a partition of the table could not be found out within %s", rel.Schema, rel.Name, kinLimit)}
	for _, id := range rp.index.Partitioned(nil) {
		m := rp.w.members.Get(id)
		if m != nil && !route.MayHold(m.shape.Def().Table, rel) {
			continue
		}
		if m != nil && !m.dead {
			rp.note(rp.w.settle(m, why))
		}
		rp.index.Remove(id) // or the next such table would be waited for as long
	}
}
