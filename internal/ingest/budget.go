package ingest

import (
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// nearBudget says that the journal holds so much that something has to be done.
func (in *Ingest) nearBudget() bool {
	budget := in.opts.JournalBudget
	return budget > 0 && in.opts.Journal.Stats().Bytes >= budget-budget/8
}

// keepBudget takes the worst laggard out of the stream when the journal comes
// near its budget. This is what catches a consumer that does make progress, but
// too little: no clock would. At most one goes at each look. A journal that is in
// trouble itself, or a fault of all, is nobody's fault, and nobody goes for it:
// then the journal holds the stream back instead.
func (in *Ingest) keepBudget() {
	budget := in.opts.JournalBudget
	st := in.opts.Journal.Stats()
	sick := st.State >= journal.StateStalled && !errors.Is(st.Err, journal.ErrHeld)
	if !in.nearBudget() || sick || !in.guard.calm(in.now(), in.watchdog.window()) {
		return
	}
	if in.now() < in.respite {
		return
	}
	if in.busyWithLeaver() {
		return
	}
	sp := in.laggard()
	if sp == nil {
		in.opts.Logger.Warn("the journal is near its budget, and no shape holds it", "bytes", st.Bytes, "budget", budget)
		return
	}
	if out(sp) {
		return // it leaves at the end of the open transaction
	}
	in.respite = in.now() + respite*in.opts.FlushEvery
	in.quarantine(sp, shape.ReasonBudget, fmt.Sprintf("the journal holds %d bytes for it, the budget is %d", st.Bytes, budget))
}

// respite is for how many flushes nobody goes after one who went: those it had kept
// waiting come after it, if they can. The journal's limit holds meanwhile.
const respite = 3

// busyWithLeaver says that a worker is still in the consumer of a shape that has
// been taken out already: whoever it keeps waiting is not to blame.
func (in *Ingest) busyWithLeaver() bool {
	for _, sh := range in.shards {
		id := shape.ID(sh.pulse.Load().current.Load())
		if id == 0 {
			continue
		}
		if sp := in.opts.Registry.ByID(id); sp == nil || out(sp) {
			return true
		}
	}
	return false
}

// limit lets the journal take nothing beyond its budget as long as a shape holds
// it: somebody will let go of it, or go. Without one what fills it is a single
// transaction, and to wait for its end by not reading on would be to wait for
// ever.
func (in *Ingest) limit(held bool) {
	if held {
		in.opts.Journal.Limit(in.opts.JournalBudget)
	} else {
		in.opts.Journal.Limit(0)
	}
}

// laggard is the shape that holds the journal: the one that its shard's worker is
// busy with, if it is behind, since it keeps the others of the shard waiting;
// else the one that the boundary stands at.
func (in *Ingest) laggard() *registry.Shape {
	h := in.holder.Load()
	if h == nil {
		return nil
	}
	sh := in.shards[uint64(h.id)%uint64(len(in.shards))]
	if id := shape.ID(sh.pulse.Load().current.Load()); id != 0 && sh.routed.Load() > sh.applied.Load() {
		if sp := in.opts.Registry.ByID(id); sp != nil {
			return sp
		}
	}
	return in.opts.Registry.ByID(h.id)
}
