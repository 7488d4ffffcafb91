package api

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// logged collects what is logged.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestSecretIsNeverLogged: whatever is wrong with a request that holds the
// secret, with the server's reading of it or with us, no log repeats it, at any
// level.
func TestSecretIsNeverLogged(t *testing.T) {
	const secret = "hush-hush-hush"
	out := &logged{}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := Defaults()
	cfg.Secret, cfg.LongPollTimeout = secret, time.Millisecond
	h := newHarbour(t)
	for _, src := range []Source{h, bomb{h}} {
		srv := NewServer(New(cfg, src, log), time.Minute, log)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		rng := rand.New(rand.NewPCG(1, 2))
		pick := func(of ...string) string { return of[rng.IntN(len(of))] }
		for range 300 {
			text := fmt.Sprintf("%s %s?%s=%s&table=%s&offset=%s%s HTTP/1.%s\r\n%s: %s\r\n%s\r\n",
				pick("GET", "GET", "POST", "DELETE", "PATCH", "G\x01T"), pick("/v1/shape", "/v1/shape", "/v1//%73hape", "/v1/%zz", "/"),
				pick("secret", "secret", "api_secret", "secret[]"), secret, pick("boats", "nope", "%ff"), pick("-1", "now", "0_0", "x"),
				pick("", "&where=%00", ";", "&live=true", "&subset__limit=1"), pick("1", "1", "0", "9"),
				pick("Host", "Authorization", "Bad Name", "Content-Length", "Transfer-Encoding"), pick("x", secret, "-1", "chunked"),
				pick("", "Host: y\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n"))
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			var some [64]byte
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Read(some[:]) // many get nothing before we leave
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	text := out.b.String()
	if !strings.Contains(text, "bang") {
		t.Error("nothing was logged of the panics")
	}
	if i := strings.Index(text, secret); i >= 0 {
		t.Errorf("the log has it: …%s…", text[max(0, i-200):min(len(text), i+50)])
	}
}

// TestHostileSizes: what a request makes us allocate grows with its length (8 times here) and not
// faster, whatever it repeats.
func TestHostileSizes(t *testing.T) {
	cfg := insecure()
	cfg.LongPollTimeout = 0
	handler := serve(cfg, newHarbour(t))
	shape := func(more string) string { return get("/v1/shape?table=boats&offset=-1" + more) }
	post := func(body string) string {
		return fmt.Sprintf("POST /v1/shape?table=boats&offset=now HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	list := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	times := func(s string) func(int) string { return func(int) string { return s } }
	for name, request := range map[string]func(n int) string{
		"parameters":         func(n int) string { return shape(list(n, func(i int) string { return fmt.Sprintf("&a%d=1", i) })) },
		"the same parameter": func(n int) string { return shape(list(n, times("&where="))) },
		"brackets":           func(n int) string { return shape("&a" + list(n, times("[b]")) + "=1") },
		"a list":             func(n int) string { return shape(list(n, times("&columns[]=id"))) },
		"columns":            func(n int) string { return shape("&columns=id" + list(n, times(",name"))) },
		"values of parameters": func(n int) string {
			return shape("&where=id=$1" + list(n, func(i int) string { return fmt.Sprintf("&params[%d]=7", i+1) }))
		},
		"parentheses": func(n int) string { return shape("&where=" + list(n, times("(")) + "id=1" + list(n, times(")"))) },
		"NOT":         func(n int) string { return shape("&where=" + list(n, times("NOT+")) + "id=1") },
		"AND":         func(n int) string { return shape("&where=id=1" + list(n, times("+AND+id=1"))) },
		"OR":          func(n int) string { return shape("&where=id=1" + list(n, times("+OR+id=1"))) },
		"IN": func(n int) string {
			return shape("&where=id+IN+(1" + list(n, func(i int) string { return fmt.Sprintf(",%d", i) }) + ")")
		},
		"sums":   func(n int) string { return shape("&where=id=1" + list(n, times("%2B1"))) },
		"quotes": func(n int) string { return shape("&where=name='" + list(n, times("''")) + "'") },
		"LIKE":   func(n int) string { return shape("&where=name+LIKE+'" + list(n, times("%25_")) + "'") },
		"casts":  func(n int) string { return shape("&where=id" + list(n, times("::int4")) + "=1") },
		"arrays": func(n int) string {
			return shape("&where=id=ANY('" + list(n, times("{")) + "1" + list(n, times("}")) + "')")
		},
		"dots":     func(n int) string { return get("/v1/shape?offset=-1&table=" + list(n, times("a."))) },
		"a name":   func(n int) string { return get("/v1/shape?offset=-1&table=%22" + list(n, times("%22%22")) + "%22") },
		"slashes":  func(n int) string { return get("/" + list(n, times("/"))) },
		"segments": func(n int) string { return get("/v1/shape" + list(n, times("/%41"))) },
		"tags": func(n int) string {
			return get("/v1/shape?table=boats&offset=-1", "If-None-Match: "+list(n, times(`"a",`)))
		},
		"codings": func(n int) string {
			return get("/v1/shape?table=boats&offset=-1", "Accept-Encoding: "+list(n, times("gzip;q=0,")))
		},
		"order":             func(n int) string { return post(`{"order_by":"id` + list(n, times(",name DESC")) + `"}`) },
		"a body's brackets": func(n int) string { return post(list(n, times("["))) },
		"a body's objects":  func(n int) string { return post(list(n, times(`{"a":`))) },
		"a body's fields": func(n int) string {
			return post(`{"a":1` + list(n, func(i int) string { return fmt.Sprintf(`,"a%d":1`, i) }) + "}")
		},
		"a body's parameters": func(n int) string {
			return post(`{"where":"id=$1","params":{"1":1` + list(n, func(i int) string { return fmt.Sprintf(`,"%d":1`, i+2) }) + "}}")
		},
		"a body's text": func(n int) string { return post(`{"where":"` + list(n, times("x")) + `"}`) },
	} {
		cost := func(n int) (least uint64, status int) {
			text := request(n)
			for range 3 { // others allocate too
				r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				w := httptest.NewRecorder()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				handler.ServeHTTP(w, r)
				runtime.ReadMemStats(&after)
				if spent := after.TotalAlloc - before.TotalAlloc; least == 0 || spent < least {
					least = spent
				}
				status = w.Code
			}
			return least, status
		}
		const n = 400
		small, _ := cost(n)
		large, status := cost(8 * n)
		t.Logf("%-22s %9d %9d bytes, status %d", name, small, large, status)
		if large > 24*small+128<<10 || status >= 500 {
			t.Errorf("%s: %d bytes for %d times, %d for %d; status %d", name, small, n, large, 8*n, status)
		}
	}
}

// FuzzAcceptEncoding: no header makes us send what was not asked for.
func FuzzAcceptEncoding(f *testing.F) {
	for _, s := range []string{"gzip, zstd;q=0.9", "*;q=0, gzip", "x-gzip;q=1;q=0", ";,=", "identity;q=0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := accepted([]string{line}, true)
		lower := strings.ToLower(line)
		switch {
		case got >= encodings:
			t.Errorf("%q: %d", line, got)
		case got == gzipped && !strings.Contains(lower, "gzip") && !strings.Contains(lower, "*"):
			t.Errorf("%q: gzip", line)
		case got == zstandard && !strings.Contains(lower, "zstd"):
			t.Errorf("%q: zstd", line)
		}
	})
}
