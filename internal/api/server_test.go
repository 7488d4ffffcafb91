package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// listen serves h on a socket until the test ends.
func listen(t testing.TB, h http.Handler) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(h, time.Minute, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestLimits: check-list 9, 208, 209, on the wire.
func TestLimits(t *testing.T) {
	addr := listen(t, serve(insecure(), newHarbour(t)))
	const shapeLine = "GET /v1/shape?table=boats&offset=-1"
	for _, c := range []struct {
		name, request, want string
	}{
		{"two slashes", "GET //v1/shape?table=boats&offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"},
		{"no host, old", shapeLine + " HTTP/1.0\r\n\r\n", "200 OK"},
		{"9,900 bytes", shapeLine + "&x=" + strings.Repeat("y", 9900-len(shapeLine)-12) + " HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"},
		{"200,000 bytes", shapeLine + "&x=" + strings.Repeat("y", 200_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"},
		{"too long", shapeLine + "&x=" + strings.Repeat("y", maxRequestLine) + " HTTP/1.1\r\nHost: x\r\n\r\n", "414 Request URI Too Long"},
		{"50 headers", shapeLine + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 49) + "\r\n", "200 OK"},
		{"51 headers", shapeLine + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 50) + "\r\n", "431 Request Header Fields Too Large"},
		{"long header", shapeLine + " HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 10_000) + "\r\n\r\n", "431 Request Header Fields Too Large"},
		{"endless headers", shapeLine + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 200_000) + "\r\n", "431 Request Header Fields Too Large"},
		{"malformed", "GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				// The server may hang up before it has read everything.
				_, _ = io.WriteString(conn, c.request)
			}()
			var line [64]byte
			n, err := io.ReadAtLeast(conn, line[:], 12+len(c.want)-3)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := strings.Cut(string(line[9:n]), "\r\n"); got != c.want {
				t.Errorf("%s; want %s", got, c.want)
			}
		})
	}
}

// TestHTTP2: with prior knowledge, as a proxy would.
func TestHTTP2(t *testing.T) {
	addr := listen(t, serve(insecure(), newHarbour(t)))
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	c := http.Client{Transport: &http.Transport{Protocols: p}}
	defer c.CloseIdleConnections()
	for _, path := range []string{"/v1/shape?table=boats&offset=-1", "/nope"} {
		res, err := c.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || res.ProtoMajor != 2 || len(body) == 0 {
			t.Errorf("%s: %s, %d bytes, %v", path, res.Proto, len(body), err)
		}
	}
}

// TestHTTP2Limits: the limits of requests hold there too.
func TestHTTP2Limits(t *testing.T) {
	addr := listen(t, serve(insecure(), newHarbour(t)))
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	c := http.Client{Transport: &http.Transport{Protocols: p}}
	defer c.CloseIdleConnections()
	for _, x := range []struct {
		name          string
		long, n, size int // of the query, and of headers
		want          int
	}{
		{"a long URL", 200_000, 1, 1, http.StatusOK},
		{"too long", maxRequestLine, 1, 1, http.StatusRequestURITooLong},
		{"many headers", 1, 45, 1, http.StatusOK},
		{"too many", 1, 60, 1, http.StatusRequestHeaderFieldsTooLarge},
		{"a long header", 1, 1, maxHeader, http.StatusRequestHeaderFieldsTooLarge},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/shape?table=boats&offset=-1&x="+strings.Repeat("y", x.long), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range x.n {
			r.Header.Set(fmt.Sprintf("A-%d", i), strings.Repeat("b", x.size))
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != x.want || res.ProtoMajor != 2 {
			t.Errorf("%s: %s over %s, %v", x.name, res.Status, res.Proto, err)
		}
	}
}

// TestCutBody: check-list 212, on the wire: a snapshot that fails in the middle
// is not a complete response.
func TestCutBody(t *testing.T) {
	h := newHarbour(t)
	h.slow = true
	addr := listen(t, serve(insecure(), h))
	res, err := firstRow(t, addr, h)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	h.snaps[0].Abort(errors.New("gone"))
	if body, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", body, err)
	}
}

// firstRow asks for a shape whose first row is there and whose last is not.
func firstRow(t *testing.T, addr string, h *harbour) (*http.Response, error) {
	def, err := shape.BuildDef(h.tables["public.boats"], shape.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Create(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if err := h.snaps[0].Append([]byte(rowOf(1, "x"))); err != nil {
		t.Fatal(err)
	}
	return http.Get("http://" + addr + "/v1/shape?table=boats&offset=-1")
}

// pipes is a listener of net.Pipe connections, for use in bubbles.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

func pipe(t *testing.T, h http.Handler) *pipes {
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	srv := NewServer(h, time.Minute, slog.New(slog.DiscardHandler))
	go func() {
		if err := srv.Serve(p); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestDeadlineOfEarlierResponse: the write deadline of one response must not
// hit the next one on the same connection.
func TestDeadlineOfEarlierResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := serve(insecure(), newHarbour(t))
		target := "http://x/v1/shape?table=boats&offset=0_inf&live=true&handle=" + handleOf(t, handler)
		dials := 0
		p := pipe(t, handler)
		tr := &http.Transport{DialContext: func(ctx context.Context, n, a string) (net.Conn, error) {
			dials++
			return p.dial(ctx, n, a)
		}}
		defer tr.CloseIdleConnections()
		c := http.Client{Transport: tr}
		for _, target := range []string{target, target, "http://x/nope", target} {
			res, err := c.Get(target)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Second) // of the bubble's time
		}
		if dials != 1 {
			t.Errorf("%d connections", dials)
		}
	})
}

// TestClientThatDoesNotRead is cut off after the write timeout, and holds
// nobody up.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		h.rows = []string{strings.Repeat("x", 1<<20)}
		handler := serve(insecure(), h)
		handleOf(t, handler)
		ended := make(chan time.Duration, 1)
		began := time.Now()
		p := pipe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { ended <- time.Since(began) }()
			handler.ServeHTTP(w, r)
		}))
		conn, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/shape?table=boats&offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got := <-ended; got != insecure().WriteTimeout {
			t.Errorf("held for %v", got)
		}
	})
}

// bomb is a Source that panics.
type bomb struct{ *harbour }

func (bomb) Table(context.Context, string, string) (*shape.Table, error) {
	panic("bang")
}

// TestPanic: an answer that says nothing, a log line that says what, and
// neither repeats what the client sent.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	cfg := Defaults()
	cfg.Secret = "hush"
	handler := New(cfg, bomb{newHarbour(t)}, slog.New(slog.NewTextHandler(&log, nil)))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&offset=-1&secret=hush"))
	if w.Code != http.StatusInternalServerError || w.Body.String() != `{"error":"Internal server error"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "bang") || strings.Contains(log.String(), "hush") {
		t.Errorf("log: %s", log.String())
	}
}
