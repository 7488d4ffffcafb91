package api

import (
	"log/slog"
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

// Server returns an http.Server for the handler, with limits and timeouts that
// suit it. idle is how long a connection may be without a request. It has no
// WriteTimeout on purpose: live requests and large logs take as long as they
// take, and every single write has its own deadline.
func Server(h http.Handler, idle time.Duration, log *slog.Logger) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      h,
		Protocols:                    p,
		MaxHeaderBytes:               maxHead,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idle,
		HTTP2:                        &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

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
