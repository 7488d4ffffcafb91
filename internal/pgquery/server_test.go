package pgquery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestConnections(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int)")
	db := open(t, pg, func(c *Config) { c.PoolSize = 2 })
	tab := table(t, db, "t")
	db.snapshot.wait = 20 * time.Millisecond
	err := db.Snapshot(t.Context(), all(tab), func(wal.Snapshot, []Edge) error {
		return db.Snapshot(t.Context(), all(tab), nil, nil)
	}, nil)
	if !errors.Is(err, ErrPoolTimeout) || clientText(err) != "Snapshot creation failed because of a connection pool queue timeout" {
		t.Error(err)
	}
	if _, err := db.CurrentLSN(t.Context()); err != nil {
		t.Error(err)
	}
	counts := map[string]string{}
	for _, row := range pg.Query("select application_name, count(*) from pg_stat_activity where datname = current_database() and application_name <> '' group by 1") {
		counts[row[0]] = row[1]
	}
	if counts["spillway-admin"] != "1" {
		t.Errorf("connections are %v", counts)
	}
	pg.Value("select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'spillway-admin' and datname = current_database()")
	db.Invalidate(tab.OID)
	// A connection used a moment ago is trusted: it may fail once, as unreachable.
	eventually(t, "the pool has recovered", func() bool {
		_, err := db.Table(t.Context(), "public", "t")
		if err != nil && !IsUnreachable(err) {
			t.Errorf("a lost connection is reported as %v", err)
		}
		return err == nil
	})
}

func TestUnreachable(t *testing.T) {
	pg := pgtest.NewServer(t)
	pg.Exec("create table t (i int)")
	db := open(t, pg)
	tab := table(t, db, "t")
	err := db.Snapshot(t.Context(), all(tab), func(wal.Snapshot, []Edge) error { return pg.Server.Kill() }, func(wal.Tuple) error { return nil })
	if !IsUnreachable(err) {
		t.Errorf("killed in the middle: %v", err)
	}
	if _, err := db.CurrentLSN(t.Context()); !IsUnreachable(err) {
		t.Errorf("killed: %v", err)
	}
	for _, url := range []string{"postgres://nobody@127.0.0.1:1/x?sslmode=disable", "postgres://nobody@does-not-exist.invalid/x"} {
		away := open(t, pg, func(c *Config) { c.URL = url })
		if _, err := away.Preflight(t.Context()); !IsUnreachable(err) {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := away.Table(t.Context(), "public", "t"); !IsUnreachable(err) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Connections of before a restart are not used, however soon it is over.
func TestAfterARestart(t *testing.T) {
	pg := pgtest.NewServer(t)
	pg.Exec("create table t (i int); insert into t values (1)")
	db := open(t, pg)
	def := all(table(t, db, "t"))
	take(t, db, def)
	used := time.Now()
	if err := errors.Join(pg.Server.Kill(), pg.Server.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(used.Add(trustTime + time.Millisecond))) // a server may be back sooner
	if _, rows := take(t, db, def); len(rows) != 1 {
		t.Error(rows)
	}
	if _, err := db.CurrentLSN(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPreflight(t *testing.T) {
	pg := pgtest.New(t)
	name, url := role(t, pg, "")
	codes := func(list []Fault, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, f := range list {
			if f.Problem == "" || f.Remedy == "" {
				t.Errorf("%+v does not help", f)
			}
			codes = append(codes, f.Code)
		}
		return codes
	}
	db := open(t, pg)
	if got := codes(db.Preflight(t.Context())); len(got) != 0 {
		t.Errorf("faults are %v", got)
	}
	if got := codes(db.Advice(t.Context())); !slices.Contains(got, "max_slot_wal_keep_size") {
		t.Errorf("advice is %v", got)
	}
	plain := open(t, pg, func(c *Config) { c.URL = url })
	if got := codes(plain.Preflight(t.Context())); !slices.Equal(got, []string{"replication"}) {
		t.Errorf("faults are %v", got)
	}
	pg.Exec("alter role " + name + " replication")
	if got := codes(plain.Preflight(t.Context())); len(got) != 0 {
		t.Errorf("faults are %v", got)
	}
	bad := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "replica", "max_replication_slots": "0"}})
	if got := codes(open(t, bad).Preflight(t.Context())); !slices.Equal(got, []string{"wal_level", "max_replication_slots"}) {
		t.Errorf("faults are %v", got)
	}
}

func TestSlot(t *testing.T) {
	pg := pgtest.New(t)
	db := open(t, pg)
	name := "slot_" + pg.Name
	h, err := db.SlotHealth(t.Context(), name)
	if err != nil || h.Exists {
		t.Fatalf("%+v, %v", h, err)
	}
	pg.Value("select count(pg_create_logical_replication_slot($1, 'pgoutput'))", name)
	pg.Exec("create table t as select repeat('x', 1000) from generate_series(1, 1000)")
	h, err = db.SlotHealth(t.Context(), name)
	if err != nil || !h.Exists || h.Active || h.Plugin != "pgoutput" || h.Database != pg.Name || h.WALStatus != "reserved" ||
		h.RetainedBytes < 1_000_000 || h.SafeBytes != -1 || h.ConfirmedFlush < h.Restart || h.Restart == 0 {
		t.Errorf("%+v, %v", h, err)
	}
	end, err := db.CurrentLSN(t.Context())
	if err != nil || end < h.ConfirmedFlush {
		t.Errorf("end is %s, %v", end, err)
	}
	if err := errors.Join(db.DropSlot(t.Context(), name), db.DropSlot(t.Context(), name)); err != nil {
		t.Error(err)
	}
}

func TestClassify(t *testing.T) {
	kinds := map[string]error{
		"42P01": ErrSchemaChanged, "42703": ErrSchemaChanged, "55P03": ErrLockTimeout, "40P01": ErrLockTimeout,
		"42501": ErrDenied, "28P01": ErrDenied, "3D000": ErrDenied, "53300": ErrUnreachable, "57P01": ErrUnreachable,
		"57P03": ErrUnreachable, "08006": ErrUnreachable, "22012": nil,
	}
	for _, code := range slices.Sorted(maps.Keys(kinds)) {
		err := fmt.Errorf("doing it: %w", &pgconn.PgError{Code: code, Message: "secret"})
		if got := Classify(err); got != kinds[code] {
			t.Errorf("%s: %v", code, got)
		}
	}
	if Classify(nil) != nil || Classify(context.Canceled) != nil || IsUnreachable(errors.New("x")) {
		t.Error("something is of a kind that is not")
	}
	wrapped := fmt.Errorf("publish: %w", &Error{Kind: ErrPublication, Text: "text", Remedy: "do it"})
	if text, ok := ClientText(wrapped); !ok || text != "text" || Classify(wrapped) != ErrPublication {
		t.Error(wrapped)
	}
}
