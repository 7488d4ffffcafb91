package api

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Config says how clients are served.
type Config struct {
	// Secret must be in the query of every request for a shape. Without one
	// nothing is served unless Insecure says so.
	Secret   string
	Insecure bool
	// LongPollTimeout is how long a live request is held. An offset beyond the
	// end is held for half of it.
	LongPollTimeout time.Duration
	// StreamTime is how long a stream of events is held open.
	StreamTime time.Duration
	// MaxAge and StaleAge are how long caches may keep a response that is not
	// live, and serve it while they ask again. Fractions of a second are lost.
	MaxAge   time.Duration
	StaleAge time.Duration
	// WriteTimeout is how long one piece of a body may take: a client that does
	// not read is cut off, a slow one is not.
	WriteTimeout time.Duration
	// AllowDeletion lets clients remove shapes.
	AllowDeletion bool
	// MaxInitial and MaxExisting are how many requests may be at work that a
	// shape may have to be made for, and of all others; 0: no limit.
	MaxInitial, MaxExisting int
	// Version is our own, for the electric-server header.
	Version string
}

// Defaults is the configuration of http-protocol §1.1, without a secret.
func Defaults() Config {
	return Config{
		LongPollTimeout: 20 * time.Second,
		StreamTime:      60 * time.Second,
		MaxAge:          60 * time.Second,
		StaleAge:        300 * time.Second,
		WriteTimeout:    30 * time.Second,
		MaxInitial:      300,
		MaxExisting:     10_000,
		Version:         "dev",
	}
}

// Source is where shapes come from. All methods are called from many
// goroutines.
type Source interface {
	// Table describes a table of the catalogue: ErrNoTable, ErrUnreachable.
	// It is asked for every request and should answer from a cache.
	Table(ctx context.Context, schema, name string) (*shape.Table, error)
	// Zone gives the rules of a time zone, by its name in lower case; nil: the server has
	// none of that name. ErrUnreachable.
	Zone(ctx context.Context, name string) (*expr.Zone, error)
	// Find returns the shape of an equal definition, or nil.
	Find(def *shape.Def) *registry.Shape
	// Create is Find, or makes the shape and starts its snapshot.
	Create(ctx context.Context, def *shape.Def) (*registry.Shape, error)
	// ByHandle returns a shape that lives here, or nil.
	ByHandle(h shape.Handle) *registry.Shape
	// Fate says why a shape that lived here went, if that is still known.
	Fate(h shape.Handle) (shape.Reason, bool)
	// Subset reads rows of a shape as they are now. onStart is told once what the
	// query sees, before any row; rows are indexed like the table's columns. It
	// fails with *snapshot.BadClause, *snapshot.Failure, *snapshot.SchemaChanged,
	// ErrUnreachable, or what a callback returned.
	Subset(ctx context.Context, s *shape.Subset, onStart func(wal.Snapshot) error, onRow func(wal.Tuple) error) error
	// Damaged gives up a shape whose log cannot be read.
	Damaged(sp *registry.Shape, err error)
	// Ready waits until shapes can be served, or returns a *NotReady when ctx
	// ends before. It returns nil at once, whatever ctx, if they can.
	Ready(ctx context.Context) error
	// Active is Ready for what takes the database too: shapes can be made and
	// removed.
	Active(ctx context.Context) error
	// Routed is how far the stream has come, once Ready: no client was ever given
	// anything beyond.
	Routed() wal.LSN
	// Delete removes a shape because a client wants it. It may go on behind.
	Delete(sp *registry.Shape)
	// Health is "active", "waiting" or "starting".
	Health() string
}

// electricVersion is the version of the protocol's own server that we answer
// like. Some tools read it from the header.
const electricVersion = "1.7.12"

// Handler serves clients. It may be used by any number of servers at once.
type Handler struct {
	cfg     Config
	src     Source
	log     *slog.Logger
	secret  [sha256.Size]byte
	version string    // of the electric-server header
	caching string    // cache-control of what is neither live nor the beginning
	started time.Time // for etags that must differ

	pages             pages
	initial, existing tally

	stop     sync.Once
	stopping chan struct{} // closed by Stop
}

// New returns the handler for clients.
func New(cfg Config, src Source, log *slog.Logger) *Handler {
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	return &Handler{
		cfg:      cfg,
		src:      src,
		log:      log,
		secret:   sha256.Sum256([]byte(cfg.Secret)),
		version:  "ElectricSQL/" + electricVersion + " (Spillway " + cfg.Version + ")",
		caching:  "public, max-age=" + seconds(cfg.MaxAge) + ", stale-while-revalidate=" + seconds(cfg.StaleAge),
		started:  time.Now(),
		initial:  tally{most: int64(cfg.MaxInitial), name: "initial"},
		existing: tally{most: int64(cfg.MaxExisting), name: "existing"},
		stopping: make(chan struct{}),
	}
}

// Stop says that the server begins to stop: live requests are answered at once,
// with what a timeout would have given them. All others go on as before.
func (s *Handler) Stop() { s.stop.Do(func() { close(s.stopping) }) }
