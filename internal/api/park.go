package api

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A request that waits holds, with net/http, 10 KiB of buffers and two goroutines,
// of which the handler's has a stack of 8 KiB: that is how deep it is by then. Over
// HTTP/1.1 we therefore take the connection (http.Hijacker) as soon as a request has
// to wait, and the handler returns. What remains is the connection and two shallow
// goroutines: one waits for the shape and answers, the other reads a byte, which
// tells that the client has left or that its next request begins. With that byte in
// front the connection goes back to the server, as a new one.
//
// Rejected: a goroutine for each shape that pokes its connections through their
// read deadlines, which saves the second goroutine, some 3 KiB, and takes a
// registration that must not lose a wake-up; to have net/http write the answer, by
// replaying the request to it: everything is then parsed and looked up twice, and
// it cannot be done for a stream that has begun.

// lot is where the connections of a server are while their request waits, and
// behind it until the next one begins. It is the listener that gives them back.
type lot struct {
	idle    time.Duration
	back    chan net.Conn // connections whose next request has begun
	stopped chan struct{} // closed by Close: nothing is parked any more
	waiting atomic.Int64  // connections whose request waits

	mu      sync.Mutex // leaf: held for map operations only
	conns   map[*waiter]struct{}
	closed  bool           // nothing enters any more
	severed bool           // by cut
	all     sync.WaitGroup // one for each of conns
}

// lotKey is where a request's context has its server's lot.
type lotKey struct{}

func newLot(idle time.Duration) *lot {
	return &lot{idle: idle, back: make(chan net.Conn), stopped: make(chan struct{}), conns: make(map[*waiter]struct{})}
}

// Accept returns a connection whose next request has begun.
func (l *lot) Accept() (net.Conn, error) {
	select {
	case c := <-l.back:
		return c, nil
	case <-l.stopped:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and all connections on which no request waits; the others end
// when they have been answered.
func (l *lot) Close() error {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	all := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	if was {
		return nil
	}
	close(l.stopped)
	for _, p := range all {
		select {
		case <-p.answered:
			p.stopReading()
		default: // it looks by itself
		}
	}
	return nil
}

// Addr is that of no network.
func (l *lot) Addr() net.Addr { return &net.UnixAddr{Name: "parked", Net: "unix"} }

func (l *lot) isStopped() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// wait returns when all connections have ended or gone back; Close comes before.
func (l *lot) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.all.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut closes all connections, also one that is just being parked.
func (l *lot) cut() {
	l.mu.Lock()
	l.severed = true
	var conns []net.Conn
	for p := range l.conns {
		if p.conn != nil {
			conns = append(conns, p.conn)
		}
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // nobody is left to tell
	}
}

// enter makes room for a connection; not once the lot is closed.
func (l *lot) enter(p *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns[p] = struct{}{}
	l.all.Add(1)
	return true
}

// seat gives who has entered the connection.
func (l *lot) seat(p *waiter, conn net.Conn) {
	l.mu.Lock()
	p.conn = conn
	severed := l.severed
	l.mu.Unlock()
	if severed {
		_ = conn.Close() // cut came in between
	}
}

func (l *lot) forget(p *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, p)
	l.all.Done()
}

// waiter is a connection whose request waits.
type waiter struct {
	lot   *lot
	conn  net.Conn // set by seat
	ahead []byte   // of the next request, read already
	first [1]byte
	leave context.CancelCauseFunc // ends the request: the client has left
	// answered is closed when the response is out, or will not be. keep, set
	// before, says that another request may follow.
	answered chan struct{}
	keep     bool
}

// errLeft is why a request ends whose client has closed the connection.
var errLeft = errors.New("the client has left")

// resumed is a connection of which something was read already.
type resumed struct {
	net.Conn
	ahead []byte
}

func (c *resumed) Read(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// aside runs what is left of a request that has to wait, in a goroutine of its own
// if that is cheaper. Nothing may follow it in the handler.
func (v *visit) aside(rest func() error) error {
	p := v.park()
	if p == nil {
		return rest()
	}
	go p.watch()
	go v.answer(p, rest)
	return nil
}

// park takes the connection from net/http, or returns nil where that cannot be
// done or is no use: over HTTP/2 a request is a stream of a connection, with a
// goroutine of its own and no buffers.
func (v *visit) park() *waiter {
	l, _ := v.r.Context().Value(lotKey{}).(*lot)
	if l == nil || v.r.ProtoMajor != 1 || v.r.ContentLength != 0 {
		return nil
	}
	p := &waiter{lot: l, answered: make(chan struct{})}
	if !l.enter(p) {
		return nil
	}
	conn, buf, err := v.rc.Hijack()
	if err != nil {
		l.forget(p)
		return nil
	}
	if n := buf.Reader.Buffered(); n > 0 {
		next, _ := buf.Reader.Peek(n) // it is there
		p.ahead = slices.Clone(next)
	}
	if c, ok := conn.(*resumed); ok {
		conn, p.ahead = c.Conn, append(p.ahead, c.ahead...)
	}
	l.seat(p, conn)
	v.detach(p)
	return p
}

// detach makes the request independent of net/http's, which is over when the
// handler returns, and drops what it does not need any more.
func (v *visit) detach(p *waiter) {
	ctx, cancel := context.WithCancelCause(context.Background())
	p.leave = cancel
	w := &reply{
		conn: p.conn, stopped: p.lot.stopped, began: v.began,
		old: !v.r.ProtoAtLeast(1, 1), last: v.r.Close || !v.r.ProtoAtLeast(1, 1), bare: v.head,
	}
	if w.began {
		w.chunked = !w.old // as net/http does it
	} else {
		w.header = v.w.Header()
	}
	few := http.Header{}
	for _, name := range []string{"Accept-Encoding", "If-None-Match"} {
		for _, line := range v.r.Header[name] {
			few[name] = append(few[name], strings.Clone(line))
		}
	}
	r := &http.Request{Method: v.r.Method, ProtoMajor: 1, Header: few}
	v.r, v.w, v.rc, v.reply = r.WithContext(ctx), w, http.NewResponseController(w), w
	v.taken = true
}

// answer runs the rest of a request and ends it.
func (v *visit) answer(p *waiter, rest func() error) {
	p.lot.waiting.Add(1)
	p.keep = v.complete(rest)
	p.lot.waiting.Add(-1)
	p.leave(nil)
	v.leave()
	if p.keep {
		// A connection that is gone fails at the next use. net/http's own refusals set
		// no deadline for writing.
		_ = p.conn.SetWriteDeadline(time.Time{})
		_ = p.conn.SetReadDeadline(time.Now().Add(p.lot.idle))
	} else {
		_ = p.conn.Close() // the client has been told, or has left
	}
	close(p.answered)
	if p.lot.isStopped() { // Close may have come before that
		p.stopReading()
	}
}

// complete says whether the response is whole and the connection may be used again.
func (v *visit) complete(rest func() error) (keep bool) {
	defer func() {
		e := recover()
		if err, ok := e.(error); e != nil && !(ok && errors.Is(err, http.ErrAbortHandler)) {
			panic(e) // guarded leaves nothing else
		}
	}()
	v.guarded(rest)
	v.extend()
	return v.reply.finish() == nil && !v.reply.last
}

func (v *visit) guarded(rest func() error) {
	defer v.recover()
	if err := rest(); err != nil {
		v.fail(err)
	}
}

// watch waits for the end of the connection or the next request on it, and for the
// answer.
func (p *waiter) watch() {
	defer p.lot.forget(p)
	if len(p.ahead) == 0 {
		n, err := 0, error(nil)
		for n == 0 && err == nil {
			n, err = p.conn.Read(p.first[:])
		}
		if n > 0 {
			p.ahead = []byte{p.first[0]}
		} else {
			p.leave(errLeft)
		}
	}
	<-p.answered
	if p.keep && len(p.ahead) > 0 {
		select {
		case p.lot.back <- &resumed{p.conn, p.ahead}:
			return
		case <-p.lot.stopped:
		}
	}
	_ = p.conn.Close() // idle, left, or answered for the last time
}

// stopReading ends a read that is under way.
func (p *waiter) stopReading() {
	_ = p.conn.SetReadDeadline(time.Unix(1, 0)) // a connection that is gone is not read
}
