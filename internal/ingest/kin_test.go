package ingest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/sim"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	itemsOID = 100
	partOID  = 101 // whose ancestors are not known at first
	rootOID  = 500
)

// family are a partitioned table and one that may be a partition of it.
func family() []*shape.Table {
	root := sim.NewTable(rootOID, "root", []int{0}, "i", "t")
	root.Kind = 'p'
	return []*shape.Table{sim.NewTable(partOID, "part", []int{0}, "i", "t"), root}
}

// onRoot makes a shape on the partitioned table.
func (r *rig) onRoot() *registry.Shape {
	r.Helper()
	r.engine.Ingest.SetKin(route.Kin{itemsOID: nil, rootOID: nil})
	sp := r.createOn(r.pg.Table(2), "")
	r.until("the shape on the root to be live", func() bool { return sp.State() == registry.Live })
	return sp
}

// While a transaction is open whose rows may be a shape's, its worker reads on up to
// where that begins. What the shape is held to owe is owed until it ends.
func TestDoubtLastsUntilTheTransactionEnds(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		root := r.onRoot()
		r.released()
		r.engine.Disconnect()
		before, open := r.pg.Begin(), r.pg.Begin()
		r.write(before, "x", 0, 3)
		before.Finish()
		r.writeTo(open, r.pg.Table(1), "y", 0, 10)
		open.Finish()
		whole, parts := before.Frames(0), open.Frames(7)
		// One frame, so that the spine sees the doubt before it has handed anything over.
		both := wal.Frame{Kind: wal.FrameData, Open: true, Preamble: parts[1].Preamble, Data: slices.Concat(whole[2].Data, parts[1].Data)}
		r.offer(wal.Frame{Kind: wal.FrameReset}, both)
		time.Sleep(time.Second)
		r.engine.Ingest.SetKin(route.Kin{itemsOID: nil, rootOID: nil, partOID: nil})
		r.offer(parts[2])
		r.settle(a)
		r.released()
		if _, gone := root.Removed(); gone {
			r.Error("the shape on the root has gone")
		}
	}, family()...)
}

// Whose partitions tables are cannot be found out. The shapes that might miss rows go
// after the first of them; those that share their shard do not wait for each anew.
func TestUnknownTablesAreWaitedForOnce(t *testing.T) {
	more := family()
	const unknown = 10
	for i := range unknown - 1 {
		more = append(more, sim.NewTable(uint32(partOID+1+i), "part", []int{0}, "i", "t"))
	}
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		root := r.onRoot()
		r.engine.Disconnect()
		began := time.Now()
		tx := r.pg.Begin()
		for i := range r.pg.Tables() {
			if table := r.pg.Table(i); table.Def.OID != rootOID {
				r.writeTo(tx, table, "x", 0, 1)
			}
		}
		tx.Finish()
		frames := tx.Frames(0)
		r.offer(frames[0], frames[2])
		r.settle(a)
		r.released()
		if reason, gone := root.Removed(); !gone || reason != shape.ReasonSchema {
			r.Errorf("the shape on the root: %q", reason)
		}
		if took := time.Since(began); took > 3*kinLimit {
			r.Errorf("%d tables took %s", unknown, took)
		}
	}, more...)
}

// kinLimit is for how long a worker waits to learn of a table.
const kinLimit = 5 * time.Second
