package pgrepl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Config says what to connect to and what to stream.
type Config struct {
	// ConnString reaches the primary directly, not through a pooler. ConnConfig,
	// if set, is used in its place and is not changed.
	ConnString string
	ConnConfig *pgconn.Config

	Slot        string
	Publication string
	// Temporary: CreateSlot makes a slot that vanishes with the session.
	Temporary bool
	// Failover: CreateSlot makes a slot that is copied to standbys (Postgres 17
	// and later; ignored before, and for a temporary slot).
	Failover bool

	ApplicationName string

	// StatusInterval is the longest pause between two status frames. 0: a third
	// of the server's wal_sender_timeout, 10 s at most.
	StatusInterval time.Duration
	// DeadAfter is how long the server may say nothing. 0: twice its
	// wal_sender_timeout, but at least 10 s; two minutes if that is off.
	DeadAfter time.Duration

	// Logger gets what the server has to tell, never rows. nil: nobody does.
	Logger *slog.Logger
}

// Sink takes the stream: the journal.
type Sink interface {
	// Offer takes a frame, or says that there is no room. It does not wait.
	Offer(wal.Frame) bool
	// Space receives, or is closed, once there may be room again.
	Space() <-chan struct{}
	// Synced is the newest position that is durable, 0 if there is none.
	Synced() wal.LSN
}

// Info is what the server said of itself when the session began.
type Info struct {
	SystemID         string
	Timeline         int32
	XLogPos          wal.LSN // end of its WAL then
	ServerVersion    int     // 150018 for 15.18
	BackendPID       uint32
	WALSenderTimeout time.Duration // 0: off
	// StatsReset changes when the server crashed: it throws its statistics away then,
	// and keeps them otherwise (Postgres manual, "The Cumulative Statistics System").
	StatsReset string
}

// Positions are the places of a session in the WAL.
type Positions struct {
	Received    wal.LSN   // everything before it has arrived
	Acked       wal.LSN   // the flush position sent last
	ServerEnd   wal.LSN   // how far the server says it has got
	LastMessage time.Time // when the server was heard of last
}

// Session is one replication connection. One goroutine uses it; Info and
// Positions are for everybody.
type Session struct {
	cfg  Config
	log  *slog.Logger
	info Info
	conn *pgconn.PgConn // nil once Stream has taken the connection over

	received, acked, serverEnd atomic.Uint64
	lastMessage                atomic.Int64 // ns since the epoch
}

// display is how values are written as text (shape-semantics §8.1): the same for
// the stream and for snapshots. Start-up options win over settings of the role
// and of the database. Time limits are switched off since making a slot may have
// to wait for other transactions, and we do something else between two commands.
var display = map[string]string{
	"bytea_output":       "hex",
	"DateStyle":          "ISO, DMY",
	"TimeZone":           "UTC",
	"extra_float_digits": "1",
	"IntervalStyle":      "iso_8601",
	"client_encoding":    "UTF8",
	"lc_monetary":        "C",
	"search_path":        "pg_catalog",
	"statement_timeout":  "0",
	"lock_timeout":       "0",

	"idle_session_timeout":                "0",
	"idle_in_transaction_session_timeout": "0",
}

// connectTimeout bounds connecting when the connection string does not.
const connectTimeout = 30 * time.Second

// Connect opens a replication connection and asks the server who it is.
func Connect(ctx context.Context, cfg Config) (*Session, error) {
	cc, err := connConfig(cfg)
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("connect for replication: %w", err)
	}
	s := &Session{cfg: cfg, log: cfg.Logger, conn: conn}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	// Its bytes may be anything: one that cannot be converted would end every stream.
	if conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
		if _, err := s.query(ctx, "SET client_encoding = 'SQL_ASCII'"); err != nil {
			return nil, errors.Join(fmt.Errorf("take texts as they are: %w", err), s.Close(ctx))
		}
	}
	if err := s.identify(ctx); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	s.heard(time.Now())
	return s, nil
}

func connConfig(cfg Config) (*pgconn.Config, error) {
	var cc *pgconn.Config
	if cfg.ConnConfig != nil {
		cc = cfg.ConnConfig.Copy()
	} else {
		var err error
		if cc, err = pgconn.ParseConfig(cfg.ConnString); err != nil {
			return nil, fmt.Errorf("read the connection string: %w", err)
		}
	}
	cc.RuntimeParams["replication"] = "database"
	for name, value := range display {
		cc.RuntimeParams[name] = value
	}
	if cfg.ApplicationName != "" {
		cc.RuntimeParams["application_name"] = cfg.ApplicationName
	}
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = connectTimeout
	}
	dial := cc.DialFunc
	cc.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return pace(conn), nil
	}
	// A context that ends cancels the command, too: a backend that waits in
	// CREATE_REPLICATION_SLOT would stay otherwise, and keep our lock.
	cc.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 2 * time.Second}
	}
	return cc, nil
}

func (s *Session) identify(ctx context.Context) error {
	id, err := s.one(ctx, "IDENTIFY_SYSTEM")
	if err != nil {
		return fmt.Errorf("identify the system: %w", err)
	}
	timeline, err := strconv.ParseInt(id["timeline"], 10, 32)
	if err != nil {
		return fmt.Errorf("identify the system: timeline: %w", err)
	}
	at, err := wal.ParseLSN(id["xlogpos"])
	if err != nil {
		return fmt.Errorf("identify the system: %w", err)
	}
	// Each transaction is decoded within one, however large it is (Postgres 17 on).
	if _, err := s.query(ctx, "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'"); err != nil {
		return fmt.Errorf("switch the limit for transactions off: %w", err)
	}
	row, err := s.one(ctx, "SELECT current_setting('server_version_num') AS version, setting AS timeout,"+
		" (SELECT extract(epoch FROM stats_reset) FROM pg_catalog.pg_stat_bgwriter) AS reset FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'")
	if err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	version, err := strconv.Atoi(row["version"])
	if err != nil {
		return fmt.Errorf("read the server's version: %w", err)
	}
	timeout, err := strconv.Atoi(row["timeout"])
	if err != nil {
		return fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	s.info = Info{
		SystemID: id["systemid"], Timeline: int32(timeline), XLogPos: at,
		ServerVersion: version, BackendPID: s.conn.PID(),
		WALSenderTimeout: time.Duration(timeout) * time.Millisecond,
		StatsReset:       row["reset"],
	}
	s.serverEnd.Store(uint64(at))
	return nil
}

// Info is what the server said when the session began.
func (s *Session) Info() Info { return s.info }

// Positions reads the places of the session. Any goroutine may.
func (s *Session) Positions() Positions {
	return Positions{
		Received:    wal.LSN(s.received.Load()),
		Acked:       wal.LSN(s.acked.Load()),
		ServerEnd:   wal.LSN(s.serverEnd.Load()),
		LastMessage: time.Unix(0, s.lastMessage.Load()),
	}
}

func (s *Session) heard(now time.Time) { s.lastMessage.Store(now.UnixNano()) }

// Close ends the session, and with it the lock and a temporary slot. After
// Stream there is nothing left to do.
func (s *Session) Close(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	if err := conn.Close(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the replication connection: %w", err)
	}
	return nil
}

// errStreamed says that the connection belongs to Stream, or did.
var errStreamed = errors.New("the session has streamed or was closed: connect again")

// row is one row of an answer by column names; a NULL is absent.
type row map[string]string

// query runs a replication command or a plain statement.
func (s *Session) query(ctx context.Context, sql string) ([]row, error) {
	if s.conn == nil {
		return nil, errStreamed
	}
	results, err := s.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, r := range results {
		for _, values := range r.Rows {
			out := make(row, len(values))
			for i, v := range values {
				if v != nil {
					out[r.FieldDescriptions[i].Name] = string(v)
				}
			}
			rows = append(rows, out)
		}
	}
	return rows, nil
}

// one is query for what has exactly one row.
func (s *Session) one(ctx context.Context, sql string) (row, error) {
	rows, err := s.query(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("got %d rows, want one", len(rows))
	}
	return rows[0], nil
}
