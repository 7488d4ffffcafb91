package pgrepl

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// lockKey is the advisory lock's key: one instance at a time works with a slot.
// It has 64 bits and a name space of its own, so that neither another slot's nor
// a stranger's lock gets in its way.
func lockKey(slot string) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "spillway/slot/%s", slot)
	return int64(h.Sum64())
}

// TryLock takes the advisory lock on the slot's name, for as long as the session
// lives. false: somebody else has it (see LockHolder).
func (s *Session) TryLock(ctx context.Context) (bool, error) {
	r, err := s.one(ctx, fmt.Sprintf("SELECT pg_catalog.pg_try_advisory_lock(%d) AS got", lockKey(s.cfg.Slot)))
	if err != nil {
		return false, fmt.Errorf("take the advisory lock: %w", err)
	}
	return r["got"] == "t", nil
}

// Holder is who has the lock. What our role may not see is empty.
type Holder struct {
	PID             int
	ApplicationName string
	Address         string
	State           string
	Since           string // begin of its session, as text
}

// LockHolder tells who has the lock. false: nobody.
func (s *Session) LockHolder(ctx context.Context) (Holder, bool, error) {
	key := uint64(lockKey(s.cfg.Slot))
	rows, err := s.query(ctx, fmt.Sprintf(`SELECT l.pid, a.application_name, a.client_addr, a.state, a.backend_start
FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = %d AND l.objid = %d
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`,
		uint32(key>>32), uint32(key)))
	if err != nil {
		return Holder{}, false, fmt.Errorf("look who holds the advisory lock: %w", err)
	}
	if len(rows) == 0 {
		return Holder{}, false, nil
	}
	r := rows[0]
	pid, err := strconv.Atoi(r["pid"])
	if err != nil {
		return Holder{}, false, fmt.Errorf("look who holds the advisory lock: %w", err)
	}
	return Holder{pid, r["application_name"], r["client_addr"], r["state"], r["backend_start"]}, true, nil
}

// SlotState is what pg_replication_slots says of our slot.
type SlotState struct {
	Exists         bool
	Active         bool
	ActivePID      int // 0: nobody
	Plugin         string
	Database       string
	Temporary      bool
	ConfirmedFlush wal.LSN
	RestartLSN     wal.LSN
	WALStatus      string // reserved, extended, unreserved, lost; empty: not reported
	SafeWALSize    int64  // bytes until it is lost; -1: no limit is set
	// Invalidated says why the slot cannot be used any more, empty if it can.
	Invalidated string
}

// Slot looks at our slot.
func (s *Session) Slot(ctx context.Context) (SlotState, error) {
	// Newer servers have more columns, hence the star: by name we take what is there.
	rows, err := s.query(ctx, "SELECT * FROM pg_catalog.pg_replication_slots WHERE slot_name = "+literal(s.cfg.Slot))
	if err != nil {
		return SlotState{}, fmt.Errorf("look at slot %q: %w", s.cfg.Slot, err)
	}
	if len(rows) == 0 {
		return SlotState{}, nil
	}
	st, err := slotState(rows[0])
	if err != nil {
		return SlotState{}, fmt.Errorf("look at slot %q: %w", s.cfg.Slot, err)
	}
	return st, nil
}

func slotState(r row) (st SlotState, err error) {
	st = SlotState{
		Exists: true, Active: r["active"] == "t", Plugin: r["plugin"], Database: r["database"],
		Temporary: r["temporary"] == "t", WALStatus: r["wal_status"], SafeWALSize: -1,
		Invalidated: r["invalidation_reason"], // Postgres 17
	}
	if st.Invalidated == "" {
		switch {
		case r["conflicting"] == "t": // Postgres 16
			st.Invalidated = "conflict with recovery"
		case st.WALStatus == "lost":
			st.Invalidated = "wal_removed"
		}
	}
	lsn := func(name string, to *wal.LSN) {
		if v, ok := r[name]; ok && err == nil {
			*to, err = wal.ParseLSN(v)
		}
	}
	lsn("confirmed_flush_lsn", &st.ConfirmedFlush)
	lsn("restart_lsn", &st.RestartLSN)
	if v, ok := r["active_pid"]; ok && err == nil {
		st.ActivePID, err = strconv.Atoi(v)
	}
	if v, ok := r["safe_wal_size"]; ok && err == nil {
		st.SafeWALSize, err = strconv.ParseInt(v, 10, 64)
	}
	return st, err
}

// CreateSlot makes the slot and returns the position from which on it streams:
// no transaction that commits later is missing. It waits until all transactions
// that run now have ended.
func (s *Session) CreateSlot(ctx context.Context) (wal.LSN, error) {
	kind, options := "", "NOEXPORT_SNAPSHOT"
	switch {
	case s.cfg.Temporary:
		kind = "TEMPORARY "
	case s.cfg.Failover && s.info.ServerVersion >= 170000:
		options = "(SNAPSHOT 'nothing', FAILOVER true)"
	}
	r, err := s.one(ctx, fmt.Sprintf("CREATE_REPLICATION_SLOT %s %sLOGICAL pgoutput %s", ident(s.cfg.Slot), kind, options))
	if err != nil {
		return 0, fmt.Errorf("create slot %q: %w", s.cfg.Slot, err)
	}
	at, err := wal.ParseLSN(r["consistent_point"])
	if err != nil {
		return 0, fmt.Errorf("create slot %q: consistent point: %w", s.cfg.Slot, err)
	}
	return at, nil
}

// DropSlot removes the slot, which nobody may be using.
func (s *Session) DropSlot(ctx context.Context) error {
	if _, err := s.query(ctx, "DROP_REPLICATION_SLOT "+ident(s.cfg.Slot)); err != nil {
		return fmt.Errorf("drop slot %q: %w", s.cfg.Slot, err)
	}
	return nil
}

// startCommand is START_REPLICATION for our slot. The publication's name is an
// identifier inside of a literal: the plugin splits a list of names.
func (c *Config) startCommand(from wal.LSN) string {
	return fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names %s)",
		ident(c.Slot), from, literal(ident(c.Publication)))
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// statusInterval is the longest pause between status frames.
func (s *Session) statusInterval() time.Duration {
	const most = 10 * time.Second
	switch {
	case s.cfg.StatusInterval > 0:
		return s.cfg.StatusInterval
	case s.info.WALSenderTimeout > 0:
		return min(s.info.WALSenderTimeout/3, most)
	}
	return most
}

// deadAfter is how long the server may say nothing.
func (s *Session) deadAfter() time.Duration {
	const least, otherwise = 10 * time.Second, 2 * time.Minute
	switch {
	case s.cfg.DeadAfter > 0:
		return s.cfg.DeadAfter
	case s.info.WALSenderTimeout > 0:
		return max(2*s.info.WALSenderTimeout, least)
	}
	return otherwise
}
