package admin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/chaos"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
)

func gone() stage {
	return stage{life: engine.Life{
		Handle: "h-9", Schema: "public", Table: "iss\nues", Where: "id = 7", State: "removed", Reason: shape.ReasonStalled,
		Events: []engine.Event{
			{At: time.Unix(1, 0), What: "created"},
			{At: time.Unix(2, 0), What: "suspect", Detail: "no progress", Evidence: "goroutine 12 [running]:\nmain.main()"},
			{At: time.Unix(3, 0), What: "removed", Detail: "stalled"},
		},
	}}
}

func TestWhy(t *testing.T) {
	w := askOf(gone(), "GET", "/why/h-9")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"what": "suspect"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := askOf(gone(), "GET", "/why/nope"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "no shape of this handle") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, evidence := range []bool{false, true} {
		var b strings.Builder
		if err := WriteLife(&b, gone().life, evidence); err != nil {
			t.Fatal(err)
		}
		for want, is := range map[string]bool{
			"h-9 of iss ues where id = 7: removed (stalled)\n":    true,
			"1970-01-01 00:00:02.000  suspect      no progress\n": true, "    main.main()": evidence,
		} {
			if strings.Contains(b.String(), want) != is {
				t.Errorf("with evidence %v: %q is there: %v\n%s", evidence, want, !is, &b)
			}
		}
	}
}

// The page of a shape that is gone tells its life.
func TestPageOfAGoneShape(t *testing.T) {
	w := askOf(gone(), "GET", "/shapes/h-9")
	text := strings.Join(strings.Fields(read(t, "/", w.Body.String()).text), " ")
	for _, want := range []string{"a shape that is gone", "removed: stalled", "suspect no progress", "main.main()"} {
		if w.Code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%d, no %q: %s", w.Code, want, text)
		}
	}
}

// The console's buttons make faults and lift them, and only the console's.
func TestChaosForm(t *testing.T) {
	faults := chaos.New(chaos.Options{
		Find: func(h shape.Handle) (chaos.Target, bool) {
			return chaos.Target{ID: 1, Def: &shape.Def{Table: new(shape.Table)}}, h == "h-1"
		},
		Key: func(shape.ID) string { return "" }, Drip: time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	submit := func(values url.Values, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "http://ops:3001/chaos/form", strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h := New(troubled(), callers, faults, slog.New(slog.DiscardHandler))
		defer h.Close()
		h.ServeHTTP(w, r)
		return w
	}
	block := url.Values{"fault": {"block"}, "shape": {"h-1"}}
	for _, foreign := range [][]string{{}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil"}, {"Origin", "null"}} {
		if w := submit(block, foreign...); w.Code != http.StatusForbidden || len(faults.List()) != 0 {
			t.Errorf("%v: %d, faults %v", foreign, w.Code, faults.List())
		}
	}
	if w := submit(block, "Origin", "http://ops:3001"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/shapes/h-1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	on := faults.List()
	if len(on) != 1 || on[0].Fault != chaos.Block || on[0].Until == nil {
		t.Fatalf("%+v", on)
	}
	w := httptest.NewRecorder()
	h := New(troubled(), callers, faults, slog.New(slog.DiscardHandler))
	defer h.Close()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if body := w.Body.String(); !strings.Contains(body, `value="`+on[0].ID+`"`) || !strings.Contains(w.Header().Get("content-security-policy"), "form-action 'self'") {
		t.Errorf("no button to lift it: %s", body)
	}
	if w := submit(url.Values{"lift": {on[0].ID}}, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusSeeOther || len(faults.List()) != 0 {
		t.Errorf("%d, faults %v", w.Code, faults.List())
	}
	if w := submit(url.Values{"fault": {"block"}, "shape": {"nope"}}, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
	if w := ask(given{}, "GET", "/"); strings.Contains(w.Body.String(), "<form") || !strings.Contains(w.Header().Get("content-security-policy"), "form-action 'none'") {
		t.Error("forms without chaos")
	}
}
