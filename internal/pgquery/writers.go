package pgquery

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	firstPoll   = 2 * time.Millisecond
	slowestPoll = 250 * time.Millisecond
	tellEvery   = 5 * time.Second
)

// Writer is a transaction that WritersGone waits for.
type Writer struct {
	// PID of its session; 0: it is prepared (PREPARE TRANSACTION).
	PID int32
	// Age of the transaction; 0 if our role may not see it.
	Age time.Duration
	// State of its session (pg_stat_activity.state), "prepared", or "".
	State string
}

// holder is a transaction by its id, which stays the same when it is prepared;
// what pg_locks calls virtualtransaction does not.
type holder struct {
	XID   string
	State string
	Age   float64 // seconds
	PID   int32
}

// WritersGone returns a position P, the end of the WAL as it is now, after every
// transaction has ended that may have written to the table by then.
//
// Why: a transaction that wrote before the table was published, and commits
// later, is in nobody's stream. It must be in the snapshot, so the snapshot must
// be taken after its end. Having waited, a transaction that a later snapshot
// does not see has its commit record at or above P, and all its changes of the
// table were made after it was published.
//
// It is the way of CREATE INDEX CONCURRENTLY: nobody is blocked, who began to
// write later is not waited for. Locks are what is looked at: those of the table,
// and of these transactions the lock that each holds on its own id. Locks are
// kept until a transaction has become visible, also if it is prepared or waits
// for a synchronous standby. Without an id it has not written anything yet.
//
// The wait has no limit. Between two looks pause is called, so that a caller can
// let others go ahead; nil just waits.
func (db *DB) WritersGone(ctx context.Context, t *shape.Table, pause func(context.Context, time.Duration) error) (wal.LSN, error) {
	if pause == nil {
		pause = sleep
	}
	p, err := db.writersGone(ctx, t, pause)
	if err != nil {
		return 0, fmt.Errorf("wait for the writers of %s: %w", relation(t.Schema, t.Name), err)
	}
	return p, nil
}

func (db *DB) writersGone(ctx context.Context, t *shape.Table, pause func(context.Context, time.Duration) error) (p wal.LSN, err error) {
	var waiting []holder
	err = db.look(ctx, func(tx pgx.Tx) error {
		// First P, in a statement of its own: the list must not be older.
		if p, err = readLSN(ctx, tx, "select pg_current_wal_insert_lsn()::text"); err != nil {
			return err
		}
		waiting, err = writers(ctx, tx, t.OID)
		return err
	})
	told := time.Now()
	for poll := firstPoll; err == nil && len(waiting) > 0; poll = min(2*poll, slowestPoll) {
		if err = pause(ctx, poll); err != nil {
			return 0, err
		}
		err = db.look(ctx, func(tx pgx.Tx) (err error) {
			waiting, err = still(ctx, tx, waiting)
			return err
		})
		if err == nil && len(waiting) > 0 && time.Since(told) >= tellEvery {
			told = time.Now()
			db.tell(t, waiting)
		}
	}
	return p, err
}

// writers lists the transactions with a lock under which rows of the table, or
// of its partitions and children, may have been written. Every INSERT, UPDATE,
// DELETE and COPY takes ROW EXCLUSIVE, TRUNCATE takes ACCESS EXCLUSIVE. The
// modes in between are for those who write no rows: ANALYZE, VACUUM, CREATE
// INDEX, CREATE TRIGGER, REFRESH … CONCURRENTLY.
func writers(ctx context.Context, tx pgx.Tx, oid uint32) ([]holder, error) {
	return holders(ctx, tx, `
		with recursive family(oid) as (
			select $1::oid
			union select i.inhrelid from family f join pg_inherits i on i.inhparent = f.oid
		), locks as materialized ( -- read once: both sides of the join are of one moment
			select * from pg_locks where granted
		), waiting as (
			select distinct x.transactionid, x.pid
			from locks l
			join locks x on x.virtualtransaction = l.virtualtransaction and x.pid is not distinct from l.pid
				and x.locktype = 'transactionid' and x.mode = 'ExclusiveLock'
			where l.locktype = 'relation'
				and l.database = (select oid from pg_database where datname = current_database())
				and l.relation in (select oid from family)
				and l.mode in ('RowExclusiveLock', 'AccessExclusiveLock')
		)`+holderColumns, oid)
}

// still keeps of the transactions waited for those that have not ended.
func still(ctx context.Context, tx pgx.Tx, waiting []holder) ([]holder, error) {
	xids := make([]string, len(waiting))
	for i, h := range waiting {
		xids[i] = h.XID
	}
	return holders(ctx, tx, `
		with waiting as (
			select x.transactionid, x.pid from pg_locks x
			where x.granted and x.locktype = 'transactionid' and x.mode = 'ExclusiveLock'
				and x.transactionid::text = any($1::text[])
		)`+holderColumns, xids)
}

const holderColumns = `
		select w.transactionid::text,
			coalesce(case when w.pid is null then 'prepared' else a.state end, ''),
			coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8,
			coalesce(w.pid, 0)
		from waiting w left join pg_stat_activity a on a.pid = w.pid`

func holders(ctx context.Context, tx pgx.Tx, query statement, arg any) ([]holder, error) {
	rows, err := tx.Query(ctx, query.whole(), arg)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
}

func (db *DB) tell(t *shape.Table, waiting []holder) {
	list := make([]Writer, len(waiting))
	pids := make([]int32, len(waiting))
	for i, h := range waiting {
		list[i] = Writer{PID: h.PID, State: h.State, Age: time.Duration(h.Age * float64(time.Second))}
		pids[i] = h.PID
	}
	if db.cfg.OnWaiting != nil {
		db.cfg.OnWaiting(t, list)
		return
	}
	db.cfg.Logger.Warn("a new shape waits for transactions that write to its table",
		"table", relation(t.Schema, t.Name), "pids", pids, "oldest", list[0].Age, "state", list[0].State)
}
