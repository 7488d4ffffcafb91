package pgrepl

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Postgres sends, and so wakes its reader, once per message: three times for a
// transaction of one row. Under load most of the CPU time of both sides goes into
// that. Sleeping until a good piece has arrived costs a lone row nothing and gave
// 1.3 to 2 times pg_recvlogical's throughput on single-row transactions, at a
// fifth of its CPU time (two busy cores, Postgres 15).
//
// Rejected: a large SO_RCVBUF (10 % more here, but it switches the kernel's own
// sizing off, and with it the throughput over a long line); sleeping by the clock
// (Go's poller is woken for each packet all the same).
const (
	lowat      = 64 << 10              // bytes to sleep for under load
	patience   = 3 * time.Millisecond  // how long, at the most
	loadBytes  = 2 << 10               // bytes in the time of patience: from here on it is load
	loadReads  = 20                    // reads over which the rate is taken before we begin to sleep longer
	lulls      = 5                     // so many times in a row less than loadBytes, and the load is over
	longLull   = 20 * time.Millisecond // or one as long as this
	smallReads = 32 << 10              // bytes: a smaller read (TLS) goes through a buffer
)

// paced is a connection that wakes its reader for a lone message at once, and
// under load only for a good piece. One goroutine reads; deadlines may be set by
// any.
type paced struct {
	net.Conn
	setLowat func(bytes int) error // nil: not possible here
	await    func() error          // until so many bytes are there

	// Of the reader:
	loaded bool
	reads  int       // since began …
	bytes  int       // … and what they brought
	lull   int       // under load: reads in a row that brought little
	began  time.Time // of the window of loadReads reads
	buf    []byte    // for small reads
	rest   []byte    // of buf: not yet taken

	mu       sync.Mutex
	deadline time.Time // for reads, as the user set it
	short    bool      // the connection's own deadline is a shorter one
}

// pace wraps a connection. It goes below TLS, where the socket is.
func pace(conn net.Conn) net.Conn {
	p := &paced{Conn: conn}
	if _, tcp := conn.(*net.TCPConn); !tcp {
		return p // a Unix socket wakes its reader for each message in any case
	}
	if raw, err := conn.(syscall.Conn).SyscallConn(); err == nil {
		p.setLowat = func(bytes int) error { return setLowat(raw, bytes) }
		p.await = func() error { return await(raw, lowat) }
	}
	return p
}

func (p *paced) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if len(b) >= smallReads {
			return p.read(b)
		}
		if p.buf == nil {
			p.buf = make([]byte, bufferBytes)
		}
		n, err := p.read(p.buf)
		p.rest = p.buf[:n]
		if n == 0 {
			return 0, err
		}
		// An error comes again at the next read.
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *paced) read(b []byte) (int, error) {
	if !p.loaded {
		n, err := p.Conn.Read(b)
		p.count(n)
		return n, err
	}
	if err := p.shorten(); err != nil {
		return 0, err
	}
	n, err := 0, p.await()
	if err == nil {
		n, err = p.Conn.Read(b)
	}
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		p.brought(n)
		return n, err
	}
	// Patience ran out: take what there is, or wait for as long as the user does.
	if err := p.setLoaded(false); err != nil {
		return 0, err
	}
	began := time.Now()
	n, err = p.Conn.Read(b)
	p.brought(n)
	if err == nil && p.lull < lulls && time.Since(began) < longLull {
		err = p.setLoaded(true)
	}
	return n, err
}

// brought notes what a read under load has brought. A busy machine stops the
// server for some ms now and then: if we took that for the end of the load, we
// would wake for each message again, and stop it for good.
func (p *paced) brought(n int) {
	if p.lull++; n >= loadBytes {
		p.lull = 0
	}
}

// count notes a read and finds out whether there is load.
func (p *paced) count(n int) {
	if p.setLowat == nil {
		return
	}
	p.bytes += n
	if p.reads++; p.reads < loadReads {
		return
	}
	now := time.Now()
	// The same rate as the one that keeps us loaded.
	load := int64(p.bytes)*int64(patience) >= int64(now.Sub(p.began))*loadBytes
	p.reads, p.bytes, p.began, p.lull = 0, 0, now, 0
	if load && p.setLoaded(true) != nil {
		p.setLowat = nil // the platform does not want to: go on without
	}
}

// setLoaded changes over. Back at rest the user's deadline holds again.
func (p *paced) setLoaded(loaded bool) error {
	bytes := 1
	if loaded {
		bytes = lowat
	}
	if err := p.setLowat(bytes); err != nil {
		return err
	}
	p.loaded = loaded
	if loaded {
		return nil
	}
	p.reads, p.bytes, p.began = 0, 0, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.short = false
	return p.Conn.SetReadDeadline(p.deadline)
}

// shorten sets the deadline for one read under load.
func (p *paced) shorten() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now().Add(patience)
	if !p.deadline.IsZero() && p.deadline.Before(at) {
		at = p.deadline
	}
	p.short = true
	return p.Conn.SetReadDeadline(at)
}

// SetReadDeadline sets the deadline for reads. Under load it takes effect when
// the present sleep ends, which is soon; one that has passed does at once.
func (p *paced) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.short && (t.IsZero() || time.Until(t) > 0) {
		return nil
	}
	return p.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (p *paced) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.Conn.SetWriteDeadline(t))
}
