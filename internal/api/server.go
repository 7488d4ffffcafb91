package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a request (http-protocol §20). The request line may be longer than
// the 10,000 bytes that are promised: the longest WHERE clause, with every
// character escaped, fits.
const (
	maxRequestLine = 256 << 10 // bytes
	maxHeader      = 10_000    // bytes of one header
	maxHeaders     = 50
	// maxHead is where net/http itself stops reading: it cannot tell the
	// request line from the headers, so it must let the two limits above
	// through to beyondLimits.
	maxHead = maxRequestLine + maxHeaders*maxHeader

	headerTimeout = 10 * time.Second
	// pingTimeout is how long an HTTP/2 peer may be silent, and how long it may
	// take to answer when it is then asked whether it is there.
	pingTimeout = 30 * time.Second
)

// Server serves clients. It is an http.Server whose requests wait elsewhere: see lot.
// Serve or ServeTLS is to be called once.
type Server struct {
	*http.Server
	lot *lot
}

// NewServer returns a server for the handler, with limits and timeouts that
// suit it. idle is how long a connection may be without a request. It has no
// WriteTimeout on purpose: live requests and large logs take as long as they
// take, and every single write has its own deadline.
func NewServer(h http.Handler, idle time.Duration, log *slog.Logger) *Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	lot := newLot(idle)
	return &Server{lot: lot, Server: &http.Server{
		Handler:                      h,
		Protocols:                    p,
		MaxHeaderBytes:               maxHead,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idle,
		HTTP2:                        &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return context.WithValue(context.Background(), lotKey{}, lot) },
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Serve is http.Server.Serve.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(func() error { return s.Server.Serve(l) })
}

// ServeTLS is http.Server.ServeTLS.
func (s *Server) ServeTLS(l net.Listener, certFile, keyFile string) error {
	return s.serve(func() error { return s.Server.ServeTLS(l, certFile, keyFile) })
}

// serve serves new connections, and beside them those that come back.
func (s *Server) serve(fresh func() error) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Server.Serve(s.lot) // until the lot is closed
	}()
	err := fresh()
	_ = s.lot.Close() // never fails
	<-ended
	return err
}

// Shutdown is http.Server.Shutdown: it waits for waiting requests too, which are
// answered at once when the Handler was told to stop.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx) // closes the lot
	return errors.Join(err, s.lot.wait(ctx))
}

// Close is http.Server.Close.
func (s *Server) Close() error {
	err := s.Server.Close() // closes the lot
	s.lot.cut()
	return err
}

// Parked is how many connections have a request that waits, those of HTTP/2 aside.
func (s *Server) Parked() int64 { return s.lot.waiting.Load() }

// hurry gives a body that a request should not have a short time to come:
// net/http reads the rest of it before it goes on to the next request.
func (x *exchange) hurry() {
	if x.r.ContentLength != 0 && x.r.Method != http.MethodPost {
		// Writers of tests have no deadlines.
		_ = x.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
}

// beyondLimits returns the status for a request that is too large, else 0.
func beyondLimits(r *http.Request) int {
	if len(r.Method)+len(r.RequestURI)+len(r.Proto)+2 > maxRequestLine {
		return http.StatusRequestURITooLong
	}
	n := 0
	if r.Host != "" {
		n++ // net/http has moved this header away
	}
	for name, lines := range r.Header {
		n += len(lines)
		for _, line := range lines {
			if len(name)+len(line)+2 > maxHeader {
				return http.StatusRequestHeaderFieldsTooLarge
			}
		}
	}
	if n > maxHeaders {
		return http.StatusRequestHeaderFieldsTooLarge
	}
	return 0
}
