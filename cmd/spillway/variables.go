package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// fill gives a setting the first of its variables that is not empty. An empty
// variable counts as one that is not there; kong takes it for a value.
func fill(k *kong.Context) {
	each(k, func(flag *kong.Flag, _ string) {
		if flag.Target.String() != "" {
			return
		}
		for _, name := range flag.Envs {
			if v := os.Getenv(name); v != "" {
				flag.Target.SetString(v)
				return
			}
		}
	})
}

// each calls f for every setting, with its kind.
func each(k *kong.Context, f func(flag *kong.Flag, kind string)) {
	for _, flag := range k.Flags() {
		if len(flag.Envs) > 0 && flag.Target.Kind() == reflect.String {
			f(flag, flag.Tag.Get("kind"))
		}
	}
}

// conflicts finds settings for which two variables say different things. The
// values are not printed: one of them may be a secret.
func conflicts(k *kong.Context) []error {
	var out []error
	each(k, func(flag *kong.Flag, kind string) {
		first, value := "", ""
		for _, name := range flag.Envs {
			v := os.Getenv(name)
			switch {
			case v == "":
			case first == "":
				first, value = name, v
			case !same(kind, v, value):
				out = append(out, fmt.Errorf("%s and %s set the same thing to different values: keep one", first, name))
			}
		}
	})
	return out
}

// inUse lists what was set, as pairs for the log, with secrets masked.
func inUse(k *kong.Context) []any {
	var out []any
	each(k, func(flag *kong.Flag, kind string) {
		if v := flag.Target.String(); v != "" {
			out = append(out, flag.Name, masked(kind, v))
		}
	})
	return out
}

// strangers warns of variables that look like ours and do nothing.
func strangers(k *kong.Context, environ []string) []string {
	known := map[string]bool{"SPILLWAY_PG_BIN": true} // where pgdev looks for Postgres
	var ours []string
	each(k, func(flag *kong.Flag, _ string) {
		for _, name := range flag.Envs {
			known[name] = true
			ours = append(ours, name)
		}
	})
	var out []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		electrics := slices.Contains(notSupported, name)
		switch {
		case value == "" || known[name]:
		case electrics:
			out = append(out, name+" is not supported and does nothing"+instead[name])
		case strings.HasPrefix(name, "SPILLWAY_") || strings.HasPrefix(name, "ELECTRIC_"):
			out = append(out, name+" is unknown and does nothing"+guess(name, ours))
		}
	}
	slices.Sort(out)
	return out
}

// guess proposes the name that was meant, if one is near.
func guess(name string, known []string) string {
	best, least := "", 4 // letters that may differ
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ": do you mean " + best + "?"
}

// distance is how many letters have to be put in, left out or replaced to make
// b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			step := diagonal
			if a[i] != b[j] {
				step++
			}
			diagonal = row[j+1]
			row[j+1] = min(step, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// instead says what to use in place of some of Electric's settings.
var instead = map[string]string{
	"ELECTRIC_DATABASE_CA_CERTIFICATE_FILE": ": put sslmode=verify-full&sslrootcert=<file> into DATABASE_URL",
	"ELECTRIC_PROMETHEUS_PORT":              ": /metrics is on SPILLWAY_ADMIN_ADDR",
	"ELECTRIC_LISTEN_ON_IPV6":               ": all interfaces are served unless SPILLWAY_LISTEN_ADDR is set",
	"ELECTRIC_TWEAKS_CONN_MAX_REQUESTS":     ": connections are kept for as many requests as come",
	"ELECTRIC_LIVE_DASHBOARD_PORT":          ": /status is on SPILLWAY_ADMIN_ADDR",
}

// notSupported are Electric's documented settings that have no meaning here, or
// none yet.
var notSupported = strings.Fields(`
	CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN
	ELECTRIC_CLEANUP_INTERVAL_MS
	ELECTRIC_CONSUMER_GC_HEAP_THRESHOLD
	ELECTRIC_CONSUMER_PARTITIONS
	ELECTRIC_DATABASE_CA_CERTIFICATE_FILE
	ELECTRIC_DATABASE_ID
	ELECTRIC_DATABASE_TCP_KEEPALIVE_COUNT
	ELECTRIC_DATABASE_TCP_KEEPALIVE_IDLE
	ELECTRIC_DATABASE_TCP_KEEPALIVE_INTERVAL
	ELECTRIC_DATABASE_TCP_USER_TIMEOUT
	ELECTRIC_DATABASE_USE_IPV6
	ELECTRIC_DROP_EMPTY_RESPONSE_SPANS
	ELECTRIC_EXCLUDE_SPANS
	ELECTRIC_EXPERIMENTAL_MAX_BATCH_SIZE
	ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE
	ELECTRIC_FEATURE_FLAGS
	ELECTRIC_HNY_API_KEY
	ELECTRIC_HNY_DATASET
	ELECTRIC_INSTANCE_ID
	ELECTRIC_LISTEN_ON_IPV6
	ELECTRIC_LIVE_DASHBOARD_PORT
	ELECTRIC_LOG_COLORS
	ELECTRIC_LOG_OTP_REPORTS
	ELECTRIC_METRICS_SAMPLING_RATIO
	ELECTRIC_OTEL_DEBUG
	ELECTRIC_OTEL_EXPORT_PERIOD
	ELECTRIC_OTEL_SAMPLING_RATIO
	ELECTRIC_OTLP_ENDPOINT
	ELECTRIC_PERSISTENT_STATE
	ELECTRIC_PROCESS_SPAWN_OPTS
	ELECTRIC_PROFILE_WHERE_CLAUSES
	ELECTRIC_PROMETHEUS_PORT
	ELECTRIC_PUBLICATION_ALTER_DEBOUNCE_TIME
	ELECTRIC_REPLICATION_IDLE_TIMEOUT
	ELECTRIC_SERVICE_NAME
	ELECTRIC_SHAPE_DB_CACHE_SIZE
	ELECTRIC_SHAPE_DB_ENABLE_MEMORY_STATS
	ELECTRIC_SHAPE_DB_ENABLE_STATS
	ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE
	ELECTRIC_SHAPE_DB_STORAGE_DIR
	ELECTRIC_SHAPE_DB_SYNCHRONOUS
	ELECTRIC_SHAPE_HIBERNATE_AFTER
	ELECTRIC_SHAPE_SUSPEND_AFTER
	ELECTRIC_SHAPE_SUSPEND_CONSUMER
	ELECTRIC_STACK_TELEMETRY_INIT_DELAY
	ELECTRIC_STATSD_HOST
	ELECTRIC_STORAGE
	ELECTRIC_SUBQUERY_BUFFER_MAX_TRANSACTIONS
	ELECTRIC_SYSTEM_METRICS_POLL_INTERVAL
	ELECTRIC_TELEMETRY_LONG_GC_THRESHOLD
	ELECTRIC_TELEMETRY_LONG_MESSAGE_QUEUE_DISABLE_THRESHOLD
	ELECTRIC_TELEMETRY_LONG_MESSAGE_QUEUE_ENABLE_THRESHOLD
	ELECTRIC_TELEMETRY_LONG_SCHEDULE_THRESHOLD
	ELECTRIC_TELEMETRY_TOP_PROCESS_COUNT
	ELECTRIC_TELEMETRY_TOP_PROCESS_LIMIT
	ELECTRIC_TELEMETRY_URL
	ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME
	ELECTRIC_TWEAKS_CONN_MAX_REQUESTS
	ELECTRIC_TWEAKS_HANDLER_FULLSWEEP_AFTER
	ELECTRIC_TWEAKS_HTTP_API_NUM_ACCEPTORS
	ELECTRIC_TWEAKS_PROCESS_REGISTRY_PARTITIONS
	ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD
	ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD
	ELECTRIC_USAGE_REPORTING
`)
