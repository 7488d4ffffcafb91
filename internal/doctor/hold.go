package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// held is a transaction that holds a slot back.
type held struct {
	Name     string
	Seconds  *float64 // nil: our role may not see it
	Prepared bool
}

// heldQuery lists the transactions of the whole cluster that have a transaction id:
// Postgres makes a slot only when those have ended that ran before, and keeps WAL from
// where the oldest began (Postgres manual, "Logical Decoding Concepts").
const heldQuery = `
	select 'pid ' || a.pid || coalesce(' (' || nullif(a.application_name, '') || ')', '') || coalesce(', ' || a.state, ''),
		extract(epoch from clock_timestamp() - a.xact_start)::float8, false
	from pg_locks l join pg_stat_activity a using (pid)
	where l.locktype = 'transactionid' and l.granted and l.mode = 'ExclusiveLock'
	union all
	select quote_literal(gid) || ' of database ' || database, extract(epoch from clock_timestamp() - prepared)::float8, true
	from pg_prepared_xacts order by 2 desc nulls last`

// transactions looks for what would hold the slot back.
func (x *examination) transactions(ctx context.Context) error {
	var all []held
	err := x.ask(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, heldQuery)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[held])
		return err
	})
	if err != nil {
		return fmt.Errorf("look at open transactions: %w", err)
	}
	judgeTransactions(x.group(groupTransactions), all, x.old, x.slots.Exists)
	return nil
}

func judgeTransactions(g group, all []held, old time.Duration, slotExists bool) {
	effect := "the slot cannot be made before it ends"
	if slotExists {
		effect = "Postgres keeps WAL from its beginning on"
	}
	var running, prepared []string
	unknown := 0
	for _, h := range all {
		if h.Seconds == nil {
			unknown++
			continue
		}
		age := time.Duration(*h.Seconds * float64(time.Second))
		if age < old {
			continue
		}
		name := fmt.Sprintf("%s, for %s", h.Name, age.Round(time.Second))
		if h.Prepared {
			prepared = append(prepared, name)
		} else {
			running = append(running, name)
		}
	}
	if len(running) > 0 {
		g.warn("long_transaction", fmt.Sprintf("A transaction that writes is open: %s; %s.", several(running), effect),
			"End it; SELECT pg_terminate_backend(pid) does so by force.", running...)
	}
	if len(prepared) > 0 {
		g.warn("prepared_transaction", fmt.Sprintf("A prepared transaction is left: %s; %s.", several(prepared), effect),
			"COMMIT PREPARED or ROLLBACK PREPARED it, in its own database.", prepared...)
	}
	switch {
	case len(running)+len(prepared) > 0:
	case unknown > 0:
		g.ok("transactions", "none that we know to be older than %s; of %d our role may not see the age (GRANT pg_read_all_stats would let it)", old, unknown)
	default:
		g.ok("transactions", "none that writes is older than %s", old)
	}
}
