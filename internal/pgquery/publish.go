package pgquery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/shape"
)

const (
	// firstLockTry is how long the first attempt waits for the table's locks.
	firstLockTry = 100 * time.Millisecond
	// heldLimit is how long we wait for another lock while we hold one: less than
	// deadlock_timeout (1 s if nobody has set it), after which Postgres ends the transaction
	// of somebody who waits for us while we wait for him. A statement that needs many locks
	// has as long as the first lock, or what is to be done with thousands of partitions
	// would never be done.
	heldLimit = 300 * time.Millisecond
)

// Publish makes sure that the table, with its partitions and inheritance
// children, is in the publication and has REPLICA IDENTITY FULL. What is right
// already is neither touched nor locked.
//
// Both changes are made in one transaction, because a published table without
// primary key refuses UPDATE and DELETE until its identity is set: nobody must ever
// see that. The lock that the identity needs comes first. It lets no writer through:
// when the transaction commits, nobody is in the middle of writing to a table that was
// not published a moment ago. And who writes and then wants more, TRUNCATE for example,
// would be in a deadlock with whoever waits for it with the publication's lock held.
//
// That lock (ACCESS EXCLUSIVE, where the identity has to change) waits for the
// table's readers, and everybody else queues behind it. So it is tried for a
// tenth of a second first, then longer and longer, with pauses, up to five
// seconds together: short transactions are not noticed to be waited for, and a
// long one does not stop the table. That is how the first lock is waited for, from the
// second attempt on that of the partition that most are at work with; with it in hand we
// wait for each other no longer than heldLimit. One at a time does so for a table, and the
// others find it done: or their attempts together would leave no pause, and no connection.
func (db *DB) Publish(ctx context.Context, publication string, t *shape.Table) error {
	if err := db.publish(ctx, publication, t); err != nil {
		return fmt.Errorf("publish %s: %w", relation(t.Schema, t.Name), err)
	}
	return nil
}

func (db *DB) publish(ctx context.Context, publication string, t *shape.Table) error {
	p, err := db.plan(ctx, publication, t)
	if err != nil || p.done() {
		return err
	}
	deadline := time.Now().Add(db.cfg.LockLimit)
	limit, cancel := context.WithDeadlineCause(ctx, deadline, &Error{Kind: ErrLockTimeout, Text: textLock})
	defer cancel()
	give, err := db.publishTurns.Take(limit, t.OID)
	if err != nil {
		return context.Cause(limit)
	}
	defer give()
	var last error
	for try := firstLockTry; ; try *= 2 {
		p, err := db.plan(ctx, publication, t)
		if err != nil || p.done() {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return last
		}
		try = min(try, left)
		if last != nil {
			if err := db.busiestFirst(ctx, p.identity); err != nil {
				return err
			}
		}
		last = db.admin.script(ctx, p.sql(publication, try))
		switch {
		case last == nil:
			// Once more round: the plan says whether anything came in between.
			db.cfg.Logger.Info("table published", "table", relation(t.Schema, t.Name), "added", len(p.add), "identities", len(p.identity))
			last = &Error{Kind: ErrLockTimeout, Text: textLock}
		case errors.Is(last, ErrLockTimeout), hasCode(last, "57014") && ctx.Err() == nil: // the statement's limit
			last = &Error{Kind: ErrLockTimeout, Text: textLock, Err: last}
			if err := sleep(ctx, min(try, time.Until(deadline))); err != nil {
				return err
			}
		case hasCode(last, "42710"): // somebody else added it meanwhile
		default:
			return last
		}
	}
}

// busiestFirst puts the table first that most have a lock on at present. The order is not
// that of the names any more, in which others may lock them: whoever waits for each other
// then, we give up in time (heldLimit).
func (db *DB) busiestFirst(ctx context.Context, all []Member) error {
	if len(all) < 2 {
		return nil
	}
	var oids []uint32
	for i := range all {
		oids = append(oids, all[i].OID)
	}
	var busiest uint32
	err := db.look(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select coalesce((
			select relation from pg_locks
			where granted and database = (select oid from pg_database where datname = current_database()) and relation = any ($1::oid[])
			group by relation order by count(*) desc, relation limit 1), 0)`, oidArray(oids)).Scan(&busiest)
	})
	if err != nil {
		return fmt.Errorf("look at who has locks: %w", err)
	}
	if i := slices.Index(oids, busiest); i > 0 {
		m := all[i]
		copy(all[1:], all[:i])
		all[0] = m
	}
	return nil
}

// sql is the transaction that carries out the plan.
func (p *plan) sql(publication string, lock time.Duration) statement {
	script := beginChange + limits(lockLimit, max(lock, time.Millisecond))
	if len(p.identity) > 0 {
		script += lockTables(p.identity[:1], "ACCESS EXCLUSIVE")
	} else {
		script += lockTables(p.add[:1], "SHARE UPDATE EXCLUSIVE") // what ALTER PUBLICATION takes
	}
	script += limits(max(heldLimit, lock), heldLimit)
	if len(p.identity) > 1 {
		script += lockTables(p.identity[1:], "ACCESS EXCLUSIVE")
	}
	for i, m := range p.add {
		if i == 0 {
			script += "ALTER PUBLICATION " + quote(publication) + " ADD TABLE "
		} else {
			script += ", "
		}
		if m.HoldsRows() {
			script += "ONLY "
		}
		script += m.sql()
	}
	if len(p.add) > 0 {
		script += ";\n"
	}
	script += limits(lockLimit, heldLimit) // all locks are there
	for _, m := range p.identity {
		script += "ALTER TABLE ONLY " + m.sql() + " REPLICA IDENTITY FULL;\n"
	}
	return script + "COMMIT"
}

// lockTables is the statement that locks some tables.
func lockTables(all []Member, mode statement) (sql statement) {
	for i, m := range all {
		if i == 0 {
			sql = "LOCK TABLE "
		} else {
			sql += ", "
		}
		sql += "ONLY " + m.sql()
	}
	return sql + " IN " + mode + " MODE;\n"
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
