package api

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// fullAnswer is what a connection beyond the limit gets: it is not read from.
const fullAnswer = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n" +
	"cache-control: no-store\r\ncontent-type: " + typeJSON + "\r\ncontent-length: 34\r\n\r\n" +
	`{"message":"Too many connections"}`

// fullTimeout is for writing it: it fits into any socket's buffer.
const fullTimeout = time.Second

// Connections is a listener that counts the connections it has open.
type Connections struct {
	net.Listener
	most  int64
	quiet bool
	open  atomic.Int64
}

// LimitConnections returns a listener that has no more than most connections
// open at once, so that clients cannot take the file descriptors that the
// journal and the shape logs need; 0: no limit. A further one is told to come again, in
// plain HTTP, and closed; with quiet set it is only closed (for TLS, where
// nobody would understand).
func LimitConnections(l net.Listener, most int, quiet bool) *Connections {
	return &Connections{Listener: l, most: int64(most), quiet: quiet}
}

// Open is how many connections are open.
func (l *Connections) Open() int64 { return l.open.Load() }

// Accept is net.Listener's.
func (l *Connections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if n := l.open.Add(1); l.most == 0 || n <= l.most {
			return &counted{Conn: c, open: &l.open}, nil
		}
		l.open.Add(-1)
		l.turnAway(c)
	}
}

// turnAway does not wait: Accept is where everybody comes in.
func (l *Connections) turnAway(c net.Conn) {
	if !l.quiet && c.SetWriteDeadline(time.Now().Add(fullTimeout)) == nil {
		// Who has left need not be told.
		_, _ = c.Write([]byte(fullAnswer))
	}
	_ = c.Close()
}

// counted is a connection that is taken off the count when it is closed.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
