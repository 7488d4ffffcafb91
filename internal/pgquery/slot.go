package pgquery

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/wal"
)

// SlotHealth is what pg_replication_slots says of a slot.
type SlotHealth struct {
	Exists    bool
	Active    bool
	ActivePID int32
	Database  string
	Plugin    string

	ConfirmedFlush wal.LSN
	Restart        wal.LSN
	// RetainedBytes of WAL are kept because of the slot: from its restart
	// position to the present end.
	RetainedBytes int64
	// WALStatus is reserved, extended, unreserved or lost.
	WALStatus string
	// SafeBytes may still be written before the slot is in danger; -1: no limit.
	SafeBytes int64
	// Invalidation says why the slot cannot be used any more (Postgres 17 on).
	Invalidation string
}

// SlotHealth looks at a slot. That there is none is no error.
func (db *DB) SlotHealth(ctx context.Context, name string) (SlotHealth, error) {
	h := SlotHealth{SafeBytes: -1}
	err := db.look(ctx, func(tx pgx.Tx) error {
		var pid *int32
		var safe, retained *int64
		var database, plugin, flush, restart, status, invalid *string
		err := tx.QueryRow(ctx, `
			select s.active, s.active_pid, s.database::text, s.plugin::text,
				s.confirmed_flush_lsn::text, s.restart_lsn::text,
				(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - s.restart_lsn)::int8,
				s.wal_status, s.safe_wal_size, to_jsonb(s)->>'invalidation_reason'
			from pg_replication_slots s where s.slot_name = $1`, name).
			Scan(&h.Active, &pid, &database, &plugin, &flush, &restart, &retained, &status, &safe, &invalid)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		h.Exists = true
		h.ActivePID, h.RetainedBytes = value(pid), value(retained)
		h.Database, h.Plugin, h.WALStatus, h.Invalidation = value(database), value(plugin), value(status), value(invalid)
		if safe != nil {
			h.SafeBytes = *safe
		}
		if h.ConfirmedFlush, err = optionalLSN(flush); err != nil {
			return err
		}
		h.Restart, err = optionalLSN(restart)
		return err
	})
	if err != nil {
		return SlotHealth{}, fmt.Errorf("look at slot %q: %w", name, err)
	}
	return h, nil
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func optionalLSN(s *string) (wal.LSN, error) {
	if s == nil {
		return 0, nil
	}
	return wal.ParseLSN(*s)
}

// DropSlot drops a slot if it is there. A slot in use cannot be dropped.
func (db *DB) DropSlot(ctx context.Context, name string) error {
	err := db.look(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1`, name)
		return err
	})
	if err != nil && !hasCode(err, "42704") { // somebody else was first
		return fmt.Errorf("drop slot %q: %w", name, err)
	}
	return nil
}

// CurrentLSN is how far the WAL is written.
func (db *DB) CurrentLSN(ctx context.Context) (wal.LSN, error) {
	var lsn wal.LSN
	err := db.look(ctx, func(tx pgx.Tx) (err error) {
		lsn, err = readLSN(ctx, tx, "select pg_current_wal_lsn()::text")
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the end of the WAL: %w", err)
	}
	return lsn, nil
}

func readLSN(ctx context.Context, tx pgx.Tx, query statement) (wal.LSN, error) {
	var s string
	if err := tx.QueryRow(ctx, query.whole()).Scan(&s); err != nil {
		return 0, err
	}
	return wal.ParseLSN(s)
}
