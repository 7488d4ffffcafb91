package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// serverFacts are what the service does not need to know, and people do.
type serverFacts struct {
	Began, Clock, Ended time.Time // ours, the server's in between, ours

	SyncCommit, SyncStandbys string
	WriterDelay              int32 // ms
	ReadOnly                 bool
	StatementTimeout         int32 // ms, and so the others
	IdleInTransaction, Idle  int32
	Free, Limit              int64 // connections: that are left to our role, and at the most
	MayCreate                bool
}

func (x *examination) facts(ctx context.Context) (f serverFacts, err error) {
	err = x.ask(ctx, func(tx pgx.Tx) error {
		f.Began = time.Now()
		if err := tx.QueryRow(ctx, `select clock_timestamp()`).Scan(&f.Clock); err != nil {
			return err
		}
		f.Ended = time.Now()
		// What the role's and the database's settings make of a setting is reset_val: our
		// transaction has set some for itself.
		return tx.QueryRow(ctx, `
			select current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
				(select setting::int4 from pg_settings where name = 'wal_writer_delay'),
				current_setting('default_transaction_read_only')::bool,
				(select reset_val::int4 from pg_settings where name = 'statement_timeout'),
				(select reset_val::int4 from pg_settings where name = 'idle_in_transaction_session_timeout'),
				coalesce((select reset_val::int4 from pg_settings where name = 'idle_session_timeout'), 0),
				least(
					current_setting('max_connections')::int8 - case when r.rolsuper then 0 else current_setting('superuser_reserved_connections')::int8 end
						- (select count(*) from pg_stat_activity where backend_type = 'client backend'),
					nullif(d.datconnlimit, -1) - (select count(*) from pg_stat_activity where backend_type = 'client backend' and datname = d.datname),
					nullif(r.rolconnlimit, -1) - (select count(*) from pg_stat_activity where usename = r.rolname)),
				current_setting('max_connections')::int8,
				has_database_privilege(d.oid, 'CREATE')
			from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()`).
			Scan(&f.SyncCommit, &f.SyncStandbys, &f.WriterDelay, &f.ReadOnly, &f.StatementTimeout, &f.IdleInTransaction, &f.Idle,
				&f.Free, &f.Limit, &f.MayCreate)
	})
	if err != nil {
		return f, fmt.Errorf("look at the server's other settings: %w", err)
	}
	return f, nil
}

// server looks at settings that hold for everybody.
func (x *examination) server(ctx context.Context) (err error) {
	if x.found, err = x.db.Server(ctx); err != nil {
		return err
	}
	if x.asked, err = x.facts(ctx); err != nil {
		return err
	}
	g := x.group(groupServer)
	judgeServer(g, &x.found, x.Config.Slot())
	judgeRetention(g, &x.found, x.Config.WALBudget)
	judgeSenderTimeout(g, time.Duration(x.found.SenderExpiry)*time.Millisecond)
	judgeCommits(g, &x.asked)
	judgeTimes(g, &x.asked)
	judgeConnections(g, &x.asked, x.Config.PoolSize, x.running)
	return nil
}

// judgeServer repeats what the service itself says of a server.
func judgeServer(g group, s *pgquery.Server, slot string) {
	told := map[string]bool{"replication": true, "max_slot_wal_keep_size": true} // elsewhere
	for _, f := range s.Faults(slot) {
		if !told[f.Code] {
			told[f.Code] = true
			g.fail(f.Code, f.Problem, f.Remedy)
		}
	}
	for _, f := range s.Advice() {
		if !told[f.Code] {
			told[f.Code] = true
			g.warn(f.Code, f.Problem, f.Remedy)
		}
	}
	for _, fine := range []struct{ code, found string }{
		{"version", fmt.Sprintf("Postgres %d.%d", s.Version/10000, s.Version%10000)},
		{"standby", "a primary"},
		{"wal_level", s.WALLevel},
		{"encoding", s.Encoding},
		{"max_replication_slots", fmt.Sprintf("%d of %d are in use", s.Slots, s.MaxSlots)},
		{"max_wal_senders", fmt.Sprintf("%d of %d are in use", s.Senders, s.MaxSenders)},
	} {
		if !told[fine.code] {
			g.ok(fine.code, "%s", fine.found)
		}
	}
}

// judgeRetention compares what Postgres would keep for the slot with what we are told
// that it may keep.
func judgeRetention(g group, s *pgquery.Server, budget int64) {
	keep := int64(s.KeepSize) << 20
	for _, f := range s.Advice() {
		if f.Code == "max_slot_wal_keep_size" {
			g.warn(f.Code, f.Problem, f.Remedy)
			return
		}
	}
	if budget > keep {
		g.warn("wal_budget", fmt.Sprintf("SPILLWAY_WAL_BUDGET is %s, but Postgres gives the slot up at %s (max_slot_wal_keep_size): the budget is never reached.", size(budget), size(keep)),
			"Set SPILLWAY_WAL_BUDGET to less, or max_slot_wal_keep_size to more.")
		return
	}
	g.ok("max_slot_wal_keep_size", "%s", size(keep))
}

// judgeSenderTimeout: a status goes out after a third of it, and no later than every
// 10 s; none at all leaves a dead connection in possession of the slot.
func judgeSenderTimeout(g group, d time.Duration) {
	const least, most = 5 * time.Second, 5 * time.Minute
	switch {
	case d == 0:
		g.warn("wal_sender_timeout", "wal_sender_timeout is 0: Postgres never notices that a connection has died, and the slot stays in use.",
			"Set wal_sender_timeout to its default, 60s.")
	case d < least:
		g.warn("wal_sender_timeout", fmt.Sprintf("wal_sender_timeout is %s: a short pause of the network or of this machine cuts replication.", d),
			"Set wal_sender_timeout to 30s or more.")
	case d > most:
		g.warn("wal_sender_timeout", fmt.Sprintf("wal_sender_timeout is %s: after a connection has died the slot may stay in use that long.", d),
			"Set wal_sender_timeout to its default, 60s.")
	default:
		g.ok("wal_sender_timeout", "%s", d)
	}
}

// judgeCommits: what a commit waits for. Any walsender may be one that it waits for
// (Postgres manual, synchronous_standby_names), ours too.
func judgeCommits(g group, f *serverFacts) {
	for name := range strings.FieldsFuncSeq(f.SyncStandbys, func(r rune) bool { return strings.ContainsRune(` ,()"`, r) }) {
		if name == "*" || strings.EqualFold(name, "spillway") {
			g.warn("synchronous_standby_names", fmt.Sprintf("synchronous_standby_names is %q, which fits our connection: commits would wait for our journal.", f.SyncStandbys),
				"List the names of the standbys there.")
		}
	}
	if f.SyncCommit == "off" {
		g.warn("synchronous_commit", fmt.Sprintf("synchronous_commit is off: clients learn of a change up to %s after its commit, which is when Postgres writes it.", 3*time.Duration(f.WriterDelay)*time.Millisecond),
			"Leave it on for what clients should see at once; nothing is lost or wrong otherwise.")
		return
	}
	g.ok("synchronous_commit", "%s", f.SyncCommit)
}

// judgeTimes: clocks and time limits.
func judgeTimes(g group, f *serverFacts) {
	const much = 2 * time.Second
	// The server's clock was read some time between ours.
	early, late := f.Began.Sub(f.Clock), f.Clock.Sub(f.Ended)
	switch {
	case early > much:
		g.warn("clock", fmt.Sprintf("The server's clock is at least %s behind ours: the age of what clients have is told too high.", early.Round(time.Millisecond)), "Synchronize both with NTP.")
	case late > much:
		g.warn("clock", fmt.Sprintf("The server's clock is at least %s ahead of ours: the age of what clients have is told too low.", late.Round(time.Millisecond)), "Synchronize both with NTP.")
	default:
		g.ok("clock", "the same as ours, within %s", max(early, late, f.Ended.Sub(f.Began)).Round(time.Millisecond))
	}
	var set []string
	for _, t := range []struct {
		name string
		ms   int32
	}{{"statement_timeout", f.StatementTimeout}, {"idle_in_transaction_session_timeout", f.IdleInTransaction}, {"idle_session_timeout", f.Idle}} {
		if t.ms > 0 {
			set = append(set, fmt.Sprintf("%s %s", t.name, time.Duration(t.ms)*time.Millisecond))
		}
	}
	if f.Idle > 0 && f.Idle < 5000 {
		g.warn("timeouts", fmt.Sprintf("idle_session_timeout is %s: connections are cut between two questions, replication among them while it waits.", time.Duration(f.Idle)*time.Millisecond),
			"Switch it off for our role: ALTER ROLE … SET idle_session_timeout = 0.")
		return
	}
	if len(set) == 0 {
		g.ok("timeouts", "none are set")
		return
	}
	g.ok("timeouts", "%s; our transactions set limits of their own, so snapshots are not cut", strings.Join(set, ", "))
}

// judgeConnections: those of the service are those of the pools; the stream's own
// counts among max_wal_senders.
func judgeConnections(g group, f *serverFacts, pool int, running bool) {
	found := fmt.Sprintf("%d of %d connections are left to our role", f.Free, f.Limit)
	if f.Free < int64(pool) && !running {
		g.warn("connections", fmt.Sprintf("%s, but SPILLWAY_DB_POOL_SIZE lets the service open %d.", found, pool),
			"Raise max_connections (or the CONNECTION LIMIT of role or database), or set SPILLWAY_DB_POOL_SIZE to less.")
		return
	}
	g.ok("connections", "%s", found)
}

// role looks at what our role may do.
func (x *examination) role(ctx context.Context) {
	g := x.group(groupRole)
	if x.found.MayReplicate {
		g.ok("replication", "%s may replicate", x.found.Role)
	}
	for _, f := range x.found.Faults("") {
		if f.Code == "replication" {
			g.fail(f.Code, f.Problem, f.Remedy)
		}
	}
	if x.asked.ReadOnly && !x.Config.ManualPublishing {
		g.fail("read_only", "default_transaction_read_only is on for our role: the publication and replica identities cannot be set.",
			"Run ALTER ROLE "+ident(x.found.Role)+" SET default_transaction_read_only = off (some providers switch it on when the disk is full: make room then).")
	}
	x.replicationMode(ctx)
}
