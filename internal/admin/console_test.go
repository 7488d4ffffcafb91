package admin

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// hostile is what somebody may name a table, a column or a handle.
const hostile = `"><script>alert(1)</script><img src=x onerror='alert(1)'>&amp;{{.}}`

// troubled is a busy service whose every text is hostile.
func troubled() stage {
	st := engine.Status(busy())
	st.Reason, st.Postgres.LastError = hostile, hostile
	st.Postgres.Slot, st.Postgres.Publication = hostile, hostile
	st.Journal.HeldBy.Handle, st.Ghosts[0].Handle = hostile, hostile
	st.Stalled[0].Handle, st.Stalled[0].Cause, st.Stalled[0].Stack = hostile, hostile, hostile
	st.Removed = map[shape.Reason]int64{hostile: 1}
	return stage{status: st, shapes: []engine.ShapeInfo{
		{Handle: "h-1", Schema: "public", Table: "issues", All: true, Names: []string{"id", "title"}, Key: []string{"id"}, State: "live", Tail: wal.AfterSnapshot},
		{Handle: hostile, Schema: hostile, Table: hostile, Where: hostile, Names: []string{hostile}, Key: []string{hostile}, State: hostile},
	}}
}

// pagesOf asks for every page; hostile is escaped in its address.
func pagesOf(t *testing.T, src Source) map[string]*httptest.ResponseRecorder {
	t.Helper()
	got := map[string]*httptest.ResponseRecorder{}
	for _, path := range []string{"/", "/console/fragment", "/shapes/h-1", "/shapes/" + urlOf(hostile),
		"/console/fragment/shapes/" + urlOf(hostile), "/shapes/unknown"} {
		got[path] = askOf(src, "GET", path)
	}
	return got
}

func urlOf(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// Whatever its texts are, each page is well formed, has no script but ours, and
// shows the text as it is.
func TestPagesAreWellFormed(t *testing.T) {
	for path, w := range pagesOf(t, troubled()) {
		want := http.StatusOK
		if path == "/shapes/unknown" {
			want = http.StatusNotFound
		}
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
		page := read(t, path, w.Body.String())
		for _, e := range page.elements {
			checkElement(t, path, e)
		}
		if path != "/shapes/unknown" && path != "/shapes/h-1" && !strings.Contains(page.text, hostile) {
			t.Errorf("%s does not show the hostile name as it is", path)
		}
		for _, id := range page.ids {
			if strings.Count(strings.Join(page.ids, "\n")+"\n", id+"\n") != 1 {
				t.Errorf("%s: id %s is there twice", path, id)
			}
		}
	}
}

func checkElement(t *testing.T, path string, e xml.StartElement) {
	t.Helper()
	for _, a := range e.Attr {
		name := a.Name.Local
		if strings.HasPrefix(name, "on") || name == "style" {
			t.Errorf("%s: <%s %s>: no inline handlers and styles", path, e.Name.Local, name)
		}
		if (name == "href" || name == "src") && !strings.HasPrefix(a.Value, "/") {
			t.Errorf("%s: <%s %s=%q> leads elsewhere", path, e.Name.Local, name, a.Value)
		}
		if e.Name.Local == "script" && name == "src" && a.Value != "/console/console.js" {
			t.Errorf("%s: a script of others: %s", path, a.Value)
		}
	}
	if e.Name.Local == "img" || e.Name.Local == "style" || e.Name.Local == "script" && len(e.Attr) == 0 {
		t.Errorf("%s: <%s> is not ours", path, e.Name.Local)
	}
}

// parsed is a page as a strict reader sees it: our templates close every
// element and quote every attribute, so XML's rules find what HTML's forgive.
type parsed struct {
	elements []xml.StartElement
	ids      []string
	text     string
}

func read(t *testing.T, path, body string) parsed {
	t.Helper()
	var p parsed
	// A fragment has no root of its own.
	d := xml.NewDecoder(strings.NewReader("<root>" + strings.TrimPrefix(body, "<!DOCTYPE html>") + "</root>"))
	d.Entity = xml.HTMLEntity
	var text strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			p.text = text.String()
			return p
		}
		if err != nil {
			t.Fatalf("%s is not well formed: %v\n%s", path, err, body)
		}
		switch token := token.(type) {
		case xml.StartElement:
			p.elements = append(p.elements, token.Copy())
			for _, a := range token.Attr {
				if a.Name.Local == "id" {
					p.ids = append(p.ids, a.Value)
				}
			}
		case xml.CharData:
			text.Write(token)
		}
	}
}

// A page may load what comes from its own address and nothing else, and callers
// may keep it or put it in a frame.
func TestPagesAreGuarded(t *testing.T) {
	all := pagesOf(t, troubled())
	for _, name := range []string{"console.css", "console.js", "icon.svg"} {
		all[name] = askOf(troubled(), "GET", "/console/"+name)
	}
	for path, w := range all {
		csp := w.Header().Get("content-security-policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: the policy %q is not strict", path, csp)
		}
		if w.Header().Get("x-content-type-options") != "nosniff" {
			t.Errorf("%s: its type may be guessed", path)
		}
		if c := w.Header().Get("cache-control"); c != "no-store" && c != "no-cache" {
			t.Errorf("%s: cache-control %q", path, c)
		}
	}
}

// The first page says what the status says.
func TestOverview(t *testing.T) {
	s := stage{status: engine.Status(busy()), shapes: troubled().shapes[:1]}
	w := askOf(s, "GET", "/")
	text := strings.Join(strings.Fields(read(t, "/", w.Body.String()).text), " ")
	for _, want := range []string{
		"degraded", "the journal is stalled", "1/700", "256 B behind", "in step", "123 B", "under 0.1 % of its budget of 4 GiB",
		"777 B", "78 % of its budget of 999 B", "Alarm: everybody", "the slot is gone", "transaction of pid 7", "it hangs", "waiting for lock of pid 8", "quarantined13", "5 workers were replaced", "no progress", "goroutine 1", "epoch 2", "3 shapes", "issues", "0_inf", "all 2", "truncate",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if !strings.Contains(w.Body.String(), `title="256 bytes behind the step before"`) {
		t.Error("the exact lag is not in a title")
	}
}

func TestPaging(t *testing.T) {
	var s stage
	s.shapes = make([]engine.ShapeInfo, 2*pageShapes+1)
	for i := range s.shapes {
		s.shapes[i].Handle = shape.Handle(fmt.Sprintf("h-%d", i))
	}
	rows := regexp.MustCompile(`<td role="cell" data-label="Handle">`)
	for query, want := range map[string]struct {
		rows  int
		links string
	}{
		"":                          {pageShapes, "later"},
		"?page=2":                   {pageShapes, "earlier later"},
		"?page=3":                   {1, "earlier"},
		"?page=4":                   {0, "earlier"},
		"?page=-1":                  {pageShapes, "later"},
		"?page=x":                   {pageShapes, "later"},
		"?page=9999999999999999999": {pageShapes, "later"},
	} {
		body := askOf(s, "GET", "/"+query).Body.String()
		if got := len(rows.FindAllString(body, -1)); got != want.rows {
			t.Errorf("%s: %d shapes, want %d", query, got, want.rows)
		}
		var links []string
		for _, l := range []string{"earlier", "later"} {
			if strings.Contains(body, ">"+l+"</a>") {
				links = append(links, l)
			}
		}
		if got := strings.Join(links, " "); got != want.links {
			t.Errorf("%s: links %q, want %q", query, got, want.links)
		}
	}
}

// An asset is asked for again each time, and not sent again when it is the same.
func TestAssets(t *testing.T) {
	for name, kind := range map[string]string{"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		w := askOf(stage{}, "GET", "/console/"+name)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("content-type"), kind) {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		h := New(stage{}, callers, nil, quiet)
		r := httptest.NewRequest("GET", "/console/"+name, nil)
		r.Header.Set("if-none-match", w.Header().Get("etag"))
		again := httptest.NewRecorder()
		h.ServeHTTP(again, r)
		h.Close()
		if again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, again.Code)
		}
	}
	for _, path := range []string{"/console/page.html", "/console/", "/console/../admin.go"} {
		if w := askOf(stage{}, "GET", path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

func TestSamplerKeepsTheNewest(t *testing.T) {
	s := &sampler{src: stage{}}
	begin := time.Unix(1e9, 0)
	for i := range samples + 10 {
		s.take(begin.Add(time.Duration(i) * time.Second))
	}
	all := s.all()
	if len(all) != samples || !all[0].at.Equal(begin.Add(10*time.Second)) || !all[samples-1].at.Equal(begin.Add(time.Duration(samples+9)*time.Second)) {
		t.Errorf("%d samples from %s to %s", len(all), all[0].at, all[len(all)-1].at)
	}
}
