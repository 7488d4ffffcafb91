package pgquery

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// minVersion is the oldest Postgres that will do: pg_stat_replication_slots and
// streaming of large transactions came with 14.
const minVersion = 14

// Fault is something about the server that only its operator can change.
type Fault struct {
	// Code is a fixed word for metrics and documents.
	Code string
	// Problem and Remedy are sentences for people.
	Problem, Remedy string
}

// Server is what a server says of itself and of our role.
type Server struct {
	Version                  int32 // server_version_num
	WALLevel, Encoding, Role string
	MayReplicate             bool
	Standby                  bool
	Slots, MaxSlots          int32 // in use, and at the most
	OwnSlot                  bool  // that of Config is among them
	Senders, MaxSenders      int32
	KeepSize                 int32 // max_slot_wal_keep_size in MB; -1: no limit
	SenderExpiry             int32 // wal_sender_timeout in ms; 0: none
}

// Server asks for the settings that replication depends on.
func (db *DB) Server(ctx context.Context) (f Server, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			select current_setting('server_version_num')::int4,
				current_setting('wal_level'),
				current_setting('server_encoding'),
				current_user::text,
				r.rolsuper or r.rolreplication or exists (
					select from pg_roles g
					where g.rolname in ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
						and pg_has_role(g.oid, 'USAGE')),
				pg_is_in_recovery(),
				(select count(*)::int4 from pg_replication_slots),
				current_setting('max_replication_slots')::int4,
				exists (select from pg_replication_slots where slot_name = $1),
				(select count(*)::int4 from pg_stat_activity where backend_type = 'walsender'),
				current_setting('max_wal_senders')::int4,
				coalesce((select setting::int4 from pg_settings where name = 'max_slot_wal_keep_size'), -1),
				(select setting::int4 from pg_settings where name = 'wal_sender_timeout')
			from pg_roles r where r.rolname = current_user`, db.cfg.Slot).
			Scan(&f.Version, &f.WALLevel, &f.Encoding, &f.Role, &f.MayReplicate, &f.Standby,
				&f.Slots, &f.MaxSlots, &f.OwnSlot, &f.Senders, &f.MaxSenders, &f.KeepSize, &f.SenderExpiry)
	})
	if err != nil {
		return Server{}, fmt.Errorf("look at the server's settings: %w", err)
	}
	return f, nil
}

// Preflight lists what makes replication impossible. Nothing in the list passes
// by itself.
func (db *DB) Preflight(ctx context.Context) ([]Fault, error) {
	f, err := db.Server(ctx)
	if err != nil {
		return nil, err
	}
	return f.Faults(db.cfg.Slot), nil
}

// Faults lists what makes replication from a slot impossible.
func (f *Server) Faults(slot string) []Fault {
	var faults []Fault
	add := func(bad bool, code, problem, remedy string) {
		if bad {
			faults = append(faults, Fault{code, problem, remedy})
		}
	}
	add(f.Version < minVersion*10000, "version",
		fmt.Sprintf("Postgres is version %d, but %d or newer is needed.", f.Version/10000, minVersion),
		"Upgrade the server.")
	add(f.WALLevel != "logical", "wal_level",
		fmt.Sprintf("wal_level is %q, but logical replication needs \"logical\".", f.WALLevel),
		"Run ALTER SYSTEM SET wal_level = 'logical' and restart Postgres (on managed services: set rds.logical_replication = 1, or cloudsql.logical_decoding = on, or the provider's switch).")
	add(!f.MayReplicate, "replication",
		fmt.Sprintf("Role %q has no REPLICATION attribute.", f.Role),
		fmt.Sprintf("Run ALTER ROLE %s WITH REPLICATION (on Amazon RDS: GRANT rds_replication TO %s).", quote(f.Role), quote(f.Role)))
	add(f.Standby, "standby",
		"The server is a standby: publication and replica identities cannot be set there.",
		"Give the URL of the primary.")
	add(f.MaxSlots == 0, "max_replication_slots", "max_replication_slots is 0.",
		"Set max_replication_slots to 10, say, and restart Postgres.")
	add(f.MaxSenders == 0, "max_wal_senders", "max_wal_senders is 0.",
		"Set max_wal_senders to 10, say, and restart Postgres.")
	add(slot != "" && !f.OwnSlot && f.MaxSlots > 0 && f.Slots >= f.MaxSlots, "max_replication_slots",
		fmt.Sprintf("All %d replication slots are in use and none of them is %q.", f.MaxSlots, slot),
		"Drop a slot that nobody needs (see pg_replication_slots; it holds WAL back as well), or raise max_replication_slots and restart Postgres.")
	return faults
}

// fixedMinor is the first minor version of each major one in which a table that
// is added to a publication while somebody writes to it is decoded rightly ever
// after (release notes of May 2025, "distribute invalidations").
var fixedMinor = map[int32]int32{14: 18, 15: 13, 16: 9, 17: 5}

// Advice lists what works but should be known or changed.
func (db *DB) Advice(ctx context.Context) ([]Fault, error) {
	f, err := db.Server(ctx)
	if err != nil {
		return nil, err
	}
	return f.Advice(), nil
}

// Advice lists what works but should be known or changed.
func (f *Server) Advice() []Fault {
	var list []Fault
	add := func(bad bool, code, problem, remedy string) {
		if bad {
			list = append(list, Fault{code, problem, remedy})
		}
	}
	add(f.KeepSize < 0, "max_slot_wal_keep_size",
		"max_slot_wal_keep_size is not set: while nobody reads the slot, Postgres keeps WAL until its disk is full.",
		"Set max_slot_wal_keep_size to what the disk can spare, 50GB for example.")
	add(f.MaxSenders > 0 && f.Senders >= f.MaxSenders, "max_wal_senders",
		fmt.Sprintf("All %d walsenders are in use.", f.MaxSenders),
		"Raise max_wal_senders and restart Postgres, if replication cannot start.")
	add(f.Encoding == "SQL_ASCII", "encoding",
		"The database's encoding is SQL_ASCII: texts are taken for UTF8, and a byte that is none of it is written as \\377. Clauses count characters, where Postgres counts bytes.",
		"Use a database with encoding UTF8.")
	add(f.Encoding != "UTF8" && f.Encoding != "SQL_ASCII", "encoding",
		fmt.Sprintf("The database's encoding is %s; values are converted to UTF8, and one that cannot be ends replication.", f.Encoding),
		"Use a database with encoding UTF8.")
	minor, known := fixedMinor[f.Version/10000]
	add(known && f.Version%10000 < minor, "minor_version",
		fmt.Sprintf("Postgres %d.%d can lose changes of a table that was added to a publication while somebody wrote to it.", f.Version/10000, f.Version%10000),
		fmt.Sprintf("Upgrade to %d.%d or newer.", f.Version/10000, minor))
	return list
}
