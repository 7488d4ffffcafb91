package pgquery

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/turn"
)

const (
	adminConns    = 4
	lockLimit     = 5 * time.Second
	firstRowLimit = 30 * time.Second
)

// Config says how to reach Postgres.
type Config struct {
	// URL reaches the server directly.
	URL string
	// PooledURL is used for snapshots and may go through a pooler in
	// transaction mode; "": URL.
	PooledURL string
	// PoolSize is the number of connections at the most, both pools together.
	PoolSize int
	// Publication and Slot are ours, as far as Preflight and Watch are concerned.
	Publication string
	Slot        string
	// Manual: the publication and replica identities are only looked at, never
	// changed.
	Manual bool
	Logger *slog.Logger

	// OnWaiting is told about every five seconds whom WritersGone waits for;
	// nil: Logger is told.
	OnWaiting func(*shape.Table, []Writer)

	// LockLimit is how long Publish and Snapshot wait for a table's lock; 0: 5 s.
	LockLimit time.Duration
	// FirstRowLimit is how long a snapshot's first row may take; 0: 30 s.
	FirstRowLimit time.Duration
}

// DB is Postgres. Its methods may be called from any goroutine.
type DB struct {
	cfg      Config
	admin    *pool
	snapshot *pool
	subsets  chan struct{} // holds one for each Subset at work
	// Nobody's table takes all connections while it is locked: of one table so many
	// subsets are at work, and one of those who change its place in the publication.
	subsetTurns, publishTurns *turn.Turns
	tables                    cache
	zones                     zoneCache
}

// Open checks the configuration. It does not connect.
func Open(cfg Config) (*DB, error) {
	if cfg.PooledURL == "" {
		cfg.PooledURL = cfg.URL
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.LockLimit == 0 {
		cfg.LockLimit = lockLimit
	}
	if cfg.FirstRowLimit == 0 {
		cfg.FirstRowLimit = firstRowLimit
	}
	if cfg.PoolSize <= 0 {
		cfg.PoolSize = 20
	}
	// A quarter of the connections, one at least, is for the catalogue.
	few := min(adminConns, max(1, cfg.PoolSize/4))
	admin, err := openPool(cfg.URL, "spillway-admin", few)
	if err != nil {
		return nil, fmt.Errorf("open the admin pool: %w", err)
	}
	snapshot, err := openPool(cfg.PooledURL, "spillway-snapshot", max(1, cfg.PoolSize-few))
	if err != nil {
		return nil, fmt.Errorf("open the snapshot pool: %w", err)
	}
	// Half of the connections are left to the first rows of shapes.
	subsets := max(1, cap(snapshot.slots)/2)
	return &DB{
		cfg: cfg, admin: admin, snapshot: snapshot, tables: newCache(), zones: newZoneCache(),
		subsets: make(chan struct{}, subsets), subsetTurns: turn.New(turn.MostOf(subsets)), publishTurns: turn.New(1),
	}, nil
}

// Close closes all connections and waits for those in use.
func (db *DB) Close() {
	var both sync.WaitGroup
	both.Go(db.snapshot.close)
	both.Go(db.admin.close)
	both.Wait()
}

// pinned are the settings on which the text of values and the meaning of our
// queries depend. They must win over ALTER ROLE, ALTER DATABASE and what a
// pooler's session was left with. The replication connection has the same.
const pinned = `SET LOCAL bytea_output = 'hex';
SET LOCAL DateStyle = 'ISO, DMY';
SET LOCAL TimeZone = 'UTC';
SET LOCAL extra_float_digits = 1;
SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL client_encoding = 'UTF8';
SET LOCAL lc_monetary = 'C';
SET LOCAL xmloption = 'content';
SET LOCAL search_path = 'pg_catalog';
SET LOCAL standard_conforming_strings = on;
SET LOCAL idle_in_transaction_session_timeout = 0;
`

// pinnedBy are settings that not all servers have, or need.
func pinnedBy(conn *pgconn.PgConn) (more statement) {
	if major(conn) >= 17 {
		more += "SET LOCAL transaction_timeout = 0;\n"
	}
	// Its bytes may be anything. Converted to UTF8 one that is none would be an error:
	// of the stream, for ever. (The replication connection does the same.)
	if conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
		more += "SET LOCAL client_encoding = 'SQL_ASCII';\n"
	}
	return more
}

// How transactions begin, whatever their defaults are for the role or the database.
const (
	beginLook   = "BEGIN ISOLATION LEVEL READ COMMITTED;\n" + pinned
	beginChange = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n" + pinned
)

// look runs f in a short transaction on the admin pool.
func (db *DB) look(ctx context.Context, f func(pgx.Tx) error) error {
	return db.admin.within(ctx, beginLook+limits(lockLimit, lockLimit), f)
}

// major is the server's major version.
func major(conn *pgconn.PgConn) int {
	v := conn.ParameterStatus("server_version")
	end := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		v = v[:end]
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0 // a pooler that does not tell: the oldest forms work everywhere
	}
	return n
}
