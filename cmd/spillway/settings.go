package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/engine"
)

// settings are the flags and variables of serve and dev. All are read as text,
// so that every fault of a configuration can be reported at once. The first
// variable of a setting is ours, the others are accepted as they are known
// from Electric. A kind says how two texts are compared and what is masked.
type settings struct {
	DatabaseURL       string `group:"Database" kind:"url" env:"DATABASE_URL" placeholder:"URL" help:"The Postgres primary, reached directly (no pooler): postgresql://user:password@host:5432/db."`
	PooledDatabaseURL string `group:"Database" kind:"url" env:"SPILLWAY_POOLED_DATABASE_URL,ELECTRIC_POOLED_DATABASE_URL,ELECTRIC_QUERY_DATABASE_URL" placeholder:"URL" help:"Used for snapshots; may go through a pooler in transaction mode."`
	DBPoolSize        string `group:"Database" kind:"number" env:"SPILLWAY_DB_POOL_SIZE,ELECTRIC_DB_POOL_SIZE" placeholder:"20" help:"Ordinary connections at the most."`
	StreamID          string `group:"Database" env:"SPILLWAY_STREAM_ID,ELECTRIC_REPLICATION_STREAM_ID" placeholder:"default" help:"Names slot spillway_slot_<id> and publication spillway_publication_<id>."`
	ManualPublishing  string `group:"Database" kind:"bool" env:"SPILLWAY_MANUAL_PUBLISHING,ELECTRIC_MANUAL_TABLE_PUBLISHING" placeholder:"false" help:"Never change the publication or a replica identity; only check them."`

	AuditEvery  string `group:"Database" kind:"time" env:"SPILLWAY_AUDIT_EVERY" placeholder:"5s" help:"How often slot and publication are looked at."`
	CanaryEvery string `group:"Database" kind:"time" env:"SPILLWAY_CANARY_EVERY" placeholder:"1m" help:"How often a few bytes written by Postgres prove that the stream flows; 0: never."`

	Port                  string `group:"HTTP" kind:"number" env:"SPILLWAY_PORT,ELECTRIC_PORT" placeholder:"3000" help:"Port for clients; 0: any free one, printed at start."`
	ListenAddr            string `group:"HTTP" env:"SPILLWAY_LISTEN_ADDR" placeholder:"ADDR" help:"Address for clients; empty: all interfaces."`
	AdminAddr             string `group:"HTTP" env:"SPILLWAY_ADMIN_ADDR" placeholder:"127.0.0.1:3001" help:"host:port for operators: status, metrics, profiles."`
	Secret                string `group:"HTTP" kind:"secret" env:"SPILLWAY_SECRET,ELECTRIC_SECRET" placeholder:"TEXT" help:"What clients must send as ?secret=."`
	Insecure              string `group:"HTTP" kind:"bool" env:"SPILLWAY_INSECURE,ELECTRIC_INSECURE" placeholder:"false" help:"true: serve everybody. Exactly one of secret and insecure must be set."`
	LongPollTimeout       string `group:"HTTP" kind:"time" env:"SPILLWAY_LONG_POLL_TIMEOUT,ELECTRIC_LONG_POLL_TIMEOUT" placeholder:"20s" help:"How long a live request is held. A bare number is milliseconds."`
	SSETimeout            string `group:"HTTP" kind:"time" env:"SPILLWAY_SSE_TIMEOUT" placeholder:"60s" help:"How long a stream of events is held open."`
	WriteTimeout          string `group:"HTTP" kind:"time" env:"SPILLWAY_WRITE_TIMEOUT,ELECTRIC_TCP_SEND_TIMEOUT" placeholder:"30s" help:"How long a client may leave a piece of its answer unread before it is cut off. A bare number is milliseconds."`
	IdleTimeout           string `group:"HTTP" kind:"time" env:"SPILLWAY_IDLE_TIMEOUT,ELECTRIC_TCP_READ_TIMEOUT" placeholder:"60s" help:"How long a connection may be without a request. Longer than a proxy in front keeps its own. A bare number is milliseconds."`
	MaxConnections        string `group:"HTTP" kind:"number" env:"SPILLWAY_MAX_CONNECTIONS" placeholder:"NUMBER" help:"Clients' connections open at once; unset: three quarters of the file descriptors."`
	TLSCert               string `group:"HTTP" env:"SPILLWAY_TLS_CERT" placeholder:"FILE" help:"PEM file with the certificate and its chain: clients are then served over TLS. Read again when it changes."`
	TLSKey                string `group:"HTTP" env:"SPILLWAY_TLS_KEY" placeholder:"FILE" help:"PEM file with the certificate's key."`
	CacheMaxAge           string `group:"HTTP" kind:"seconds" env:"SPILLWAY_CACHE_MAX_AGE,ELECTRIC_CACHE_MAX_AGE" placeholder:"60" help:"max-age of answers that are not live, in seconds."`
	CacheStaleAge         string `group:"HTTP" kind:"seconds" env:"SPILLWAY_CACHE_STALE_AGE,ELECTRIC_CACHE_STALE_AGE" placeholder:"300" help:"stale-while-revalidate of the same, in seconds."`
	MaxConcurrentRequests string `group:"HTTP" kind:"limits" env:"SPILLWAY_MAX_CONCURRENT_REQUESTS,ELECTRIC_MAX_CONCURRENT_REQUESTS" placeholder:"JSON" help:"Requests at work at the most: initial, that a shape may have to be made for, and existing. Unset: {\"initial\":300,\"existing\":10000}."`
	AllowShapeDeletion    string `group:"HTTP" kind:"bool" env:"SPILLWAY_ALLOW_SHAPE_DELETION,ELECTRIC_ENABLE_INTEGRATION_TESTING,ELECTRIC_ALLOW_SHAPE_DELETION" placeholder:"false" help:"Let clients remove shapes (DELETE /v1/shape)."`

	DataDir       string `group:"Storage" env:"SPILLWAY_DATA_DIR,ELECTRIC_STORAGE_DIR" placeholder:"./spillway-data" help:"Journal, shape logs and catalogue. It must survive restarts together with the slot."`
	ChunkBytes    string `group:"Storage" kind:"size" env:"SPILLWAY_CHUNK_BYTES,ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD" placeholder:"10MiB" help:"Size of one chunk of a shape's log."`
	MaxShapes     string `group:"Storage" kind:"number" env:"SPILLWAY_MAX_SHAPES,ELECTRIC_MAX_SHAPES,ELECTRIC_EXPERIMENTAL_MAX_SHAPES" placeholder:"NUMBER" help:"Shapes at the most; a further one takes the place of the least recently used, of those that no client waits on if there are any. Unset: no limit."`
	JournalBudget string `group:"Storage" kind:"size" env:"SPILLWAY_JOURNAL_BUDGET" placeholder:"4GiB" help:"What the journal may hold because a consumer lags."`
	WALBudget     string `group:"Storage" kind:"size" env:"SPILLWAY_WAL_BUDGET" placeholder:"SIZE" help:"What Postgres may retain because of us; unset: no limit."`
	OnWALBudget   string `group:"Storage" env:"SPILLWAY_ON_WAL_BUDGET" placeholder:"hold" help:"What is done before that is exceeded. hold: an alarm; drop-slot: the slot is dropped and every shape starts again."`
	StallGrace    string `group:"Storage" kind:"time" env:"SPILLWAY_STALL_GRACE,ELECTRIC_FLUSH_STALL_GRACE_PERIOD" placeholder:"30s" help:"How long a consumer may owe without making progress. A bare number is milliseconds."`
	MaxGhosts     string `group:"Storage" kind:"number" env:"SPILLWAY_MAX_GHOSTS" placeholder:"16" help:"Workers that hang for ever before the process ends (code 5) to start afresh."`
	ParkTime      string `group:"Storage" kind:"time" env:"SPILLWAY_PARK_TIME" placeholder:"5m" help:"How long a shape that cannot be built anew is left alone; it doubles each time."`

	Chaos toggle `group:"Trying things" kind:"bool" env:"SPILLWAY_CHAOS" placeholder:"false" help:"Let operators make faults on purpose (POST /chaos on the address for operators). Never in production."`

	LogLevel  string `group:"Logs" kind:"level" env:"SPILLWAY_LOG_LEVEL,ELECTRIC_LOG_LEVEL" placeholder:"info" help:"error, warning, info or debug."`
	LogFormat string `group:"Logs" env:"SPILLWAY_LOG_FORMAT" placeholder:"text" help:"text or json."`
}

// faults collects what is wrong with a configuration.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// config makes the engine's configuration of the settings, and the logger, to
// which it has told what was set. The error names every fault, one a line, and
// no secret.
func (s *settings) config(k *kong.Context) (engine.Config, *slog.Logger, error) {
	c, log, f := s.read(k)
	if len(f) > 0 {
		return c, nil, configError{fmt.Errorf("the configuration has faults:\n  %s",
			strings.ReplaceAll(errors.Join(f...).Error(), "\n", "\n  "))}
	}
	log.Info("configuration", inUse(k)...)
	for _, warning := range strangers(k, os.Environ()) {
		log.Warn(warning)
	}
	return c, log, nil
}

// read makes a configuration and a logger, and lists what is wrong with it.
func (s *settings) read(k *kong.Context) (engine.Config, *slog.Logger, faults) {
	fill(k)
	c := engine.DefaultConfig()
	f := faults(conflicts(k))
	text := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	text(&c.DatabaseURL, s.DatabaseURL)
	text(&c.PooledDatabaseURL, s.PooledDatabaseURL)
	text(&c.ListenAddr, s.ListenAddr)
	text(&c.AdminAddr, s.AdminAddr)
	text(&c.Secret, s.Secret)
	text(&c.TLSCert, s.TLSCert)
	text(&c.TLSKey, s.TLSKey)
	text(&c.DataDir, s.DataDir)
	text(&c.StreamID, s.StreamID)
	text(&c.OnWALBudget, s.OnWALBudget)
	read(&f, "SPILLWAY_PORT", s.Port, &c.Port, strconv.Atoi, "a number from 0 to 65535")
	read(&f, "SPILLWAY_DB_POOL_SIZE", s.DBPoolSize, &c.PoolSize, strconv.Atoi, "a number")
	read(&f, "SPILLWAY_INSECURE", s.Insecure, &c.Insecure, parseBool, "true or false")
	read(&f, "SPILLWAY_MANUAL_PUBLISHING", s.ManualPublishing, &c.ManualPublishing, parseBool, "true or false")
	read(&f, "SPILLWAY_CHAOS", string(s.Chaos), &c.Chaos, parseBool, "true or false")
	const times = "a time such as 20s, 500ms or 2m"
	read(&f, "SPILLWAY_LONG_POLL_TIMEOUT", s.LongPollTimeout, &c.LongPollTimeout, parseTime, times)
	read(&f, "SPILLWAY_SSE_TIMEOUT", s.SSETimeout, &c.SSETimeout, parseTime, times)
	read(&f, "SPILLWAY_WRITE_TIMEOUT", s.WriteTimeout, &c.WriteTimeout, parseTime, times)
	read(&f, "SPILLWAY_IDLE_TIMEOUT", s.IdleTimeout, &c.IdleTimeout, parseTime, times)
	read(&f, "SPILLWAY_MAX_SHAPES", s.MaxShapes, &c.MaxShapes, strconv.Atoi, "a number")
	read(&f, "SPILLWAY_MAX_CONNECTIONS", s.MaxConnections, &c.MaxConnections, strconv.Atoi, "a number")
	read(&f, "SPILLWAY_ALLOW_SHAPE_DELETION", s.AllowShapeDeletion, &c.AllowDeletion, parseBool, "true or false")
	read(&f, "SPILLWAY_MAX_CONCURRENT_REQUESTS", s.MaxConcurrentRequests, &c.Concurrency, parseConcurrency, `JSON such as {"initial":300,"existing":10000}`)
	read(&f, "SPILLWAY_STALL_GRACE", s.StallGrace, &c.StallGrace, parseTime, times)
	read(&f, "SPILLWAY_AUDIT_EVERY", s.AuditEvery, &c.AuditEvery, parseTime, times)
	read(&f, "SPILLWAY_CANARY_EVERY", s.CanaryEvery, &c.CanaryEvery, parseTime, times)
	read(&f, "SPILLWAY_MAX_GHOSTS", s.MaxGhosts, &c.MaxGhosts, strconv.Atoi, "a number")
	read(&f, "SPILLWAY_PARK_TIME", s.ParkTime, &c.ParkTime, parseTime, times)
	read(&f, "SPILLWAY_CACHE_MAX_AGE", s.CacheMaxAge, &c.CacheMaxAge, parseSeconds, "a number of seconds")
	read(&f, "SPILLWAY_CACHE_STALE_AGE", s.CacheStaleAge, &c.CacheStaleAge, parseSeconds, "a number of seconds")
	const sizes = "a size such as 10MiB, 4GiB or a number of bytes"
	read(&f, "SPILLWAY_CHUNK_BYTES", s.ChunkBytes, &c.ChunkBytes, parseSize, sizes)
	read(&f, "SPILLWAY_JOURNAL_BUDGET", s.JournalBudget, &c.JournalBudget, parseSize, sizes)
	read(&f, "SPILLWAY_WAL_BUDGET", s.WALBudget, &c.WALBudget, parseSize, sizes)
	log := s.logger(&f)
	if err := c.Validate(); err != nil {
		f = append(f, err)
	}
	checkParses(&f, "DATABASE_URL", c.DatabaseURL)
	checkParses(&f, "SPILLWAY_POOLED_DATABASE_URL", c.PooledDatabaseURL)
	return c, log, f
}

// checkParses finds what only the driver knows to be wrong with a URL that
// looks right: sslmode, certificates, the port.
func checkParses(f *faults, name, url string) {
	if url == "" || engine.CheckURL(url) != nil {
		return // that is told already
	}
	if _, err := pgconn.ParseConfig(url); err != nil {
		// Its text begins with the URL, from which the driver takes the password
		// only if it stands in front of the @.
		_, text, _ := strings.Cut(err.Error(), "`: ")
		f.add("%s: %s", name, text)
	}
}

func (s *settings) logger(f *faults) *slog.Logger {
	level, err := parseLevel(s.LogLevel)
	if err != nil {
		f.add("SPILLWAY_LOG_LEVEL: %q is not error, warning, info or debug", s.LogLevel)
	}
	if s.LogFormat != "" && s.LogFormat != "text" && s.LogFormat != "json" {
		f.add("SPILLWAY_LOG_FORMAT: %q is not text or json", s.LogFormat)
	}
	to := func(w io.Writer) *slog.Logger {
		o := &slog.HandlerOptions{Level: level}
		if s.LogFormat == "json" {
			return slog.New(slog.NewJSONHandler(w, o))
		}
		return slog.New(slog.NewTextHandler(w, o))
	}
	logs.setNote(func(dropped int) []byte {
		var b bytes.Buffer
		to(&b).Error("lines of the log were left out, as nobody read them", "lines", dropped)
		return b.Bytes()
	})
	return to(logs)
}
