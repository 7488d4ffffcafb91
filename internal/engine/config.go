package engine

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Config is everything an engine needs to know. The zero value is not usable:
// take DefaultConfig and change it.
type Config struct {
	// DatabaseURL reaches the primary directly: replication, the lock and the
	// catalogue use it. It must not go through a pooler.
	DatabaseURL string
	// PooledDatabaseURL, if set, is used for snapshots; it may go through a
	// pooler in transaction mode.
	PooledDatabaseURL string
	// PoolSize is the number of ordinary connections at the most.
	PoolSize int

	// ListenAddr and Port are where clients are served. Port 0 takes any free
	// one.
	ListenAddr string
	Port       int
	// AdminAddr is where operators are served, host:port. Empty: nowhere.
	AdminAddr string

	// TLSCert and TLSKey are PEM files; with them clients are served over TLS.
	TLSCert, TLSKey string
	// LocalTLS: clients are served over TLS with a certificate that we make,
	// for this machine.
	LocalTLS bool
	// MaxConnections is how many clients' connections may be open at once;
	// 0: as many as the file descriptors allow.
	MaxConnections int
	// WriteTimeout is how long one piece of an answer may take, IdleTimeout how
	// long a connection may be without a request.
	WriteTimeout, IdleTimeout time.Duration

	// Secret is what clients must send; Insecure lets everybody in. Exactly one
	// of them is set.
	Secret   string
	Insecure bool

	// DataDir holds the journal, the shape logs and the catalogue.
	DataDir string
	// StreamID names the slot spillway_slot_<id> and the publication
	// spillway_publication_<id>.
	StreamID string
	// ManualPublishing: never change the publication or a replica identity.
	ManualPublishing bool

	// StallGrace is how long a consumer may make no progress.
	StallGrace time.Duration
	// MaxGhosts is how many replaced workers that do not return are borne with
	// before the process ends for a new start.
	MaxGhosts int
	// ParkTime is how long a shape that was built anew in vain too often is left
	// alone; it doubles each time.
	ParkTime time.Duration
	// JournalBudget is what the journal may hold because a consumer lags, in bytes.
	JournalBudget int64
	// WALBudget is what Postgres may retain because of us, in bytes; 0: not set.
	WALBudget int64
	// AuditEvery is how often slot and publication are looked at, and CanaryEvery
	// how often a canary message proves that the stream flows; 0: never.
	AuditEvery, CanaryEvery time.Duration
	// OnWALBudget is what is done before it would be exceeded: HoldSlot or DropSlot.
	OnWALBudget string

	// MaxShapes is how many shapes there may be at once; 0: any number.
	MaxShapes int

	// LongPollTimeout is how long a live request is held.
	LongPollTimeout time.Duration
	// SSETimeout is how long a stream of events is held open.
	SSETimeout time.Duration
	// AllowDeletion: clients may remove shapes.
	AllowDeletion bool
	// Concurrency is how many requests may be at work.
	Concurrency Concurrency
	// ChunkBytes is the size of one chunk of a shape's log, in bytes.
	ChunkBytes int64
	// CacheMaxAge and CacheStaleAge are what caches are told about answers
	// that are not live.
	CacheMaxAge, CacheStaleAge time.Duration

	// Shards is the number of workers; 0: one for each CPU.
	Shards int

	// Chaos: operators may make faults on purpose.
	Chaos bool
}

// Concurrency is how many requests of clients may be at work: those that a shape
// may have to be made for, and those of shapes that live here.
type Concurrency struct {
	Initial  int `json:"initial"`
	Existing int `json:"existing"`
}

// DefaultConfig holds the documented defaults.
func DefaultConfig() Config {
	return Config{
		PoolSize:        20,
		Port:            3000,
		AdminAddr:       "127.0.0.1:3001",
		DataDir:         "./spillway-data",
		StreamID:        "default",
		StallGrace:      30 * time.Second,
		MaxGhosts:       16,
		ParkTime:        5 * time.Minute,
		JournalBudget:   4 << 30,
		AuditEvery:      5 * time.Second,
		CanaryEvery:     time.Minute,
		OnWALBudget:     HoldSlot,
		LongPollTimeout: 20 * time.Second,
		SSETimeout:      60 * time.Second,
		WriteTimeout:    30 * time.Second,
		IdleTimeout:     60 * time.Second,
		Concurrency:     Concurrency{Initial: 300, Existing: 10_000},
		ChunkBytes:      10 << 20,
		CacheMaxAge:     60 * time.Second,
		CacheStaleAge:   300 * time.Second,
	}
}

// Slot is the name of the replication slot.
func (c *Config) Slot() string { return "spillway_slot_" + c.StreamID }

// Publication is the name of the publication.
func (c *Config) Publication() string { return "spillway_publication_" + c.StreamID }

// streamID is what may stand in an unquoted SQL identifier, short enough that
// the names made of it stay within 63 bytes.
var streamID = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// Validate reports all faults at once, each with the setting's name and how to
// mend it. Secrets do not appear in it.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.DatabaseURL == "" {
		fault("DATABASE_URL is required: postgresql://user:password@host:5432/database")
	} else if err := CheckURL(c.DatabaseURL); err != nil {
		fault("DATABASE_URL: %w", err)
	}
	if c.PooledDatabaseURL != "" {
		if err := CheckURL(c.PooledDatabaseURL); err != nil {
			fault("SPILLWAY_POOLED_DATABASE_URL: %w", err)
		}
	}
	switch {
	case c.Secret != "" && c.Insecure:
		fault("SPILLWAY_SECRET and SPILLWAY_INSECURE=true exclude each other: set one of them")
	case c.Secret == "" && !c.Insecure:
		fault("set SPILLWAY_SECRET (what clients must send), or SPILLWAY_INSECURE=true to let everybody in")
	}
	if c.Port < 0 || c.Port > 65535 {
		fault("SPILLWAY_PORT: %d is not a port: 0 to 65535", c.Port)
	}
	if c.AdminAddr != "" {
		if _, port, err := net.SplitHostPort(c.AdminAddr); err != nil {
			fault("SPILLWAY_ADMIN_ADDR: %q is not host:port", c.AdminAddr)
		} else if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			fault("SPILLWAY_ADMIN_ADDR: %q is not a port: 0 to 65535", port)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		fault("SPILLWAY_TLS_CERT and SPILLWAY_TLS_KEY belong together: set both or none")
	}
	if c.MaxShapes < 0 {
		fault("SPILLWAY_MAX_SHAPES must not be negative")
	}
	if c.MaxConnections < 0 {
		fault("SPILLWAY_MAX_CONNECTIONS must not be negative")
	}
	if c.DataDir == "" {
		fault("SPILLWAY_DATA_DIR must not be empty")
	}
	if !streamID.MatchString(c.StreamID) {
		fault("SPILLWAY_STREAM_ID: %q: use 1 to 40 of a-z, 0-9 and _ (it becomes part of a slot's name)", c.StreamID)
	}
	if c.PoolSize < 2 {
		fault("SPILLWAY_DB_POOL_SIZE: %d is too small: at least 2", c.PoolSize)
	}
	positive := func(name string, n int64) {
		if n <= 0 {
			fault("%s must be greater than 0", name)
		}
	}
	positive("SPILLWAY_STALL_GRACE", int64(c.StallGrace))
	positive("SPILLWAY_AUDIT_EVERY", int64(c.AuditEvery))
	if c.CanaryEvery < 0 {
		fault("SPILLWAY_CANARY_EVERY must not be negative; 0 turns it off")
	}
	positive("SPILLWAY_MAX_GHOSTS", int64(c.MaxGhosts))
	positive("SPILLWAY_PARK_TIME", int64(c.ParkTime))
	positive("SPILLWAY_JOURNAL_BUDGET", c.JournalBudget)
	positive("SPILLWAY_LONG_POLL_TIMEOUT", int64(c.LongPollTimeout))
	positive("SPILLWAY_SSE_TIMEOUT", int64(c.SSETimeout))
	positive("SPILLWAY_WRITE_TIMEOUT", int64(c.WriteTimeout))
	positive("SPILLWAY_IDLE_TIMEOUT", int64(c.IdleTimeout))
	positive("SPILLWAY_MAX_CONCURRENT_REQUESTS", int64(min(c.Concurrency.Initial, c.Concurrency.Existing)))
	positive("SPILLWAY_CHUNK_BYTES", c.ChunkBytes)
	switch {
	case c.OnWALBudget != HoldSlot && c.OnWALBudget != DropSlot:
		fault("SPILLWAY_ON_WAL_BUDGET: %q is neither %s nor %s", c.OnWALBudget, HoldSlot, DropSlot)
	case c.OnWALBudget == DropSlot && c.WALBudget == 0:
		fault("SPILLWAY_ON_WAL_BUDGET is %s, but no SPILLWAY_WAL_BUDGET is set", DropSlot)
	}
	if c.WALBudget < 0 {
		fault("SPILLWAY_WAL_BUDGET must not be negative")
	}
	if c.LongPollTimeout > 40*time.Second {
		fault("SPILLWAY_LONG_POLL_TIMEOUT: %s is too long: clients give up after 45s, use at most 40s", c.LongPollTimeout)
	}
	return errors.Join(faults...)
}

// CheckURL looks at a connection URL. Its error does not print it: it holds a
// password.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("it is not a URL; special characters in the password must be percent-encoded")
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return fmt.Errorf("invalid URL scheme %q: use postgresql://", u.Scheme)
	}
	if u.User == nil || u.User.Username() == "" {
		return errors.New("invalid or missing username")
	}
	if u.Hostname() == "" && u.Query().Get("host") == "" {
		return errors.New("missing host")
	}
	if u.Query().Has("replication") {
		return errors.New(`unsupported "replication" query option: leave it out`)
	}
	return nil
}
