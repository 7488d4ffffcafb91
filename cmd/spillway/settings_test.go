package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/spillway-sync/spillway/internal/engine"
)

// parsed reads flags and variables as the command does. Variables of the test's
// own environment do not count.
func parsed(t *testing.T, env map[string]string, args ...string) (*cli, *kong.Context) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "SPILLWAY_") || strings.HasPrefix(name, "ELECTRIC_") || name == "DATABASE_URL" {
			t.Setenv(name, "")
		}
	}
	for name, v := range env {
		t.Setenv(name, v)
	}
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(append([]string{"serve"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return &c, k
}

func configured(t *testing.T, env map[string]string, args ...string) (engine.Config, error) {
	t.Helper()
	c, k := parsed(t, env, args...)
	cfg, _, err := c.Serve.config(k)
	return cfg, err
}

const dbURL = "postgresql://u:hunter2@db.example:5433/app"

func with(more ...string) map[string]string {
	env := map[string]string{"DATABASE_URL": dbURL, "SPILLWAY_INSECURE": "true"}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func TestDefaults(t *testing.T) {
	cfg, err := configured(t, with())
	if err != nil {
		t.Fatal(err)
	}
	want := engine.DefaultConfig()
	want.DatabaseURL, want.Insecure = dbURL, true
	if cfg != want {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
}

// Every variable, ours and Electric's, reaches its field.
func TestVariables(t *testing.T) {
	tests := []struct {
		names, value string
		get          func(engine.Config) any
		want         any
	}{
		{"DATABASE_URL", "postgres://a@b/c", func(c engine.Config) any { return c.DatabaseURL }, "postgres://a@b/c"},
		{"SPILLWAY_POOLED_DATABASE_URL ELECTRIC_POOLED_DATABASE_URL ELECTRIC_QUERY_DATABASE_URL", "postgres://a@b/c", func(c engine.Config) any { return c.PooledDatabaseURL }, "postgres://a@b/c"},
		{"SPILLWAY_DB_POOL_SIZE ELECTRIC_DB_POOL_SIZE", "7", func(c engine.Config) any { return c.PoolSize }, 7},
		{"SPILLWAY_STREAM_ID ELECTRIC_REPLICATION_STREAM_ID", "blue", func(c engine.Config) any { return c.Slot() + " " + c.Publication() }, "spillway_slot_blue spillway_publication_blue"},
		{"SPILLWAY_CHAOS", "on", func(c engine.Config) any { return c.Chaos }, true},
		{"SPILLWAY_MANUAL_PUBLISHING ELECTRIC_MANUAL_TABLE_PUBLISHING", "true", func(c engine.Config) any { return c.ManualPublishing }, true},
		{"SPILLWAY_PORT ELECTRIC_PORT", "0", func(c engine.Config) any { return c.Port }, 0},
		{"SPILLWAY_LISTEN_ADDR", "::1", func(c engine.Config) any { return c.ListenAddr }, "::1"},
		{"SPILLWAY_ADMIN_ADDR", "10.0.0.1:9", func(c engine.Config) any { return c.AdminAddr }, "10.0.0.1:9"},
		{"SPILLWAY_LONG_POLL_TIMEOUT ELECTRIC_LONG_POLL_TIMEOUT", "1500", func(c engine.Config) any { return c.LongPollTimeout }, 1500 * time.Millisecond},
		{"SPILLWAY_SSE_TIMEOUT", "5m", func(c engine.Config) any { return c.SSETimeout }, 5 * time.Minute},
		{"SPILLWAY_WRITE_TIMEOUT ELECTRIC_TCP_SEND_TIMEOUT", "45s", func(c engine.Config) any { return c.WriteTimeout }, 45 * time.Second},
		{"SPILLWAY_IDLE_TIMEOUT ELECTRIC_TCP_READ_TIMEOUT", "90000", func(c engine.Config) any { return c.IdleTimeout }, 90 * time.Second},
		{"SPILLWAY_MAX_SHAPES ELECTRIC_MAX_SHAPES ELECTRIC_EXPERIMENTAL_MAX_SHAPES", "9", func(c engine.Config) any { return c.MaxShapes }, 9},
		{"SPILLWAY_MAX_CONNECTIONS", "500", func(c engine.Config) any { return maxConnections(c, 20000) }, 500},
		{"SPILLWAY_ALLOW_SHAPE_DELETION ELECTRIC_ENABLE_INTEGRATION_TESTING ELECTRIC_ALLOW_SHAPE_DELETION", "true", func(c engine.Config) any { return c.AllowDeletion }, true},
		{"SPILLWAY_MAX_CONCURRENT_REQUESTS ELECTRIC_MAX_CONCURRENT_REQUESTS", `{"initial":5}`, func(c engine.Config) any { return c.Concurrency }, engine.Concurrency{Initial: 5, Existing: 10_000}},
		{"SPILLWAY_CACHE_MAX_AGE ELECTRIC_CACHE_MAX_AGE", "5", func(c engine.Config) any { return c.CacheMaxAge }, 5 * time.Second},
		{"SPILLWAY_CACHE_STALE_AGE ELECTRIC_CACHE_STALE_AGE", "6", func(c engine.Config) any { return c.CacheStaleAge }, 6 * time.Second},
		{"SPILLWAY_DATA_DIR ELECTRIC_STORAGE_DIR", "/d", func(c engine.Config) any { return c.DataDir }, "/d"},
		{"SPILLWAY_CHUNK_BYTES ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD", "10KiB", func(c engine.Config) any { return c.ChunkBytes }, int64(10 << 10)},
		{"SPILLWAY_JOURNAL_BUDGET", "2GB", func(c engine.Config) any { return c.JournalBudget }, int64(2e9)},
		{"SPILLWAY_WAL_BUDGET", "1 TiB", func(c engine.Config) any { return c.WALBudget }, int64(1 << 40)},
		{"SPILLWAY_MAX_GHOSTS", "3", func(c engine.Config) any { return c.MaxGhosts }, 3},
		{"SPILLWAY_AUDIT_EVERY", "10m", func(c engine.Config) any { return c.AuditEvery }, 10 * time.Minute},
		{"SPILLWAY_CANARY_EVERY", "0", func(c engine.Config) any { return c.CanaryEvery }, time.Duration(0)},
		{"SPILLWAY_PARK_TIME", "90s", func(c engine.Config) any { return c.ParkTime }, 90 * time.Second},
		{"SPILLWAY_STALL_GRACE ELECTRIC_FLUSH_STALL_GRACE_PERIOD", "1.5min", func(c engine.Config) any { return c.StallGrace }, 90 * time.Second},
	}
	seen := []string{"SPILLWAY_SECRET", "ELECTRIC_SECRET", "SPILLWAY_INSECURE", "ELECTRIC_INSECURE", // below
		"SPILLWAY_LOG_LEVEL", "ELECTRIC_LOG_LEVEL", "SPILLWAY_LOG_FORMAT", "SPILLWAY_ON_WAL_BUDGET",
		"SPILLWAY_TLS_CERT", "SPILLWAY_TLS_KEY"} // together: TestTransportSettings
	for _, tt := range tests {
		for _, name := range strings.Fields(tt.names) {
			seen = append(seen, name)
			cfg, err := configured(t, with(name, tt.value))
			if err != nil {
				t.Errorf("%s=%s: %v", name, tt.value, err)
			} else if got := tt.get(cfg); got != tt.want {
				t.Errorf("%s=%s: got %v, want %v", name, tt.value, got, tt.want)
			}
			t.Setenv(name, "")
		}
	}
	_, k := parsed(t, nil)
	each(k, func(flag *kong.Flag, _ string) {
		for _, name := range flag.Envs {
			if !slices.Contains(seen, name) {
				t.Errorf("%s is not tested here", name)
			}
		}
	})
}

func TestFlagsWin(t *testing.T) {
	cfg, err := configured(t, with("SPILLWAY_PORT", "4000"), "--port=5000")
	if err != nil || cfg.Port != 5000 {
		t.Errorf("port %d, %v", cfg.Port, err)
	}
}

// An empty variable is one that is not there, whoever else set the same thing.
func TestEmptyVariables(t *testing.T) {
	cfg, err := configured(t, with("SPILLWAY_PORT", "", "ELECTRIC_PORT", "4000", "SPILLWAY_DATA_DIR", ""))
	if err != nil || cfg.Port != 4000 || cfg.DataDir != engine.DefaultConfig().DataDir {
		t.Errorf("port %d, data directory %q, %v", cfg.Port, cfg.DataDir, err)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		what string
		env  map[string]string
		want []string // each one is in the error
	}{
		{"nothing at all", map[string]string{}, []string{"DATABASE_URL is required", "set SPILLWAY_SECRET"}},
		{"secret and insecure", with("SPILLWAY_SECRET", "geheim"), []string{"exclude each other"}},
		{"secret and insecure, Electric's names", map[string]string{"DATABASE_URL": dbURL, "ELECTRIC_SECRET": "geheim", "ELECTRIC_INSECURE": "1"}, []string{"exclude each other"}},
		{"two values", with("SPILLWAY_PORT", "1", "ELECTRIC_PORT", "2"), []string{"SPILLWAY_PORT and ELECTRIC_PORT set the same thing to different values"}},
		{"two secrets", map[string]string{"DATABASE_URL": dbURL, "SPILLWAY_SECRET": "geheim", "ELECTRIC_SECRET": "hunter2"}, []string{"SPILLWAY_SECRET and ELECTRIC_SECRET"}},
		{"one of two unreadable", with("SPILLWAY_PORT", "1", "ELECTRIC_PORT", "one"), []string{"SPILLWAY_PORT and ELECTRIC_PORT"}},
		{"scheme", with("DATABASE_URL", "mysql://u:hunter2@h/d"), []string{`DATABASE_URL: invalid URL scheme "mysql"`}},
		{"no user", with("DATABASE_URL", "postgresql://h/d"), []string{"missing username"}},
		{"no host", with("DATABASE_URL", "postgresql://u:hunter2@/d"), []string{"missing host"}},
		{"replication", with("DATABASE_URL", dbURL+"?replication=database"), []string{`"replication"`}},
		{"not a URL", with("DATABASE_URL", "postgresql://u:hunter2%zz@h/d"), []string{"percent-encoded"}},
		{"words", with("DATABASE_URL", "host=h password=hunter2"), []string{"DATABASE_URL: invalid URL scheme"}},
		{"sslmode", with("DATABASE_URL", dbURL+"?sslmode=often&password=geheim"), []string{"DATABASE_URL: ", "sslmode is invalid"}},
		{"certificate", with("DATABASE_URL", dbURL+"?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"), []string{"/nowhere/ca.pem"}},
		{"pooled URL", with("SPILLWAY_POOLED_DATABASE_URL", "x://u:hunter2@h"), []string{"SPILLWAY_POOLED_DATABASE_URL: invalid URL scheme"}},
		{"all at once", map[string]string{
			"DATABASE_URL": "postgresql://:hunter2@h/d", "SPILLWAY_SECRET": "geheim", "SPILLWAY_INSECURE": "yes", "SPILLWAY_PORT": "65536",
			"SPILLWAY_ADMIN_ADDR": "3001", "SPILLWAY_STREAM_ID": "deploy-blue", "SPILLWAY_DB_POOL_SIZE": "1", "SPILLWAY_MANUAL_PUBLISHING": "perhaps",
			"SPILLWAY_STALL_GRACE": "soon", "SPILLWAY_LONG_POLL_TIMEOUT": "1h", "SPILLWAY_CHUNK_BYTES": "0", "SPILLWAY_JOURNAL_BUDGET": "4 elephants",
			"SPILLWAY_WAL_BUDGET": "-1", "SPILLWAY_CACHE_MAX_AGE": "-1", "SPILLWAY_LOG_LEVEL": "loud", "SPILLWAY_LOG_FORMAT": "xml",
		}, []string{
			"missing username", "exclude each other", "SPILLWAY_PORT: 65536", `SPILLWAY_ADMIN_ADDR: "3001"`, `SPILLWAY_STREAM_ID: "deploy-blue"`,
			"SPILLWAY_DB_POOL_SIZE: 1", `SPILLWAY_MANUAL_PUBLISHING: "perhaps"`, `SPILLWAY_STALL_GRACE: "soon"`, "SPILLWAY_LONG_POLL_TIMEOUT: 1h0m0s",
			"SPILLWAY_CHUNK_BYTES must", `SPILLWAY_JOURNAL_BUDGET: "4 elephants"`, `SPILLWAY_WAL_BUDGET: "-1"`, `SPILLWAY_CACHE_MAX_AGE: "-1"`,
			`SPILLWAY_LOG_LEVEL: "loud"`, `SPILLWAY_LOG_FORMAT: "xml"`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			_, err := configured(t, tt.env)
			var config configError
			if !errors.As(err, &config) {
				t.Fatalf("%v is not a fault of the configuration", err)
			}
			lines := strings.Count(err.Error(), "\n")
			if lines != len(tt.want) && lines != 1 {
				t.Errorf("%d faults, want %d", lines, len(tt.want))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it does not say %q", want)
				}
			}
			for _, secret := range []string{"hunter2", "geheim"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it tells %q", secret)
				}
			}
			if t.Failed() {
				t.Log(err)
			}
		})
	}
}

// Two variables may say the same thing in different words.
func TestEqualValues(t *testing.T) {
	_, err := configured(t, with(
		"ELECTRIC_INSECURE", "1",
		"SPILLWAY_STALL_GRACE", "20s", "ELECTRIC_FLUSH_STALL_GRACE_PERIOD", "20000",
		"SPILLWAY_CHUNK_BYTES", "10MiB", "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD", "10485760",
		"SPILLWAY_PORT", "3000", "ELECTRIC_PORT", "03000",
		"SPILLWAY_LOG_LEVEL", "warn", "ELECTRIC_LOG_LEVEL", "warning",
		"SPILLWAY_CACHE_MAX_AGE", "60", "ELECTRIC_CACHE_MAX_AGE", "060"))
	if err != nil {
		t.Error(err)
	}
}

func TestStrangers(t *testing.T) {
	_, k := parsed(t, nil)
	got := strangers(k, []string{
		"SPILLWAY_PORT=1", "ELECTRIC_PORT=1", "SPILLWAY_PG_BIN=/x", "HOME=/root", "ELECTRIC_EMPTY=",
		"SPILLWAY_SECRETS=geheim", "ELECTRIC_LONGPOLL_TIMEOUT=1", "SPILLWAY_SOMETHING_ELSE=1",
		"ELECTRIC_OTEL_DEBUG=5", "ELECTRIC_PROMETHEUS_PORT=9", "CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN=true",
	})
	want := []string{
		"CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN is not supported and does nothing",
		"ELECTRIC_LONGPOLL_TIMEOUT is unknown and does nothing: do you mean ELECTRIC_LONG_POLL_TIMEOUT?",
		"ELECTRIC_OTEL_DEBUG is not supported and does nothing",
		"ELECTRIC_PROMETHEUS_PORT is not supported and does nothing: /metrics is on SPILLWAY_ADMIN_ADDR",
		"SPILLWAY_SECRETS is unknown and does nothing: do you mean SPILLWAY_SECRET?",
		"SPILLWAY_SOMETHING_ELSE is unknown and does nothing",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	each(k, func(flag *kong.Flag, _ string) {
		for _, name := range flag.Envs {
			if slices.Contains(notSupported, name) {
				t.Errorf("%s is a setting and in the list of what is not supported", name)
			}
		}
	})
}

func TestMasked(t *testing.T) {
	tests := [][3]string{
		{"secret", "geheim", "xxxxx"},
		{"url", "postgresql://u:geheim@h:1/d?sslmode=disable", "postgresql://u:xxxxx@h:1/d?sslmode=disable"},
		{"url", "postgresql://u@h/d?password=geheim&sslpassword=geheim", "postgresql://u@h/d?password=xxxxx&sslpassword=xxxxx"},
		{"url", "postgresql://u:%zz@h/d", "xxxxx"},
		{"number", "3000", "3000"},
	}
	for _, tt := range tests {
		if got := masked(tt[0], tt[1]); got != tt[2] {
			t.Errorf("masked %s %s: %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
	_, k := parsed(t, map[string]string{"DATABASE_URL": dbURL, "SPILLWAY_SECRET": "geheim"})
	fill(k)
	got := inUse(k)
	want := []any{"database-url", "postgresql://u:xxxxx@db.example:5433/app", "secret", "xxxxx"}
	if !slices.Equal(got, want) {
		t.Errorf("in use: %v, want %v", got, want)
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250": 250 * time.Millisecond, "0.5": 500 * time.Microsecond, "20s": 20 * time.Second, "20sec": 20 * time.Second,
		"500ms": 500 * time.Millisecond, "500msec": 500 * time.Millisecond, "2m": 2 * time.Minute, "2min": 2 * time.Minute,
	} {
		if got, err := parseTime(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "1 fortnight", "NaN", "Inf", "1e300"} {
		if got, err := parseTime(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "17": 17, "1.5KiB": 1536, "1KB": 1000, "10 MiB": 10 << 20, "4GiB": 4 << 30, "2GB": 2e9, "1TiB": 1 << 40, "9B": 9,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "big", "-1", "1PB", "1e30", "NaN", "Inf"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

// --chaos needs no value, and takes one after "=".
func TestChaosFlag(t *testing.T) {
	for want, args := range map[bool][][]string{
		true:  {{"--chaos"}, {"--chaos=true"}, {"--chaos", "--port=0"}},
		false: {{}, {"--chaos=false"}},
	} {
		for _, a := range args {
			cfg, err := configured(t, with(), a...)
			if err != nil || cfg.Chaos != want {
				t.Errorf("%v: %v, %v", a, cfg.Chaos, err)
			}
		}
	}
	if cfg, err := configured(t, with("SPILLWAY_CHAOS", "true"), "--chaos=false"); err != nil || cfg.Chaos {
		t.Errorf("the flag wins over the variable: %v, %v", cfg.Chaos, err)
	}
}

func TestTransportSettings(t *testing.T) {
	cfg, err := configured(t, with("SPILLWAY_TLS_CERT", "c.pem", "SPILLWAY_TLS_KEY", "k.pem"))
	if err != nil || cfg.TLSCert != "c.pem" || cfg.TLSKey != "k.pem" {
		t.Errorf("%q %q %v", cfg.TLSCert, cfg.TLSKey, err)
	}
	if _, err := certificate(cfg); err == nil || !strings.Contains(err.Error(), "SPILLWAY_TLS_CERT") {
		t.Errorf("files that are not there: %v", err)
	}
	t.Setenv("SPILLWAY_TLS_KEY", "")
	if _, err := configured(t, with("SPILLWAY_TLS_CERT", "c.pem")); err == nil || !strings.Contains(err.Error(), "belong together") {
		t.Errorf("a certificate without a key: %v", err)
	}
	for descriptors, want := range map[int]int{0: 0, 400: 200, 1024: 768, 20000: 15000} {
		if got := maxConnections(engine.Config{}, descriptors); got != want {
			t.Errorf("%d descriptors: %d connections; want %d", descriptors, got, want)
		}
	}
	local, err := certificate(engine.Config{LocalTLS: true, DataDir: t.TempDir()})
	if err != nil || local == nil {
		t.Errorf("a certificate of our own: %v", err)
	}
}
