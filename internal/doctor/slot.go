package doctor

import (
	"context"
	"fmt"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// slot looks at the replication slot. That there is none is right: the service makes it.
func (x *examination) slot(ctx context.Context) (err error) {
	if x.slots, err = x.db.SlotHealth(ctx, x.Config.Slot()); err != nil {
		return err
	}
	judgeSlot(x.group(groupSlot), &x.slots, slotWanted{
		name: x.Config.Slot(), database: x.conn.Config().Database, ours: x.running || x.locked, budget: x.Config.WALBudget,
	})
	return nil
}

// slotWanted is what the slot should be.
type slotWanted struct {
	name, database string
	ours           bool  // a service works with it
	budget         int64 // bytes; 0: none
}

func judgeSlot(g group, s *pgquery.SlotHealth, w slotWanted) {
	another := "Set SPILLWAY_STREAM_ID to a name that is free, or drop the slot if nobody needs it: SELECT pg_drop_replication_slot('" + w.name + "')."
	switch {
	case !s.Exists:
		g.ok("slot", "%s will be made", w.name)
	case s.Plugin != "pgoutput":
		kind := "a physical one"
		if s.Plugin != "" {
			kind = "one of plugin " + s.Plugin
		}
		g.fail("slot_plugin", fmt.Sprintf("Slot %s is %s, we need pgoutput.", w.name, kind), another)
	case s.Database != w.database:
		g.fail("slot_database", fmt.Sprintf("Slot %s belongs to database %s, we are to serve %s.", w.name, s.Database, w.database), another)
	case s.WALStatus == "lost" || s.Invalidation != "":
		why := s.Invalidation
		if why == "" {
			why = "wal_removed"
		}
		g.warn("slot_lost", fmt.Sprintf("Slot %s is lost (%s): it will be made anew, and every shape starts again.", w.name, why),
			"Raise max_slot_wal_keep_size, and look why the service was away or behind.")
	case s.WALStatus == "unreserved":
		g.warn("slot_lost", fmt.Sprintf("Slot %s is about to be lost: Postgres removes what it needs at the next checkpoint.", w.name),
			"Start the service now, and raise max_slot_wal_keep_size.")
	case s.Active && !w.ours:
		g.fail("slot_in_use", fmt.Sprintf("Slot %s is in use by pid %d of Postgres, which is no Spillway: its changes are taken away.", w.name, s.ActivePID),
			"End what uses it, or set SPILLWAY_STREAM_ID to a name that is free.")
	case s.Active:
		g.ok("slot", "%s, in use by a running service", w.name)
	default:
		g.ok("slot", "%s, not in use", w.name)
	}
	if s.Exists {
		retained(g, s, w)
	}
}

// retained is about WAL that Postgres keeps because of the slot.
func retained(g group, s *pgquery.SlotHealth, w slotWanted) {
	found := size(s.RetainedBytes) + " of WAL are kept for it"
	switch {
	case w.budget > 0 && s.RetainedBytes > w.budget:
		g.warn("slot_retains", fmt.Sprintf("%s, more than SPILLWAY_WAL_BUDGET (%s).", found, size(w.budget)),
			"Start the service if it does not run; spillway status says what holds the slot back.")
	case s.SafeBytes >= 0 && s.SafeBytes < s.RetainedBytes/4:
		g.warn("slot_retains", fmt.Sprintf("%s; after %s more it is lost.", found, size(s.SafeBytes)),
			"Start the service if it does not run, and raise max_slot_wal_keep_size.")
	default:
		g.ok("slot_retains", "%s", found)
	}
}
