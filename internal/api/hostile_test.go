package api

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
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
