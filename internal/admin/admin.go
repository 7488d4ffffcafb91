package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spillway-sync/spillway/internal/chaos"
	"github.com/spillway-sync/spillway/internal/engine"
)

// Source is what admin needs of an engine.
type Source interface {
	// Status must not wait for anybody.
	Status() engine.Status
}

// New returns the handler for operators:
//
//	/status       the state as JSON (flush-tracking §4)
//	/metrics      the same as Prometheus metrics
//	/healthz      200 as long as the process answers
//	/readyz       200 when clients are served from a live stream, else 503
//	/debug/pprof  profiles
//	/chaos        faults on purpose, if faults is not nil
func New(src Source, faults *chaos.Faults, log *slog.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(src),
	)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, log, http.StatusOK, src.Status())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, log, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		st := src.Status()
		code := http.StatusOK
		if st.Health != engine.HealthActive {
			code = http.StatusServiceUnavailable
		}
		answer(w, log, code, map[string]string{"status": string(st.Health), "reason": st.Reason})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return withChaos(mux, faults, log)
}

func answer(w http.ResponseWriter, log *slog.Logger, code int, v any) {
	w.Header().Set("content-type", "application/json; charset=utf-8")
	w.Header().Set("cache-control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		log.Debug("answer an operator", "err", err)
	}
}
