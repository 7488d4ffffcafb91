package api

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzRequest: whatever a client sends, nothing panics, no answer is the
// server's fault, and what says it is JSON is.
func FuzzRequest(f *testing.F) {
	h := newHarbour(f)
	cfg := insecure()
	cfg.LongPollTimeout, cfg.StreamTime = time.Millisecond, time.Millisecond
	cfg.AllowDeletion = true
	handler := serve(cfg, h)
	for _, target := range []string{
		"/", "/v1/health", "/v1/shape", "/v1/%73hape/?table=boats&offset=-1",
		"/v1/shape?table=boats&offset=0_0&handle=x&live=true&cursor=1",
		"/v1/shape?table=boats&offset=now&log=changes_only&replica=full",
		"/v1/shape?table=%22a.b%22.c&offset=9_inf&handle=h&columns[]=id&params[1]=2&where=id=$1",
		"/v1/shape?offset=-1&table=boats&columns=id,%22name%22&queryable_columns=id",
		"//v1//shape//?a[b][c]=%ff&%=%&subset__where=1",
		"/v1/shape?offset=-1&table=boats&where=(name+ILIKE+'%25a%25'+OR+crew+IN+(1,$1))+AND+NOT+id=ANY('{1,2}')&params[1]=3",
		"/v1/shape?offset=now&table=public.boats&subset__where=crew%3E$1&subset__params={%221%22:%223%22}&subset__order_by=crew+DESC+NULLS+LAST&subset__limit=2&subset__offset=1",
		"/v1/shape?table=boats&handle=1&offset=0_0&live&live_sse&experimental_live_sse=1&secret=x&api_secret[]=y",
		"*", "http://x/v1/shape?table=boats&offset=-1", "/v1/shape?" + strings.Repeat("a[]=1&", 50), "/" + strings.Repeat("%2F/", 50),
	} {
		f.Add("GET", target, "If-None-Match: \"x\"\r\n")
		f.Add("OPTIONS", target, "Access-Control-Request-Headers: a, b\r\nOrigin: null\r\n")
		f.Add("HEAD", target, "X-Request-Id: "+strings.Repeat("\t", 30)+"\r\nAccept-Encoding: gzip;q=0.5, *;q=0\r\n")
		f.Add("DELETE", target, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")
	}
	f.Fuzz(func(t *testing.T, method, target, headers string) { try(t, handler, method, target, headers) })
}

// try sends one request, if it is one at all.
func try(t *testing.T, handler http.Handler, method, target, headers string) {
	text := method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return
	}
	judge(t, handler, r, text)
}

// judge serves a request and looks at the answer: a status, no fault of the server's,
// JSON where it says so, and not much longer than what was sent.
func judge(t *testing.T, handler http.Handler, r *http.Request, text string) {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	switch isJSON := w.Header().Get("Content-Type") == typeJSON && w.Body.Len() > 0; {
	case w.Code >= 500 || w.Code < 200:
		t.Fatalf("%q: status %d: %s", text, w.Code, w.Body)
	case isJSON && w.Header().Get("Content-Encoding") == "" && !json.Valid(w.Body.Bytes()):
		t.Fatalf("%q: not JSON: %s", text, w.Body)
	case w.Body.Len() > 16<<10+20*len(text):
		t.Fatalf("%q: %d bytes are answered with %d", text, len(text), w.Body.Len())
	}
	for name, lines := range w.Header() {
		for _, line := range lines {
			if strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("%q: header %s: %q", text, name, line)
			}
		}
	}
}

// TestRandomRequests puts requests together from likely pieces, which finds
// more in a second than bytes by chance do.
func TestRandomRequests(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	h := newHarbour(t)
	h.chunk = 200
	cfg := insecure()
	cfg.LongPollTimeout, cfg.StreamTime = 0, 0
	handler := serve(cfg, h)
	handle := "x"
	for range 5000 {
		q := url.Values{}
		for range rng.IntN(7) {
			name := pick("table", "offset", "handle", "live", "live_sse", "columns", "columns[]", "where", "params",
				"params[1]", "replica", "log", "cursor", "queryable_columns", "subset__where", "subset__order_by", "subset__limit", "subset__params", "subset[where]", "secret", "experimental_compaction", "\xff")
			q.Add(name, pick("boats", "-1", "now", "0_0", "0_inf", "771_0", handle, "true", "", " ", "id", "id,name", `"`, `""`, "\x00",
				"full", "changes_only", "default", "5", "-5", "9999999999999999999999", "a.b", "%", "é", "id = 1", strings.Repeat("x", 100)))
		}
		if rng.IntN(2) == 0 {
			q.Set("table", "boats")
			q.Set("offset", pick("-1", "now", "0_0", "0_1", "0_2", "0_inf", "771_0", "5_5"))
			q.Set("handle", handle)
		}
		if rng.IntN(100) == 0 && len(h.shapes()) > 0 {
			if err := h.append(771, 3, 1); err != nil {
				t.Fatal(err)
			}
		}
		method := pick("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE", "PUT")
		path := pick("/v1/shape", "/v1/shape", "/v1/shape/", "/v1/health", "/", "/v2", "/v1/%73hape")
		try(t, handler, method, path+"?"+q.Encode(), "If-None-Match: "+pick("*", `"`+handle+`:-1:0_0"`, `W/"a",`)+"\r\n")
		if all := h.shapes(); len(all) > 0 {
			handle = string(all[rng.IntN(len(all))].Handle())
		}
	}
}
