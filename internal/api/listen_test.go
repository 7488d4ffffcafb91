package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// listenWith is listen with a listener of the test's making, perhaps over TLS.
func listenWith(t testing.TB, h http.Handler, wrap func(net.Listener) net.Listener, conf *tls.Config) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(h, time.Minute, slog.New(slog.DiscardHandler))
	srv.TLSConfig = conf
	done := make(chan error, 1)
	go func() {
		if conf != nil {
			done <- srv.ServeTLS(wrap(l), "", "")
			return
		}
		done <- srv.Serve(wrap(l))
	}()
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

func asIs(l net.Listener) net.Listener { return l }

// A connection beyond the limit is told to come again, and there is room as
// soon as another one is closed.
func TestConnectionLimit(t *testing.T) {
	addr := listenWith(t, serve(insecure(), newHarbour(t)), func(l net.Listener) net.Listener {
		return LimitConnections(l, 2, false)
	}, nil)
	var conns [2]net.Conn
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := ask(t, c); got != "HTTP/1.1 200 OK" {
			t.Fatalf("%d: %s", i, got)
		}
		conns[i] = c
	}
	third, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	text, err := io.ReadAll(third) // it is told without asking
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 503 ") || !strings.Contains(head, "retry-after: 5") ||
		!strings.Contains(head, "content-length: 34") || body != `{"message":"Too many connections"}` {
		t.Errorf("%s, %v", text, err)
	}
	if err := conns[0].Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return ask(t, c) == "HTTP/1.1 200 OK"
	})
}

// ask sends a small request and returns the status line, "" if there is none.
func ask(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return ""
	}
	var b [512]byte
	n, err := c.Read(b[:])
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b[:n]), "\r\n")
	return line
}

func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// trust is a client that knows a self-made certificate.
func trust(t *testing.T, p *Pair) (*http.Client, *atomic.Int32) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(p.now.Load().cert.Leaf)
	dials := new(atomic.Int32)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}, dials
}

// TestFiftyLiveOnOneConnection: what a browser does over HTTP/2, where
// HTTP/1.1 would stop at six.
func TestFiftyLiveOnOneConnection(t *testing.T) {
	h := newHarbour(t)
	handler := serve(insecure(), h)
	handle := handleOf(t, handler)
	var waiting atomic.Int32
	counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "live=true") {
			waiting.Add(1)
		}
		handler.ServeHTTP(w, r)
	})
	pair, err := LocalPair(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	client, dials := trust(t, pair)
	base := "https://" + listenWith(t, counting, asIs, pair.Config())
	if body, proto := fetch(t, client, base+"/v1/health"); proto != "HTTP/2.0" || body == "" {
		t.Fatalf("%s over %s", body, proto)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			body, _ := fetch(t, client, base+"/v1/shape?table=boats&offset=0_inf&live=true&handle="+handle)
			if !strings.Contains(body, `"lsn":"771"`) {
				t.Errorf("woken with %s", body)
			}
		})
	}
	waitFor(t, func() bool { return waiting.Load() == 50 })
	// Others are served while they wait.
	if body, _ := fetch(t, client, base+"/v1/shape?table=boats&offset=-1"); !strings.Contains(body, "Ava") {
		t.Error(body)
	}
	if err := h.append(771, 1); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func fetch(t *testing.T, c *http.Client, url string) (body, proto string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Error(err)
		return "", ""
	}
	b, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Error(err)
	}
	return string(b), res.Proto
}

// TestHTTP2Pause: over HTTP/2 a write deadline ends the stream even if nothing
// waits to be written, so a snapshot that pauses must be without one.
func TestHTTP2Pause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		h.slow = true
		handler := serve(insecure(), h)
		p := pipe(t, handler)
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		tr := &http.Transport{Protocols: protocols, DialContext: p.dial}
		defer tr.CloseIdleConnections()
		go func() {
			synctest.Wait()
			if err := h.snaps[0].Append([]byte(rowOf(1, "x"))); err != nil {
				t.Error(err)
			}
			time.Sleep(insecure().WriteTimeout + time.Second) // of the bubble's time
			if err := h.snaps[0].Finish([]byte(snapshotEnd)); err != nil {
				t.Error(err)
			}
		}()
		body, proto := fetch(t, &http.Client{Transport: tr}, "http://x/v1/shape?table=boats&offset=-1")
		if proto != "HTTP/2.0" || !strings.HasSuffix(body, snapshotEnd+"]") {
			t.Errorf("%s: %s", proto, body)
		}
	})
}

// TestCertificateChanges: a certificate that was replaced on disk is used for
// new connections, and one that is damaged is not.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	pair, err := LocalPair(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LocalPair(dir)
	if err != nil || !again.now.Load().cert.Leaf.Equal(pair.now.Load().cert.Leaf) {
		t.Fatalf("the certificate is not kept: %v", err)
	}
	base := "https://" + listenWith(t, serve(insecure(), newHarbour(t)), asIs, pair.Config())
	before, _ := trust(t, pair)
	if body, _ := fetch(t, before, base+"/v1/health"); body == "" {
		t.Fatal("no answer")
	}
	if err := os.WriteFile(filepath.Join(dir, "tls-cert.pem"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := pair.reload(); changed || err == nil {
		t.Errorf("damaged: %v, %v", changed, err)
	}
	fresh, err := LocalPair(dir) // makes it anew
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := pair.reload(); !changed || err != nil {
		t.Fatalf("renewed: %v, %v", changed, err)
	}
	after, _ := trust(t, fresh)
	if body, _ := fetch(t, after, base+"/v1/health"); body == "" {
		t.Error("no answer")
	}
	if info, err := os.Stat(filepath.Join(dir, "tls-key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
}

// TestBodyThatDoesNotCome: a body that nobody asked for holds a connection for
// a short time only.
func TestBodyThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipe(t, serve(insecure(), newHarbour(t)))
		conn, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		if _, err := io.WriteString(conn, "GET /v1/shape?table=boats&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*bodyTimeout {
			t.Errorf("held for %v", took)
		}
	})
}

// TestBodyThatDrips: a body that comes slowly is read for a limited time, however
// many pieces it has, and one that stops for a shorter one.
func TestBodyThatDrips(t *testing.T) {
	for _, c := range []struct{ each, want time.Duration }{
		{bodyTimeout - time.Second, bodyLimit}, {time.Second, bodyLimit}, {time.Hour, bodyTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			handler := serve(insecure(), newHarbour(t))
			p := pipe(t, handler)
			conn, err := p.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			began := time.Now()
			s := &socket{conn, bufio.NewReader(conn)}
			s.send(t, "POST /v1/shape?table=boats&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
			var drip sync.WaitGroup
			drip.Go(func() {
				for {
					time.Sleep(c.each)
					if _, err := io.WriteString(conn, " "); err != nil {
						return // it was closed
					}
				}
			})
			a := s.mustRead(t)
			if took := time.Since(began); a.status != "408 Request Timeout" || !a.closes || took != c.want {
				t.Errorf("a byte each %v: %+v after %v", c.each, a, took)
			}
			if n := handler.initial.n.Load(); n != 0 {
				t.Errorf("%d at work", n)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			drip.Wait()
		})
	}
}
