package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spillway-sync/spillway/internal/chaos"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
)

// pageShapes is how many shapes the console lists on one page.
const pageShapes = 200

// policy lets a page load from where it came from and from nowhere else. There
// are no inline scripts and no inline styles, so that a name of a table that
// gets through the escaping is still only text.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; form-action "

//go:embed console
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"bytes": humanBytes, "exactBytes": exactBytes, "exact": exact, "percent": percent,
	"span":   func(s float64) string { return humanTime(seconds(s)) },
	"ago":    func(now, t time.Time) string { return humanTime(now.Sub(t)) + " ago" },
	"stamp":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"plural": plural,
}).ParseFS(files, "console/*.html"))

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return exact(int64(n)) + " " + many
}

// console serves the pages for people.
type console struct {
	src     Source
	log     *slog.Logger
	sampler *sampler
	faults  *chaos.Faults // nil: none can be made
}

// overview is what the first page shows.
type overview struct {
	Now     time.Time
	Health  string // in the words of the page's title
	Tone    string
	Status  engine.Status
	Steps   []step
	Plots   []plot
	Shapes  []engine.ShapeInfo
	Total   int
	Page    int // from 1
	Pages   int
	Refresh string // where the live part comes from
	Chaos   bool   // faults can be made
	Faults  []chaos.Active
}

// Previous is the number of the page before.
func (o overview) Previous() int { return o.Page - 1 }

// Next is the number of the page behind.
func (o overview) Next() int { return o.Page + 1 }

// life is what a shape's page shows.
type life struct {
	Now     time.Time
	Shape   engine.ShapeInfo
	Handle  shape.Handle
	Found   bool
	Holds   *engine.HeldBy
	Stalled []engine.Stalled
	Ghosts  []engine.Ghost
	Ill     *engine.Ill
	Life    engine.Life
	Known   bool // Life is
	Refresh string
	Chaos   bool
	Faults  []chaos.Active // of this shape
}

func (c *console) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, http.StatusOK, "page.html", c.overview(r))
	})
	mux.HandleFunc("GET /console/fragment", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, http.StatusOK, "overview.html", c.overview(r))
	})
	mux.HandleFunc("GET /shapes/{handle}", func(w http.ResponseWriter, r *http.Request) { c.shape(w, r, "shape.html") })
	mux.HandleFunc("GET /console/fragment/shapes/{handle}", func(w http.ResponseWriter, r *http.Request) { c.shape(w, r, "life.html") })
	for _, name := range []string{"console.css", "console.js", "icon.svg"} {
		mux.Handle("GET /console/"+name, asset(name))
	}
}

func (c *console) overview(r *http.Request) overview {
	now, st := time.Now(), c.src.Status()
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 || page > 1<<20 {
		page = 1
	}
	o := overview{Now: now, Status: st, Steps: steps(st), Page: page, Refresh: fmt.Sprintf("/console/fragment?page=%d", page)}
	o.Shapes, o.Total = c.src.Shapes((page-1)*pageShapes, pageShapes)
	o.Pages = max(1, (o.Total+pageShapes-1)/pageShapes)
	if c.faults != nil {
		o.Chaos, o.Faults = true, c.faults.List()
	}
	o.Health, o.Tone = string(st.Health), healthTone(st)
	all := c.sampler.all()
	o.Plots = []plot{
		newPlot("retained", "WAL kept by Postgres for us", all, now, func(s moment) int64 { return s.retained }, st.Postgres.WALBudgetBytes),
		newPlot("journal", "Our journal on disk", all, now, func(s moment) int64 { return s.journal }, st.Journal.BudgetBytes),
	}
	return o
}

func healthTone(st engine.Status) string {
	switch st.Health {
	case engine.HealthActive:
		return "ok"
	case engine.HealthDegraded:
		return "bad"
	}
	return "warn"
}

func (c *console) shape(w http.ResponseWriter, r *http.Request, page string) {
	l := life{Now: time.Now(), Handle: shape.Handle(r.PathValue("handle"))}
	l.Refresh = "/console/fragment/shapes/" + url.PathEscape(string(l.Handle))
	l.Shape, l.Found = c.src.Shape(l.Handle)
	st := c.src.Status()
	if h := st.Journal.HeldBy; h != nil && h.Handle == l.Handle {
		l.Holds = h
	}
	for _, s := range st.Stalled {
		if s.Handle == l.Handle {
			l.Stalled = append(l.Stalled, s)
		}
	}
	for _, g := range st.Ghosts {
		if g.Handle == l.Handle {
			l.Ghosts = append(l.Ghosts, g)
		}
	}
	for i := range st.Ill {
		if st.Ill[i].Handle == l.Handle {
			l.Ill = &st.Ill[i]
		}
	}
	var err error
	if l.Life, l.Known, err = c.src.Life(l.Handle); err != nil {
		c.log.Error("read a shape's life", "handle", l.Handle, "err", err)
	}
	if c.faults != nil {
		l.Chaos = true
		for _, f := range c.faults.List() {
			if f.Shape == l.Handle {
				l.Faults = append(l.Faults, f)
			}
		}
	}
	code := http.StatusOK
	if !l.Found && !l.Known {
		code = http.StatusNotFound
	}
	c.render(w, code, page, l)
}

// render makes the whole page before the first byte is sent: half a page with
// status 200 is worse than an error.
func (c *console) render(w http.ResponseWriter, code int, page string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, page, data); err != nil {
		c.log.Error("make a page of the console", "page", page, "err", err)
		http.Error(w, "the page could not be made; see the log", http.StatusInternalServerError)
		return
	}
	guard(w.Header(), c.faults != nil)
	w.Header().Set("content-type", "text/html; charset=utf-8")
	w.Header().Set("cache-control", "no-store")
	w.WriteHeader(code)
	if _, err := w.Write(b.Bytes()); err != nil {
		c.log.Debug("answer an operator", "err", err)
	}
}

func guard(h http.Header, forms bool) {
	to := "'none'"
	if forms {
		to = "'self'"
	}
	h.Set("content-security-policy", policy+to)
	h.Set("x-content-type-options", "nosniff")
	h.Set("referrer-policy", "no-referrer")
}

// asset serves one file; browsers ask each time whether theirs is still right,
// so that a new version of the binary never runs with an old script.
func asset(name string) http.Handler {
	body, err := files.ReadFile("console/" + name)
	if err != nil {
		panic(err) // it is compiled in
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header(), false)
		w.Header().Set("cache-control", "no-cache")
		w.Header().Set("etag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}
