package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is a way to Postgres, or to a service, that can go silent: connections stay open, nothing
// comes through in either direction, and nobody is told.
type wire struct {
	target string
	l      net.Listener

	mu     sync.Mutex
	silent chan struct{} // closed while the wire is cut
	mended chan struct{} // closed while it is not
	conns  []net.Conn

	// first is how many bytes of the server's come through before release is
	// closed; 0: all of them.
	first   int64
	release chan struct{}
}

// held is a wire that stops after some bytes of the server's, until release is closed.
type held struct {
	io.Reader
	w *wire
	n int64
}

func (h *held) Read(p []byte) (int, error) {
	if h.n >= h.w.first {
		<-h.w.release
	}
	n, err := h.Reader.Read(p)
	h.n += int64(n)
	return n, err
}

func newWire(t *testing.T, port int) *wire {
	t.Helper()
	return wireTo(t, fmt.Sprintf("127.0.0.1:%d", port))
}

// wireTo is a wire to host:port.
func wireTo(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: target, l: l, silent: make(chan struct{}), mended: make(chan struct{})}
	close(w.mended)
	var all sync.WaitGroup
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		w.mend()
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close() // most have ended
		}
		w.mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			all.Go(func() { w.carry(c) })
		}
	})
	return w
}

// url is a URL by way of the wire.
func (w *wire) url(t *testing.T, direct string) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = w.l.Addr().String()
	return u.String()
}

// cut silences the wire; what is connected then stays dead for ever.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.silent)
	w.mended = make(chan struct{})
}

// hangUp ends what is connected, and tells both sides.
func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close() // some have ended
	}
	w.conns = nil
}

// mend lets new connections through, and those that were asked for meanwhile.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.mended:
	default:
		w.silent = make(chan struct{})
		close(w.mended)
	}
}

func (w *wire) carry(client net.Conn) {
	w.mu.Lock()
	mended := w.mended
	w.conns = append(w.conns, client)
	w.mu.Unlock()
	<-mended // a connection that is asked for meanwhile comes about later
	w.mu.Lock()
	silent := w.silent
	w.mu.Unlock()
	server, err := net.Dial("tcp", w.target)
	if err != nil {
		_ = client.Close() // as the server would
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, server)
	w.mu.Unlock()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		var r io.Reader = &hushed{from, silent}
		if w.first > 0 && from == server {
			r = &held{Reader: r, w: w}
		}
		_, err := io.Copy(to, r)
		if errors.Is(err, errSilent) {
			return // no FIN
		}
		_, _ = to.Close(), from.Close()
	}
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

var errSilent = errors.New("the wire is silent")

// hushed reads until the wire is cut.
type hushed struct {
	net.Conn
	silent <-chan struct{}
}

func (h *hushed) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	select {
	case <-h.silent:
		return 0, errSilent
	default:
		return n, err
	}
}
