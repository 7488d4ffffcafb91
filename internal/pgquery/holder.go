package pgquery

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// heldFor is how long a transaction has to be open to be named.
const heldFor = 10 * time.Second

// restartHolders finds what keeps a slot's restart_lsn, or the WAL itself, where it is:
// the oldest transaction that writes or is prepared, and another slot that is
// further behind, which may be a standby's. (Postgres manual, "Logical Decoding
// Concepts": restart_lsn is where the oldest transaction began that was running
// when the confirmed position was written.)
const restartHolders = `
	select * from (
		select 1 as rank, 'transaction of pid ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') || ', ' || state,
			extract(epoch from clock_timestamp() - xact_start)::float8 as age, query
		from pg_stat_activity
		where backend_xid is not null and pid <> pg_backend_pid() and xact_start < clock_timestamp() - $2::float8 * interval '1 second'
		order by xact_start limit 1) t
	union all
	select * from (
		select 2, 'prepared transaction ' || quote_literal(gid), extract(epoch from clock_timestamp() - prepared)::float8, ''
		from pg_prepared_xacts where database = current_database() and prepared < clock_timestamp() - $2::float8 * interval '1 second'
		order by prepared limit 1) p
	union all
	select * from (
		select 3, case when s.slot_type = 'physical' then 'standby''s slot ' else 'slot ' end || s.slot_name
				|| case when s.active then ', in use' else ', not in use' end, null::float8, ''
		from pg_replication_slots s, pg_replication_slots own
		where own.slot_name = $1 and s.slot_name <> $1 and s.restart_lsn < own.restart_lsn
		order by s.restart_lsn limit 1) s
	order by 1, 3 desc limit 1`

// RestartHolder names what holds a slot's restart position, "" if nothing is known
// to: with its age, and the beginning of its query without literals.
func (db *DB) RestartHolder(ctx context.Context, slot string) (string, error) {
	var text string
	err := db.look(ctx, func(tx pgx.Tx) error {
		var rank int
		var age *float64
		var query *string
		err := tx.QueryRow(ctx, restartHolders, slot, heldFor.Seconds()).Scan(&rank, &text, &age, &query)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if age != nil {
			text += ", for " + (time.Duration(*age) * time.Second).String()
		}
		if q := shorten(value(query)); q != "" {
			text += ": " + q
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("ask what holds slot %q: %w", slot, err)
	}
	return text, nil
}

var (
	literals = regexp.MustCompile(`(?s)'(?:[^']|'')*'?|\$\w*\$.*`)
	blanks   = regexp.MustCompile(`\s+`)
)

// shorten keeps the beginning of a query, without its literals: they are what a
// status page must not show.
func shorten(q string) string {
	q = strings.TrimSpace(blanks.ReplaceAllString(literals.ReplaceAllString(q, "?"), " "))
	if r := []rune(q); len(r) > 60 {
		q = string(r[:60]) + "…"
	}
	return q
}

// PublicationExists says whether there is a publication of that name.
func (db *DB) PublicationExists(ctx context.Context, name string) (ok bool, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select exists (select from pg_publication where pubname = $1)`, name).Scan(&ok)
	})
	if err != nil {
		return false, fmt.Errorf("look for publication %q: %w", name, err)
	}
	return ok, nil
}

// LockWait is a backend of ours that waits for a lock.
type LockWait struct {
	Relation uint32 // 0: it is another kind of lock
	Blocker  int32  // pid of one who is in its way, 0: not known
}

// LockWaits lists which of the backends of this pool wait for a lock, and for
// whom.
func (db *DB) LockWaits(ctx context.Context) ([]LockWait, error) {
	var waits []LockWait
	err := db.look(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select coalesce(l.relation, 0), coalesce((pg_blocking_pids(a.pid))[1], 0)
			from pg_stat_activity a join pg_locks l on l.pid = a.pid and not l.granted
			where a.application_name in ('spillway-admin', 'spillway-snapshot') and a.usename = current_user and a.datname = current_database()`)
		if err != nil {
			return err
		}
		waits, err = pgx.CollectRows(rows, pgx.RowToStructByPos[LockWait])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look who waits for a lock: %w", err)
	}
	return waits, nil
}
