package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// dock is a server on a socket, over TLS if that is asked for.
type dock struct {
	*harbour
	handler *Handler
	srv     *Server
	addr    string
	conf    *tls.Config // nil: without TLS
	live    string      // what a live request asks for
}

func newDock(t testing.TB, cfg Config, withTLS bool, prepare ...func(*Server)) *dock {
	t.Helper()
	d := &dock{harbour: newHarbour(t)}
	d.handler = serve(cfg, d.harbour)
	d.live = "/v1/shape?table=boats&live=true&handle=" + handleOf(t, d.handler) + "&offset="
	d.srv = NewServer(d.handler, time.Minute, slog.New(slog.DiscardHandler))
	for _, f := range prepare {
		f(d.srv)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = l.Addr().String()
	serving := func() error { return d.srv.Serve(l) }
	if withTLS {
		pair, err := LocalPair(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		d.conf = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
		d.srv.TLSConfig = pair.Config()
		serving = func() error { return d.srv.ServeTLS(l, "", "") }
	}
	done := make(chan error, 1)
	go func() { done <- serving() }()
	t.Cleanup(func() {
		if err := d.srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := d.srv.lot.wait(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return d
}

// socket is a client's side of a connection.
type socket struct {
	net.Conn
	in *bufio.Reader
}

func (d *dock) dial(t testing.TB) *socket {
	t.Helper()
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // perhaps again
	if d.conf != nil {
		c = tls.Client(c, d.conf)
	}
	return &socket{c, bufio.NewReader(c)}
}

func (s *socket) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		t.Fatal(err)
	}
}

// get is the text of a request.
func get(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// answer is what can be seen of a response.
type answer struct {
	status, proto string
	header        http.Header
	encoding      []string
	length        int64
	closes        bool
	body          string
}

// read reads one response, and what follows it if the connection is to end.
func (s *socket) read(method string) (*answer, error) {
	res, err := http.ReadResponse(s.in, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{res.Status, res.Proto, res.Header, res.TransferEncoding, res.ContentLength, res.Close, string(body)}
	if a.closes {
		if rest, err := io.ReadAll(s.in); len(rest) > 0 || err != nil {
			return nil, fmt.Errorf("behind the last response: %q, %w", rest, err)
		}
	}
	return a, nil
}

func (s *socket) mustRead(t testing.TB) *answer {
	t.Helper()
	a, err := s.read("GET")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awaitParked returns once n requests wait.
func (d *dock) awaitParked(t testing.TB, n int64) {
	t.Helper()
	waitFor(t, func() bool { return d.srv.Parked() == n })
}

// parkCount is how many connections the lot has, idle ones included.
func (d *dock) parkCount() int {
	d.srv.lot.mu.Lock()
	defer d.srv.lot.mu.Unlock()
	return len(d.srv.lot.conns)
}

func (d *dock) mustAppend(t testing.TB, tx wal.LSN, n int) {
	t.Helper()
	if err := d.append(tx, n); err != nil {
		t.Fatal(err)
	}
}

// TestParkedConnectionIsUsedAgain: requests that wait and others in turns, all on one
// connection, and the count of those at work comes back to nothing.
func TestParkedConnectionIsUsedAgain(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", withTLS), func(t *testing.T) {
			d := newDock(t, insecure(), withTLS)
			c := d.dial(t)
			offset := "0_inf"
			for tx := wal.LSN(100); tx < 110; tx += 2 {
				c.send(t, get(d.live+offset))
				d.awaitParked(t, 1)
				d.mustAppend(t, tx, 1)
				a := c.mustRead(t)
				if a.status != "200 OK" || !strings.Contains(a.body, fmt.Sprintf(`"lsn":"%d"`, tx)) {
					t.Fatalf("%+v", a)
				}
				offset = a.header.Get(hOffset)
				d.awaitParked(t, 0)
				c.send(t, get("/v1/health"))
				if a := c.mustRead(t); a.body != `{"status":"active"}` {
					t.Fatalf("%+v", a)
				}
			}
			if n, m := d.handler.initial.n.Load(), d.handler.existing.n.Load(); n+m != 0 || d.shapes()[0].Watched() {
				t.Errorf("%d and %d at work", n, m)
			}
		})
	}
}

// TestPipelined: what a client sends while its request waits is the next request.
func TestPipelined(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		for _, early := range []string{"", "G", get("/v1/health"), get("/v1/health")[:20], get("/v1/health") + get("/nope")} {
			t.Run(fmt.Sprintf("TLS %v, %d bytes early", withTLS, len(early)), func(t *testing.T) {
				d := newDock(t, insecure(), withTLS)
				c := d.dial(t)
				c.send(t, get(d.live+"0_inf")+early)
				d.awaitParked(t, 1)
				all := get("/v1/health") + get("/nope")
				half := len(all) / 2
				c.send(t, all[min(len(early), half):half]) // while it waits
				d.mustAppend(t, 100, 1)
				if a := c.mustRead(t); !strings.Contains(a.body, `"lsn":"100"`) {
					t.Fatalf("%+v", a)
				}
				c.send(t, all[max(len(early), half):])
				if a := c.mustRead(t); a.body != `{"status":"active"}` {
					t.Fatalf("%+v", a)
				}
				if a := c.mustRead(t); a.body != "Not found" {
					t.Fatalf("%+v", a)
				}
			})
		}
	}
}

// TestParkedTwin: a client cannot tell a response that we write from one of
// net/http's.
func TestParkedTwin(t *testing.T) {
	for _, c := range []struct {
		name, method, request string
		wake                  int // entries
	}{
		{"small", "GET", get("LIVE"), 1},
		{"large", "GET", get("LIVE"), 200},
		{"in pieces", "GET", get("LIVE"), 3000},
		{"in pieces, gzip", "GET", get("LIVE", "Accept-Encoding: gzip"), 3000},
		{"zstd", "GET", get("LIVE", "Accept-Encoding: zstd"), 200},
		{"HEAD", "HEAD", "HEAD LIVE HTTP/1.1\r\nHost: x\r\n\r\n", 10},
		{"HEAD, in pieces", "HEAD", "HEAD LIVE HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", 3000},
		{"not modified", "GET", get("LIVE", `If-None-Match: "HANDLE:0_inf:100_0"`), 1},
		{"with an origin and an id", "GET", get("LIVE", "Origin: https://app.example", "X-Request-Id: "+strings.Repeat("i", 30)), 1},
		{"the last of a connection", "GET", get("LIVE", "Connection: close"), 1},
		{"the last, in pieces", "GET", get("LIVE", "Connection: close"), 3000},
		{"HTTP/1.0", "GET", "GET LIVE HTTP/1.0\r\n\r\n", 1},
		{"HTTP/1.0, in pieces", "GET", "GET LIVE HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n", 3000},
		{"stream", "GET", get("LIVE&live_sse=true"), 2},
		{"stream of much", "GET", get("LIVE&live_sse=true"), 3000},
		{"stream of HTTP/1.0", "GET", "GET LIVE&live_sse=true HTTP/1.0\r\n\r\n", 2},
		{"the last stream", "GET", get("LIVE&live_sse=true", "Connection: close"), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ask := func(parks bool) *answer {
				d := newDock(t, insecure(), false, func(s *Server) {
					if !parks {
						s.BaseContext = nil
					}
				})
				handle := string(d.shapes()[0].Handle())
				request := strings.NewReplacer("LIVE", d.live+"0_inf", "HANDLE", handle).Replace(c.request)
				conn := d.dial(t)
				conn.send(t, request)
				if parks {
					d.awaitParked(t, 1)
				} else {
					waitFor(t, func() bool { return d.handler.existing.n.Load() == 1 && d.shapes()[0].Watched() })
				}
				d.mustAppend(t, 100, c.wake)
				d.handler.Stop() // ends a stream once that is sent
				a, err := conn.read(c.method)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"Date", hRequestID} {
					if a.header.Get(name) == "" {
						t.Errorf("no %s", name)
					}
				}
				if len(a.header.Get(hRequestID)) != 30 {
					a.header.Del(hRequestID)
				}
				a.header.Del("Date")
				if a.header.Get(hCursor) != "" { // it is made of the time
					a.header.Set(hCursor, "C")
				}
				for name, lines := range a.header {
					a.header[name] = []string{strings.ReplaceAll(strings.Join(lines, "|"), handle, "HANDLE")}
				}
				return a
			}
			got, want := ask(true), ask(false)
			if !maps.EqualFunc(got.header, want.header, func(a, b []string) bool { return a[0] == b[0] }) {
				t.Errorf("headers %v\nwant    %v", got.header, want.header)
			}
			if got.body != want.body {
				t.Errorf("%d bytes of body, want %d: %.200q", len(got.body), len(want.body), got.body)
			}
			got.header, want.header, got.body, want.body = nil, nil, "", ""
			if g, w := fmt.Sprint(*got), fmt.Sprint(*want); g != w {
				t.Errorf("%s, want %s", g, w)
			}
		})
	}
}

// TestParkedClientLeaves: its place is free at once, whatever it waits for.
func TestParkedClientLeaves(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		d := newDock(t, insecure(), withTLS)
		for _, more := range []string{"", "&live_sse=true"} {
			c := d.dial(t)
			c.send(t, get(d.live+"0_inf"+more))
			d.awaitParked(t, 1)
			if n := d.handler.existing.n.Load(); n != 1 || !d.shapes()[0].Watched() {
				t.Errorf("%d at work", n)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			d.awaitParked(t, 0)
			waitFor(t, func() bool { return d.parkCount() == 0 })
			if n := d.handler.existing.n.Load(); n != 0 || d.shapes()[0].Watched() {
				t.Errorf("%d at work", n)
			}
		}
	}
}

// TestParkedShutdown: those who wait are answered, idle connections are closed, and
// Shutdown waits for both.
func TestParkedShutdown(t *testing.T) {
	d := newDock(t, insecure(), false)
	idle, waits, streams := d.dial(t), d.dial(t), d.dial(t)
	idle.send(t, get(d.live+"0_inf"))
	d.awaitParked(t, 1)
	d.mustAppend(t, 100, 1)
	idle.mustRead(t)
	waits.send(t, get(d.live+"100_0"))
	streams.send(t, get(d.live+"100_0&live_sse=true"))
	d.awaitParked(t, 2)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.srv.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("two wait: %v", err)
	}
	if n := d.parkCount(); n != 2 {
		t.Errorf("%d are left", n)
	}
	if rest, err := io.ReadAll(idle.in); len(rest) > 0 || err != nil {
		t.Errorf("idle: %q, %v", rest, err)
	}
	d.handler.Stop()
	if err := d.srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if a := waits.mustRead(t); a.status != "200 OK" || !a.closes || !strings.Contains(a.body, "up-to-date") {
		t.Errorf("%+v", a)
	}
	if a := streams.mustRead(t); a.status != "200 OK" {
		t.Errorf("%+v", a)
	}
	if rest, err := io.ReadAll(streams.in); len(rest) > 0 || err != nil {
		t.Errorf("behind the stream: %q, %v", rest, err)
	}
}

// TestParkedClose: Close ends the requests that wait too.
func TestParkedClose(t *testing.T) {
	d := newDock(t, insecure(), false)
	c := d.dial(t)
	c.send(t, get(d.live+"0_inf"))
	d.awaitParked(t, 1)
	if err := d.srv.Close(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v", rest, err)
	}
	if err := d.srv.lot.wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n := d.handler.existing.n.Load(); n != 0 {
		t.Errorf("%d at work", n)
	}
}

// piped is a client of a server in a bubble, and what a live request asks for.
func piped(t *testing.T, handler *Handler) (s *socket, live string) {
	t.Helper()
	conn, err := pipe(t, handler).dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return &socket{conn, bufio.NewReader(conn)}, "/v1/shape?table=boats&offset=0_inf&live=true&handle=" + handleOf(t, handler)
}

// TestParkedDeadlines: the deadlines of an answer are not those of the next request.
func TestParkedDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, live := piped(t, serve(insecure(), newHarbour(t)))
		defer s.Close()
		s.send(t, get(live))
		s.mustRead(t)
		time.Sleep(insecure().WriteTimeout + time.Second) // of the bubble's time
		s.send(t, "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n")
		if a := s.mustRead(t); a.status != "400 Bad Request" {
			t.Errorf("%+v", a)
		}
	})
}

// broken is a connection on which nothing can be written.
type broken struct {
	net.Conn
	tries int
}

func (b *broken) Write([]byte) (int, error) {
	b.tries++
	return 0, io.ErrClosedPipe
}

// TestReplyThatBreaks: nothing follows a piece that was not written.
func TestReplyThatBreaks(t *testing.T) {
	for _, size := range []int{10, 2 * replyBytes} {
		conn := &broken{}
		w := &reply{conn: conn, header: http.Header{}}
		w.WriteHeader(http.StatusOK)
		_, first := w.Write(make([]byte, size))
		second := w.FlushError()
		_, third := w.Write(make([]byte, size))
		if (size > replyBytes && first == nil) || second == nil || third == nil || w.finish() == nil || conn.tries != 1 {
			t.Errorf("%d bytes: %v, %v, %v after %d tries", size, first, second, third, conn.tries)
		}
	}
}

// TestParkedIdle: a connection without a next request is closed after the idle time,
// and one with half of one after the time for headers.
func TestParkedIdle(t *testing.T) {
	for _, c := range []struct {
		next string
		want time.Duration
	}{{"", time.Minute}, {"GET / HT", headerTimeout}} {
		synctest.Test(t, func(t *testing.T) {
			s, live := piped(t, serve(insecure(), newHarbour(t)))
			defer s.Close()
			s.send(t, get(live))
			s.mustRead(t) // nothing happens for 20 s
			if c.next != "" {
				s.send(t, c.next)
			}
			began := time.Now()
			if _, err := io.ReadAll(s.in); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("%q: closed after %v", c.next, took)
			}
		})
	}
}

// TestParkedClientThatDoesNotRead is cut off after the write timeout.
func TestParkedClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		s, live := piped(t, serve(insecure(), h))
		defer s.Close()
		s.send(t, get(live+"&live_sse=true"))
		if _, err := http.ReadResponse(s.in, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !h.shapes()[0].Watched() {
			t.Fatal("it does not wait")
		}
		if err := h.append(100, 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for h.shapes()[0].Watched() {
			time.Sleep(time.Second) // of the bubble's time
		}
		if took := time.Since(began); took < insecure().WriteTimeout || took > insecure().WriteTimeout+time.Second {
			t.Errorf("held for %v", took)
		}
	})
}

// TestParkedPanic: the client is told, the log too, and the connection goes on.
func TestParkedPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newHarbour(t)
		handler := New(insecure(), sickly{h}, slog.New(slog.NewTextHandler(&log, nil)))
		s, live := piped(t, handler)
		defer s.Close()
		s.send(t, get(live))
		if a := s.mustRead(t); !strings.HasPrefix(a.status, "500") || a.body != `{"error":"Internal server error"}` {
			t.Errorf("%+v", a)
		}
		s.send(t, get("/"))
		if a := s.mustRead(t); a.status != "200 OK" {
			t.Errorf("%+v", a)
		}
		if handler.existing.n.Load() != 0 || !strings.Contains(log.String(), "bang") {
			t.Errorf("%d at work, log: %s", handler.existing.n.Load(), log.String())
		}
	})
}

// sickly is a Source that panics when it is asked how it is.
type sickly struct{ *harbour }

func (sickly) Health() string { panic("bang") }

// TestParkedConnectionsCount: those who wait are among the connections that are
// limited, and those that are gone are not.
func TestParkedConnectionsCount(t *testing.T) {
	h := newHarbour(t)
	handler := serve(insecure(), h)
	live := "/v1/shape?table=boats&offset=0_inf&live=true&handle=" + handleOf(t, handler)
	var crowded *Connections
	addr := listenWith(t, handler, func(l net.Listener) net.Listener {
		crowded = LimitConnections(l, 3, false)
		return crowded
	}, nil)
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, get(live)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	waitFor(t, func() bool { return handler.existing.n.Load() == 3 })
	if n := crowded.Open(); n != 3 {
		t.Errorf("%d are open", n)
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return crowded.Open() == 0 })
}

// BenchmarkRound is a change for a hundred clients that wait and ask again, with their
// connections taken from net/http and without.
func BenchmarkRound(b *testing.B) {
	for _, parks := range []bool{true, false} {
		b.Run(fmt.Sprintf("parked %v", parks), func(b *testing.B) {
			d := newDock(b, insecure(), false, func(s *Server) {
				if !parks {
					s.BaseContext = nil
				}
			})
			conns := make([]*socket, 100)
			for i := range conns {
				conns[i] = d.dial(b)
			}
			offset, tx := "0_inf", wal.LSN(100)
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range conns {
					c.send(b, get(d.live+offset))
				}
				waitFor(b, func() bool { return d.handler.existing.n.Load() == int64(len(conns)) })
				d.mustAppend(b, tx, 1)
				for _, c := range conns {
					offset = c.mustRead(b).header.Get(hOffset)
				}
				tx += 2
			}
		})
	}
}

// TestParkedCrowd: clients that wait, leave, pipeline, stop in the middle of a request
// or stay silent, while the log grows: each whole answer continues where its client
// was, and nothing is left of them.
func TestParkedCrowd(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		seed := rand.Uint64()
		t.Logf("TLS %v, seed %d", withTLS, seed)
		d := newDock(t, insecure(), withTLS)
		var clients, writer sync.WaitGroup
		done := make(chan struct{})
		writer.Go(func() {
			for tx := wal.LSN(100); ; tx += 2 {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
				if err := d.append(tx, 2); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for i := range 30 {
			clients.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				for range 15 {
					if err := d.visitor(rng); err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
				}
			})
		}
		clients.Wait()
		close(done)
		writer.Wait()
		d.awaitParked(t, 0)
		waitFor(t, func() bool { return d.parkCount() == 0 })
		waitFor(t, func() bool { return d.handler.initial.n.Load()+d.handler.existing.n.Load() == 0 })
		if d.shapes()[0].Watched() {
			t.Error("the shape is still waited on")
		}
		if err := d.srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// visitor is a client with one connection, that makes some requests and leaves.
func (d *dock) visitor(rng *rand.Rand) (err error) {
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if d.conf != nil {
		c = tls.Client(c, d.conf)
	}
	s := &socket{c, bufio.NewReader(c)}
	at := wal.AfterSnapshot
	for range rng.IntN(6) {
		live := get(d.live + at.String())
		text, answers := live, 1
		switch rng.IntN(8) {
		case 0:
			text, answers = live+get("/v1/health"), 2
		case 1:
			text, answers = live+live, 2 // the second is answered with the same or more
		case 2:
			text, answers = get(d.live+at.String(), "Connection: close"), 1
		case 3:
			text, answers = get(d.live+at.String()+"&live_sse=true"), 0
		case 4:
			text, answers = live[:rng.IntN(len(live))], 0
		case 5:
			text, answers = live, 0
		case 6:
			text, answers = live+live[:rng.IntN(len(live))], 1
		}
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		if answers == 0 { // it leaves soon
			if !strings.HasSuffix(text, "\r\n\r\n") {
				return nil
			}
			if _, err := io.CopyN(io.Discard, s.in, int64(rng.IntN(500))); err != nil { // of the headers
				return fmt.Errorf("after %q: %w", text, err)
			}
			return nil
		}
		for range answers {
			a, err := s.read("GET")
			if err != nil {
				return fmt.Errorf("after %q: %w", text, err)
			}
			if a.body == `{"status":"active"}` {
				continue
			}
			next, err := wal.ParseOffset(a.header.Get(hOffset))
			if err != nil || a.status != "200 OK" || next.Less(at) || !json.Valid([]byte(a.body)) {
				return fmt.Errorf("behind %v: %+v, %w", at, a, err)
			}
			at = next
			if a.closes {
				return nil
			}
		}
		if !strings.HasSuffix(text, "\r\n\r\n") {
			return nil // half a request is under way
		}
	}
	return nil
}
