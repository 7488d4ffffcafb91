package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// pieceBytes is how much of a body is sent under one deadline.
const pieceBytes = 256 << 10

// begin sends status line and headers. length is the body's, -1 if it is not
// known yet.
func (x *exchange) begin(status int, length int64) {
	if length >= 0 && status != http.StatusNoContent && status != http.StatusNotModified {
		x.w.Header()["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	x.extend()
	x.began = true
	x.w.WriteHeader(status)
}

// send sends a whole response.
func (x *exchange) send(status int, body []byte) {
	x.begin(status, int64(len(body)))
	if !x.head {
		x.mustWrite(body)
	}
}

// dismiss refuses a request as net/http itself would: nothing but a status.
func (x *exchange) dismiss(status int) {
	h := x.w.Header()
	h["Connection"] = []string{"close"}
	x.send(status, nil)
}

// mustWrite writes part of the body or gives the connection up: there is nobody
// left to tell.
func (x *exchange) mustWrite(p []byte) {
	if _, err := x.Write(p); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Write writes part of the body, each piece with its own deadline. Exchange is
// an io.Writer so that the shape log can copy straight into it.
func (x *exchange) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		x.extend()
		m, err = x.w.Write(p[n:min(n+pieceBytes, len(p))])
		n += m
	}
	return n, err
}

// flush sends what net/http has buffered, before a pause.
func (x *exchange) flush() {
	x.extend()
	if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		panic(http.ErrAbortHandler) // as after a write
	}
	if x.r.ProtoMajor == 2 {
		// There the deadline ends the stream when it comes, whether anything
		// waits to be written or not.
		_ = x.rc.SetWriteDeadline(time.Time{})
	}
}

// extend moves the connection's write deadline. It must precede the first write
// of every response: net/http leaves the deadline of the one before in place.
func (x *exchange) extend() {
	// Writers of tests have no deadlines; a closed connection fails at the
	// write that follows.
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.cfg.WriteTimeout))
}
