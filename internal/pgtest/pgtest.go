package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgdev"
)

// limit is how long setting up or tearing down may take.
const limit = 90 * time.Second

// Options varies a database or a server.
type Options struct {
	// Settings are the server's for NewServer, the database's for New.
	Settings map[string]string
}

// shared is the server of this test binary.
var shared struct {
	mu     sync.Mutex
	server *pgdev.Server
	err    error // of the first try: the others fail at once
}

var counter atomic.Int64 // numbers the databases

// Main runs the tests of a package and stops the server.
func Main(m *testing.M) {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		if err := shared.server.Stop(pgdev.Immediate); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// New makes a fresh database on the server of this test binary.
func New(t testing.TB, opts ...Options) *DB {
	t.Helper()
	shared.mu.Lock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start(nil)
	}
	server, err := shared.server, shared.err
	shared.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	return database(t, server, opts)
}

// NewServer starts a server for one test, which may stop, kill and restart it,
// and makes a database there.
func NewServer(t testing.TB, opts ...Options) *DB {
	t.Helper()
	settings := map[string]string{}
	for _, o := range opts {
		maps.Copy(settings, o.Settings)
	}
	server, err := start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(pgdev.Immediate); err != nil {
			t.Error(err)
		}
	})
	return database(t, server, nil)
}

func start(settings map[string]string) (*pgdev.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// synchronous_commit stays on: it costs nothing without fsync, and an
	// asynchronous commit reaches the stream a fifth of a second late.
	all := map[string]string{
		"fsync":                     "off",
		"full_page_writes":          "off",
		"shared_buffers":            "32MB",
		"max_connections":           "200",
		"max_wal_senders":           "50",
		"max_replication_slots":     "50",
		"max_prepared_transactions": "20",
		"max_worker_processes":      "4",
		"autovacuum":                "off",
	}
	maps.Copy(all, settings)
	// Place moves it to where the server's user gets if TMPDIR is private.
	base, err := pgdev.Place(filepath.Join(os.TempDir(), "spillway-pgtest"))
	if err != nil {
		return nil, err
	}
	cache := filepath.Dir(base)
	dir, err := os.MkdirTemp(cache, "spillway-pgtest-")
	if err != nil {
		return nil, err
	}
	s, err := pgdev.Start(ctx, pgdev.Options{Dir: dir, Settings: all, TemplateCache: cache, Ephemeral: true})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// DB is a database of one test.
type DB struct {
	Name string
	// URL is its connection string, as superuser postgres.
	URL    string
	Server *pgdev.Server

	t    testing.TB
	mu   sync.Mutex // held while conn is in use
	conn *pgx.Conn  // opened when first needed
}

func database(t testing.TB, server *pgdev.Server, opts []Options) *DB {
	t.Helper()
	name := fmt.Sprintf("test_%d", counter.Add(1))
	db := &DB{Name: name, URL: server.URL(name), Server: server, t: t}
	err := admin(server, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "create database "+name); err != nil {
			return err
		}
		for _, o := range opts {
			for _, k := range slices.Sorted(maps.Keys(o.Settings)) {
				if _, err := conn.Exec(ctx, "alter database "+name+" set "+k+" to '"+o.Settings[k]+"'"); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("create the test's database: %v", err)
	}
	t.Cleanup(db.drop)
	return db
}

// drop runs at the end of the test.
func (db *DB) drop() {
	db.closeConn()
	if db.Server.PID() == 0 {
		return // the test stopped its own server
	}
	if err := admin(db.Server, db.dropAll); err != nil {
		db.t.Errorf("drop the test's database: %v", err)
	}
}

func (db *DB) dropAll(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "alter database "+db.Name+" allow_connections false"); err != nil {
		return err
	}
	if err := db.rollbackPrepared(ctx); err != nil {
		return err
	}
	for {
		// A walsender ends when it gets to it: ask until the slots are free.
		if _, err := conn.Exec(ctx, `select pg_terminate_backend(active_pid) from pg_replication_slots where database = $1 and active`, db.Name); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1 and not active`, db.Name); err != nil {
			return err
		}
		var left int
		if err := conn.QueryRow(ctx, `select count(*) from pg_replication_slots where database = $1`, db.Name).Scan(&left); err != nil {
			return err
		}
		if left == 0 {
			break
		}
	}
	_, err := conn.Exec(ctx, "drop database "+db.Name+" with (force)")
	return err
}

// rollbackPrepared ends prepared transactions, which only a session of the same
// database can do and which would keep the database from being dropped.
func (db *DB) rollbackPrepared(ctx context.Context) error {
	return admin(db.Server, func(_ context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `select gid from pg_prepared_xacts where database = $1`, db.Name)
		if err != nil {
			return err
		}
		gids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(gids) == 0 {
			return err
		}
		if _, err := conn.Exec(ctx, "alter database "+db.Name+" allow_connections true"); err != nil {
			return err
		}
		own, err := pgx.Connect(ctx, db.URL)
		if err != nil {
			return err
		}
		for _, gid := range gids {
			_, err = own.Exec(ctx, "rollback prepared '"+gid+"'")
			if err != nil {
				break
			}
		}
		return errors.Join(err, own.Close(ctx))
	})
}

// admin runs f on a connection to the server's own database.
func admin(server *pgdev.Server, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, conn), conn.Close(ctx))
}
