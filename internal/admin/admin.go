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
	"github.com/spillway-sync/spillway/internal/shape"
)

// Source is what admin needs of an engine.
type Source interface {
	// None of them may wait for anybody.
	Status() engine.Status
	// Shapes returns up to limit shapes after the first skip ones, and how many
	// there are.
	Shapes(skip, limit int) ([]engine.ShapeInfo, int)
	// ShapesAfter returns up to limit shapes after the one with an ID.
	ShapesAfter(id shape.ID, limit int) []engine.ShapeInfo
	Shape(h shape.Handle) (engine.ShapeInfo, bool)
	// Life reads the catalogue: it may wait for a disk.
	Life(h shape.Handle) (engine.Life, bool, error)
}

// Clients is what clients hold at a moment.
type Clients struct {
	// Open is the number of their connections, Parked of those over HTTP/1.1 whose
	// request waits.
	Open, Parked int64
	// Initial and Existing are requests at work, those that wait included, by the
	// class they count against.
	Initial, Existing int64
}

// Handler answers operators.
type Handler struct {
	http.Handler
	sampler *sampler
}

// Close ends what the handler does by itself.
func (h *Handler) Close() { h.sampler.close() }

// New returns the handler for operators. It has to be closed.
//
//	/             the console, for people
//	/shapes/{h}   what is known of one shape, for people
//	/shapes       their definitions, as JSON: ?after=ID&limit=1000
//	/why/{h}      what happened to one shape, as JSON
//	/status       the state as JSON (flush-tracking §4)
//	/metrics      the same as Prometheus metrics
//	/healthz      200 as long as the process answers
//	/readyz       200 when clients are served from a live stream, else 503
//	/debug/pprof  profiles
//	/chaos        faults on purpose, if faults is not nil
func New(src Source, clients func() Clients, faults *chaos.Faults, log *slog.Logger) *Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(src, clients),
	)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, log, http.StatusOK, src.Status())
	})
	mux.HandleFunc("GET /shapes", func(w http.ResponseWriter, r *http.Request) { answerShapes(w, r, src, log) })
	mux.HandleFunc("GET /why/{handle}", func(w http.ResponseWriter, r *http.Request) {
		h := shape.Handle(r.PathValue("handle"))
		switch life, ok, err := src.Life(h); {
		case err != nil:
			log.Error("read a shape's life", "handle", h, "err", err)
			answer(w, log, http.StatusInternalServerError, map[string]string{"error": "its life could not be read; see the log"})
		case !ok:
			answer(w, log, http.StatusNotFound, map[string]string{"error": "no shape of this handle is known: it never lived here, or too long ago"})
		default:
			answer(w, log, http.StatusOK, life)
		}
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
	samples := newSampler(src)
	(&console{src: src, log: log, sampler: samples, faults: faults}).routes(mux)
	return &Handler{Handler: withChaos(mux, faults, log), sampler: samples}
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
