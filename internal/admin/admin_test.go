package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
)

// given is an engine in the state that a test wants.
type given engine.Status

// stage is a Source that shows it, with shapes.
type stage struct {
	status engine.Status
	shapes []engine.ShapeInfo
	life   engine.Life
}

func (s stage) Status() engine.Status { return s.status }

func (s stage) Shapes(skip, limit int) ([]engine.ShapeInfo, int) {
	from := min(skip, len(s.shapes))
	return s.shapes[from:min(from+limit, len(s.shapes))], len(s.shapes)
}

func (s stage) ShapesAfter(id shape.ID, limit int) (page []engine.ShapeInfo) {
	for _, x := range s.shapes {
		if x.ID > id && len(page) < limit {
			page = append(page, x)
		}
	}
	return page
}

func (s stage) Shape(h shape.Handle) (engine.ShapeInfo, bool) {
	for _, x := range s.shapes {
		if x.Handle == h {
			return x, true
		}
	}
	return engine.ShapeInfo{}, false
}

func (s stage) Life(h shape.Handle) (engine.Life, bool, error) {
	return s.life, s.life.Handle == h && h != "", nil
}

// busy is a state in which every field has something to say.
func busy() given {
	var st engine.Status
	st.Health = engine.HealthDegraded
	st.Reason = "the journal is stalled"
	p := &st.Positions
	p.Received.LSN, p.Journaled.LSN, p.Acked.LSN, p.Routed.LSN = 0x1_0000_0700, 0x1_0000_0600, 0x1_0000_0600, 0x1_0000_0500
	p.Applied.LSN, p.Durable.LSN, p.Trimmed.LSN = 0x1_0000_0400, 0x1_0000_0300, 0x1_0000_0200
	st.Journal.Bytes, st.Journal.BudgetBytes, st.Journal.SyncMS = 123, 4<<30, 1.5
	st.Journal.HeldBy = &engine.HeldBy{Handle: "h-1", From: engine.Position{LSN: 0x1_0000_0300}, Bytes: 512}
	retained := int64(777)
	st.Postgres.Slot, st.Postgres.Publication, st.Postgres.RetainedBytes = "slot", "publication", &retained
	st.Shapes.Total, st.Shapes.Live, st.Shapes.Snapshotting = 3, 2, 1
	st.Removed = map[shape.Reason]int64{shape.ReasonTruncate: 4}
	st.Ghosts = []engine.Ghost{{Shard: 1, Epoch: 2, Handle: "h-1", Seconds: 3}}
	st.Stalled = []engine.Stalled{{Handle: "h-1", Cause: "no progress", When: time.Unix(0, 0).UTC(), Stack: "goroutine 1"}}
	st.Storage.State = "stalled"
	st.StallsTotal, st.Sessions = 5, 6
	st.Alarm, st.Postgres.Audit = "everybody", "the slot is gone"
	canary := 0.125
	st.Postgres.CanarySeconds = &canary
	st.Postgres.WALBudgetBytes, st.Postgres.RestartLSNHeldBy = 999, "transaction of pid 7"
	st.Shapes.Suspect, st.Shapes.Restarting, st.Shapes.Quarantined, st.Shapes.Parked = 11, 12, 13, 14
	st.Storage.CanaryMS = 2500
	l := &st.Ladder
	l.Suspects, l.Restarts, l.Quarantines, l.Rebuilds, l.Parkings, l.Alarms = 21, 22, 23, 24, 25, 26
	st.Lag = map[string]engine.Lag{"acked": {Bytes: 256, Seconds: 1.5}}
	st.Ill = []engine.Ill{{Handle: "h-2", State: "parked", Reason: "stalled", Detail: "it hangs", Since: time.Unix(0, 0), Failures: 2, Until: time.Unix(60, 0)}}
	st.Waiting = []engine.Waiting{{Handle: "h-3", Seconds: 4, Rows: 5, For: "waiting for lock of pid 8"}}
	return given(st)
}

func ask(st given, method, path string) *httptest.ResponseRecorder {
	return askOf(stage{status: engine.Status(st)}, method, path)
}

// callers are the clients of all stages.
func callers() Clients { return Clients{Open: 34, Parked: 33, Initial: 2, Existing: 31} }

func askOf(src Source, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h := New(src, callers, nil, slog.New(slog.DiscardHandler))
	defer h.Close()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// The page has the fields that operators' tools rely on (flush-tracking §4).
func TestStatus(t *testing.T) {
	w := ask(busy(), "GET", "/status")
	if w.Code != http.StatusOK || w.Header().Get("cache-control") != "no-store" || !strings.HasPrefix(w.Header().Get("content-type"), "application/json") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"health": "degraded", "reason": "the journal is stalled",
		"positions.received": "1/700", "positions.journaled": "1/600", "positions.acked": "1/600", "positions.routed": "1/500",
		"positions.applied": "1/400", "positions.durable": "1/300", "positions.trimmed": "1/200",
		"journal.bytes": 123.0, "journal.budget_bytes": float64(4 << 30), "journal.held_by.handle": "h-1", "journal.held_by.bytes": 512.0,
		"postgres.slot": "slot", "postgres.retained_bytes": 777.0,
		"shapes.total": 3.0, "shapes.live": 2.0, "shapes.snapshotting": 1.0, "removed." + string(shape.ReasonTruncate): 4.0,
		"storage.state": "stalled", "storage.canary_ms": 2500.0, "alarm": "everybody", "postgres.audit": "the slot is gone",
		"postgres.canary_seconds": 0.125, "postgres.wal_budget_bytes": 999.0, "postgres.restart_lsn_held_by": "transaction of pid 7",
		"shapes.suspect": 11.0, "shapes.restarting": 12.0, "shapes.quarantined": 13.0, "shapes.parked": 14.0,
		"ladder.suspects": 21.0, "ladder.alarms": 26.0, "lag.acked.seconds": 1.5, "lag.acked.bytes": 256.0,
	} {
		var v any = got
		for name := range strings.SplitSeq(path, ".") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		if v != want {
			t.Errorf("%s is %v, want %v", path, v, want)
		}
	}
	// What has no meaning is left out; a list that is empty is there.
	body := ask(given{Ghosts: []engine.Ghost{}}, "GET", "/status").Body.String()
	for _, absent := range []string{"held_by", "retained_bytes", "last_error", "stalled", "removed", "reason", "alarm", "audit", "ill", "waiting", "restart_lsn_held_by"} {
		if strings.Contains(body, `"`+absent+`"`) {
			t.Errorf("%s is there without a meaning: %s", absent, body)
		}
	}
	if !strings.Contains(body, `"ghosts": []`) {
		t.Errorf("no list of ghosts: %s", body)
	}
}

func TestReady(t *testing.T) {
	for _, h := range engine.Healths {
		want := http.StatusServiceUnavailable
		if h == engine.HealthActive {
			want = http.StatusOK
		}
		w := ask(given{Health: h, Reason: "because"}, "GET", "/readyz")
		if w.Code != want || !strings.Contains(w.Body.String(), `"`+string(h)+`"`) {
			t.Errorf("ready while %s: %d %s", h, w.Code, w.Body)
		}
		if w := ask(given{Health: h}, "GET", "/healthz"); w.Code != http.StatusOK {
			t.Errorf("alive while %s: %d", h, w.Code)
		}
	}
}

var sample = regexp.MustCompile(`^(spillway_[a-z_]+(?:\{[^}]*\})?) (\S+)$`)

func TestMetrics(t *testing.T) {
	w := ask(busy(), "GET", "/metrics")
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		if m := sample.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			got = append(got, m[1]+" "+m[2])
		}
	}
	want := []string{
		`spillway_connections{state="open"} 34`,
		`spillway_connections{state="parked"} 33`,
		`spillway_requests{class="existing"} 31`,
		`spillway_requests{class="initial"} 2`,
		`spillway_ghosts 1`,
		`spillway_health{health="active"} 0`,
		`spillway_health{health="degraded"} 1`,
		`spillway_health{health="starting"} 0`,
		`spillway_health{health="stopping"} 0`,
		`spillway_health{health="waiting"} 0`,
		`spillway_journal_budget_bytes 4.294967296e+09`,
		`spillway_journal_bytes 123`,
		`spillway_journal_sync_seconds 0.0015`,
		`spillway_position_bytes{position="acked"} 4.294968832e+09`,
		`spillway_position_bytes{position="applied"} 4.29496832e+09`,
		`spillway_position_bytes{position="durable"} 4.294968064e+09`,
		`spillway_position_bytes{position="journaled"} 4.294968832e+09`,
		`spillway_position_bytes{position="received"} 4.294969088e+09`,
		`spillway_position_bytes{position="routed"} 4.294968576e+09`,
		`spillway_position_bytes{position="trimmed"} 4.294967808e+09`,
		`spillway_postgres_retained_bytes 777`,
		`spillway_replication_sessions_total 6`,
		`spillway_shapes_removed_total{reason="` + string(shape.ReasonTruncate) + `"} 4`,
		`spillway_shapes{state="live"} 2`,
		`spillway_shapes{state="snapshotting"} 1`,
		`spillway_stalls_total 5`,
		`spillway_alarm 1`,
		`spillway_audit_finding 1`,
		`spillway_canary_message_seconds 0.125`,
		`spillway_ladder_total{step="alarm"} 26`,
		`spillway_ladder_total{step="parking"} 25`,
		`spillway_ladder_total{step="quarantine"} 23`,
		`spillway_ladder_total{step="rebuild"} 24`,
		`spillway_ladder_total{step="restart"} 22`,
		`spillway_ladder_total{step="suspect"} 21`,
		`spillway_lag_bytes{position="acked"} 256`,
		`spillway_lag_seconds{position="acked"} 1.5`,
		`spillway_shapes{state="parked"} 14`,
		`spillway_shapes{state="quarantined"} 13`,
		`spillway_shapes{state="restarting"} 12`,
		`spillway_shapes{state="suspect"} 11`,
		`spillway_storage_canary_seconds 2.5`,
		`spillway_wal_budget_bytes 999`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if body := w.Body.String(); !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "# HELP spillway_health") {
		t.Error("no metrics of the process, or no help")
	}
	// Nothing is known of the slot yet.
	if w := ask(given{}, "GET", "/metrics"); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "spillway_postgres_retained_bytes") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRoutes(t *testing.T) {
	for path, want := range map[string]int{
		"GET /debug/pprof/":                  200,
		"GET /debug/pprof/goroutine?debug=1": 200,
		"GET /debug/pprof/cmdline":           200,
		"HEAD /healthz":                      200,
		"POST /status":                       405,
		"GET /":                              200,
		"POST /":                             405,
		"GET /v1/shape":                      404,
	} {
		method, path, _ := strings.Cut(path, " ")
		if w := ask(given{}, method, path); w.Code != want {
			t.Errorf("%s %s: %d, want %d", method, path, w.Code, want)
		}
	}
}
