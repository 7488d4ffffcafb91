package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/spillway-sync/spillway/internal/engine"
)

// settings are the flags and variables of serve and dev. All are read as text,
// so that every fault of a configuration can be reported at once. The first
// variable of a setting is ours, the others are accepted as they are known
// from Electric.
type settings struct {
	DatabaseURL       string `group:"Database" env:"DATABASE_URL" placeholder:"URL" help:"The Postgres primary, reached directly (no pooler): postgresql://user:password@host:5432/db."`
	PooledDatabaseURL string `group:"Database" env:"SPILLWAY_POOLED_DATABASE_URL,ELECTRIC_POOLED_DATABASE_URL" placeholder:"URL" help:"Used for snapshots; may go through a pooler in transaction mode."`
	DBPoolSize        string `group:"Database" env:"SPILLWAY_DB_POOL_SIZE,ELECTRIC_DB_POOL_SIZE" placeholder:"20" help:"Ordinary connections at the most."`
	StreamID          string `group:"Database" env:"SPILLWAY_STREAM_ID,ELECTRIC_REPLICATION_STREAM_ID" placeholder:"default" help:"Names slot spillway_slot_<id> and publication spillway_publication_<id>."`
	ManualPublishing  string `group:"Database" env:"SPILLWAY_MANUAL_PUBLISHING,ELECTRIC_MANUAL_TABLE_PUBLISHING" placeholder:"false" help:"Never change the publication or a replica identity; only check them."`

	Port            string `group:"HTTP" env:"SPILLWAY_PORT,ELECTRIC_PORT" placeholder:"3000" help:"Port for clients; 0: any free one, printed at start."`
	ListenAddr      string `group:"HTTP" env:"SPILLWAY_LISTEN_ADDR" placeholder:"ADDR" help:"Address for clients; empty: all interfaces."`
	AdminAddr       string `group:"HTTP" env:"SPILLWAY_ADMIN_ADDR" placeholder:"127.0.0.1:3001" help:"host:port for operators: status, metrics, profiles."`
	Secret          string `group:"HTTP" env:"SPILLWAY_SECRET,ELECTRIC_SECRET" placeholder:"TEXT" help:"What clients must send as ?secret=."`
	Insecure        string `group:"HTTP" env:"SPILLWAY_INSECURE,ELECTRIC_INSECURE" placeholder:"false" help:"true: serve everybody. Exactly one of secret and insecure must be set."`
	LongPollTimeout string `group:"HTTP" env:"SPILLWAY_LONG_POLL_TIMEOUT,ELECTRIC_LONG_POLL_TIMEOUT" placeholder:"20s" help:"How long a live request is held. A bare number is milliseconds."`
	CacheMaxAge     string `group:"HTTP" env:"SPILLWAY_CACHE_MAX_AGE,ELECTRIC_CACHE_MAX_AGE" placeholder:"60" help:"max-age of answers that are not live, in seconds."`
	CacheStaleAge   string `group:"HTTP" env:"SPILLWAY_CACHE_STALE_AGE,ELECTRIC_CACHE_STALE_AGE" placeholder:"300" help:"stale-while-revalidate of the same, in seconds."`

	DataDir       string `group:"Storage" env:"SPILLWAY_DATA_DIR,ELECTRIC_STORAGE_DIR" placeholder:"./spillway-data" help:"Journal, shape logs and catalogue. It must survive restarts together with the slot."`
	ChunkBytes    string `group:"Storage" env:"SPILLWAY_CHUNK_BYTES,ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD" placeholder:"10MiB" help:"Size of one chunk of a shape's log."`
	JournalBudget string `group:"Storage" env:"SPILLWAY_JOURNAL_BUDGET" placeholder:"4GiB" help:"What the journal may hold because a consumer lags."`
	WALBudget     string `group:"Storage" env:"SPILLWAY_WAL_BUDGET" placeholder:"SIZE" help:"What Postgres may retain because of us; unset: no limit."`
	StallGrace    string `group:"Storage" env:"SPILLWAY_STALL_GRACE,ELECTRIC_FLUSH_STALL_GRACE_PERIOD" placeholder:"30s" help:"How long a consumer may owe without making progress. A bare number is milliseconds."`

	LogLevel  string `group:"Logs" env:"SPILLWAY_LOG_LEVEL,ELECTRIC_LOG_LEVEL" placeholder:"info" help:"error, warning, info or debug."`
	LogFormat string `group:"Logs" env:"SPILLWAY_LOG_FORMAT" placeholder:"text" help:"text or json."`
}

// faults collects what is wrong with a configuration.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// config makes the engine's configuration of the settings. The error names
// every fault, one a line, and no secret.
func (s *settings) config(conflicts []error) (engine.Config, *slog.Logger, error) {
	c := engine.DefaultConfig()
	f := faults(conflicts)
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
	text(&c.DataDir, s.DataDir)
	text(&c.StreamID, s.StreamID)
	read(&f, "SPILLWAY_PORT", s.Port, &c.Port, strconv.Atoi, "a number from 0 to 65535")
	read(&f, "SPILLWAY_DB_POOL_SIZE", s.DBPoolSize, &c.PoolSize, strconv.Atoi, "a number")
	read(&f, "SPILLWAY_INSECURE", s.Insecure, &c.Insecure, parseBool, "true or false")
	read(&f, "SPILLWAY_MANUAL_PUBLISHING", s.ManualPublishing, &c.ManualPublishing, parseBool, "true or false")
	const times = "a time such as 20s, 500ms or 2m"
	read(&f, "SPILLWAY_LONG_POLL_TIMEOUT", s.LongPollTimeout, &c.LongPollTimeout, parseTime, times)
	read(&f, "SPILLWAY_STALL_GRACE", s.StallGrace, &c.StallGrace, parseTime, times)
	read(&f, "SPILLWAY_CACHE_MAX_AGE", s.CacheMaxAge, &c.CacheMaxAge, parseSeconds, "a number of seconds")
	read(&f, "SPILLWAY_CACHE_STALE_AGE", s.CacheStaleAge, &c.CacheStaleAge, parseSeconds, "a number of seconds")
	const sizes = "a size such as 10MiB, 4GiB or a number of bytes"
	read(&f, "SPILLWAY_CHUNK_BYTES", s.ChunkBytes, &c.ChunkBytes, parseSize, sizes)
	read(&f, "SPILLWAY_JOURNAL_BUDGET", s.JournalBudget, &c.JournalBudget, parseSize, sizes)
	read(&f, "SPILLWAY_WAL_BUDGET", s.WALBudget, &c.WALBudget, parseSize, sizes)
	log, err := s.logger()
	if err != nil {
		f = append(f, err)
	}
	if err := c.Validate(); err != nil {
		f = append(f, err)
	}
	return c, log, errors.Join(f...)
}

// read parses one setting if it was given.
func read[T any](f *faults, name, text string, to *T, parse func(string) (T, error), want string) {
	if text == "" {
		return
	}
	v, err := parse(text)
	if err != nil {
		f.add("%s: %q is not %s", name, text, want)
		return
	}
	*to = v
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errors.New("not a boolean")
}

// parseTime reads a duration; a bare number is milliseconds, as Electric has it.
func parseTime(s string) (time.Duration, error) {
	if ms, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(ms * float64(time.Millisecond)), nil
	}
	for _, unit := range [][2]string{{"msec", "ms"}, {"sec", "s"}, {"min", "m"}} {
		if rest, ok := strings.CutSuffix(s, unit[0]); ok {
			s = rest + unit[1]
			break
		}
	}
	return time.ParseDuration(s)
}

func parseSeconds(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return time.Duration(n) * time.Second, err
}

// parseSize reads a number of bytes with an optional unit.
func parseSize(s string) (int64, error) {
	units := []struct {
		suffix string
		bytes  float64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
	}
	factor := 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n*factor >= 1<<62 {
		return 0, errors.New("not a size")
	}
	return int64(n * factor), nil
}

func (s *settings) logger() (*slog.Logger, error) {
	var level slog.Level
	switch strings.ToLower(s.LogLevel) {
	case "error":
		level = slog.LevelError
	case "warning", "warn":
		level = slog.LevelWarn
	case "", "info":
		level = slog.LevelInfo
	case "debug":
		level = slog.LevelDebug
	default:
		return nil, fmt.Errorf("SPILLWAY_LOG_LEVEL: %q is not error, warning, info or debug", s.LogLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch s.LogFormat {
	case "", "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, fmt.Errorf("SPILLWAY_LOG_FORMAT: %q is not text or json", s.LogFormat)
}

// conflicts finds settings for which two variables say different things. The
// values are not printed: one of them may be a secret.
func conflicts(ctx *kong.Context) []error {
	var out []error
	for _, flag := range ctx.Flags() {
		first, value := "", ""
		for _, name := range flag.Envs {
			v, ok := os.LookupEnv(name)
			switch {
			case !ok || v == "":
			case first == "":
				first, value = name, v
			case v != value:
				out = append(out, fmt.Errorf("%s and %s set the same thing to different values: keep one", first, name))
			}
		}
	}
	return out
}
