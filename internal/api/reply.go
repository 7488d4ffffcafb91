package api

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// replyBytes is how much of a response is gathered before it is written, in bytes.
const replyBytes = 16 << 10

// headBytes is room for status line, headers and a small body, in bytes.
const headBytes = 2 << 10

// reply is the response of a parked connection: what net/http does when it writes
// one (RFC 9112), as far as our responses need it. There are no trailers, and the
// caller says what the type is and keeps to the length that he announces.
type reply struct {
	conn    net.Conn
	header  http.Header
	stopped <-chan struct{} // closed: the connection ends with the response
	began   bool            // the status line is out
	chunked bool
	old     bool   // the client speaks HTTP/1.0: it does not know chunks
	last    bool   // the connection ends with the response
	bare    bool   // there is no body: HEAD, 304
	pending []byte // not written yet
	err     error  // what a write failed with: nothing may follow it
}

func (w *reply) Header() http.Header { return w.header }

func (w *reply) WriteHeader(status int) {
	if w.began {
		return
	}
	w.began = true
	select {
	case <-w.stopped:
		w.last = true
	default:
	}
	if status == http.StatusNotModified || status == http.StatusNoContent {
		w.bare = true
		delete(w.header, "Content-Type")
	}
	if _, sized := w.header["Content-Length"]; !sized && !w.bare {
		w.chunked = !w.old
	}
	w.pending = append(make([]byte, 0, headBytes), "HTTP/1."...)
	if w.old {
		w.pending = append(w.pending, "0 "...)
	} else {
		w.pending = append(w.pending, "1 "...)
	}
	w.pending = strconv.AppendInt(w.pending, int64(status), 10)
	w.pending = append(append(append(w.pending, ' '), http.StatusText(status)...), "\r\n"...)
	w.head()
}

// head adds the headers.
func (w *reply) head() {
	w.header["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	if w.last && !w.old {
		w.header["Connection"] = []string{"close"}
	}
	if w.chunked {
		w.header["Transfer-Encoding"] = []string{"chunked"}
	}
	// A buffer takes all.
	_ = w.header.Write((*buffer)(&w.pending))
	w.pending = append(w.pending, "\r\n"...)
}

// Write writes a part of the body, or keeps it until there is more.
func (w *reply) Write(p []byte) (int, error) {
	if w.bare || len(p) == 0 {
		return len(p), w.err
	}
	if w.chunked {
		w.pending = append(strconv.AppendInt(w.pending, int64(len(p)), 16), "\r\n"...)
	}
	if len(w.pending)+len(p) <= replyBytes {
		w.pending = append(w.pending, p...)
	} else if w.FlushError() == nil {
		_, w.err = w.conn.Write(p)
	}
	if w.chunked {
		w.pending = append(w.pending, "\r\n"...)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// FlushError writes what there is. It is what http.ResponseController calls.
func (w *reply) FlushError() error {
	if w.err == nil && len(w.pending) > 0 {
		_, w.err = w.conn.Write(w.pending)
		w.pending = nil // it may wait for long
	}
	return w.err
}

// SetWriteDeadline is what http.ResponseController calls.
func (w *reply) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }

// finish ends the response.
func (w *reply) finish() error {
	if w.chunked {
		w.pending = append(w.pending, "0\r\n\r\n"...)
	}
	return w.FlushError()
}
