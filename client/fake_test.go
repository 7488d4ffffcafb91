package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// inProcess is a transport to a handler without a network, so that tests can
// run in a bubble where waiting takes no time.
type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	body, to := io.Pipe()
	w := &writer{head: http.Header{}, to: to, started: make(chan *http.Response, 1), body: body, ctx: r.Context()}
	stop := context.AfterFunc(r.Context(), func() { to.CloseWithError(context.Cause(r.Context())) })
	go func() {
		defer stop()
		defer func() {
			if v := recover(); v == http.ErrAbortHandler {
				w.WriteHeader(http.StatusOK)
				to.CloseWithError(io.ErrUnexpectedEOF)
			} else if v != nil {
				panic(v)
			}
		}()
		p.h.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		to.Close()
	}()
	select {
	case resp := <-w.started:
		resp.Request = r
		return resp, nil
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

type writer struct {
	head    http.Header
	to      *io.PipeWriter
	body    *io.PipeReader
	once    sync.Once
	started chan *http.Response
	ctx     context.Context
}

func (w *writer) Header() http.Header { return w.head }
func (w *writer) Flush()              { w.WriteHeader(http.StatusOK) }
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.to.Write(p)
}

func (w *writer) WriteHeader(status int) {
	w.once.Do(func() {
		w.started <- &http.Response{StatusCode: status, Header: w.head.Clone(), Body: w.body}
	})
}

// answer is what a script says to one request.
type answer func(w http.ResponseWriter, r *http.Request)

// script is a server that gives one answer after the other; the last one again
// and again. It notes the requests.
type script struct {
	t       *testing.T
	answers []answer

	mu       sync.Mutex
	requests []*http.Request
	times    []time.Time
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.requests)
	s.requests = append(s.requests, r)
	s.times = append(s.times, time.Now())
	a := s.answers[min(n, len(s.answers)-1)]
	s.mu.Unlock()
	a(w, r)
}

// seen lists parameters of the requests: "offset handle live", where - stands
// for what is missing.
func (s *script) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, r := range s.requests {
		q := r.URL.Query()
		var cells []string
		for _, name := range []string{"offset", "handle", "live", "live_sse", "cursor"} {
			if q.Has(name) {
				cells = append(cells, name+"="+q.Get(name))
			}
		}
		if q.Has("cache-buster") {
			cells = append(cells, "busted")
		}
		if q.Has("expired_handle") {
			cells = append(cells, "expired="+q.Get("expired_handle"))
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}

// stream makes a stream of a script's server.
func (s *script) stream(o Options) *ShapeStream {
	s.t.Helper()
	o.URL = "http://test/v1/shape"
	o.HTTPClient = &http.Client{Transport: inProcess{s}}
	stream, err := NewShapeStream(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// answers of the kind that servers give.

const anySchema = `{"id":{"type":"int4","pk_index":0,"not_null":true},"n":{"type":"int4"}}`

func log(handle, offset string, live bool, messages ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		head(w, handle, offset, live)
		io.WriteString(w, "["+strings.Join(messages, ",")+"]")
	}
}

func head(w http.ResponseWriter, handle, offset string, live bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("electric-handle", handle)
	h.Set("electric-offset", offset)
	if live {
		h.Set("electric-cursor", "77")
	} else {
		h.Set("electric-schema", anySchema)
	}
}

func status(code int, body string, headers ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

func rotated(handle string) answer {
	h := []string{"electric-handle", handle}
	if handle == "" {
		h = nil
	}
	return status(http.StatusConflict, `[{"headers":{"control":"must-refetch","reason":"truncate"}}]`, h...)
}

// hang answers nothing until the client has gone.
func hang(w http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
}

// after waits before an answer, as a server holds a live request.
func (a answer) after(d time.Duration) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		a(w, r)
	}
}

// cut ends the connection within the body.
func cut(handle, offset, half string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		head(w, handle, offset, false)
		io.WriteString(w, half)
		panic(http.ErrAbortHandler)
	}
}

// eventStream sends events, then ends; or hangs, if the last is empty.
func eventStream(handle, offset string, data ...string) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		head(w, handle, offset, true)
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for _, d := range data {
			if d == "" {
				<-r.Context().Done()
				return
			}
			if _, err := io.WriteString(w, d); err != nil {
				return
			}
		}
	}
}

func event(message string) string { return "data: " + message + "\n\n" }

func row(op string, id, n int, more ...string) string {
	return fmt.Sprintf(`{"key":"\"public\".\"t\"/\"%d\"","value":{"id":"%d","n":"%d"},"headers":{"operation":%q,"relation":["public","t"]%s}}`,
		id, id, n, op, strings.Join(more, ""))
}

// at gives a row the headers of replication.
func at(lsn, op, xid int) string {
	return fmt.Sprintf(`,"txids":[%d],"lsn":"%d","op_position":%d`, xid, lsn, op)
}

func upToDate(lsn int) string {
	return fmt.Sprintf(`{"headers":{"control":"up-to-date","global_last_seen_lsn":"%d"}}`, lsn)
}

const snapshotEnd = `{"headers":{"control":"snapshot-end","xmin":"901","xmax":"905","xip_list":["903"]}}`

// said puts messages in short: "insert 1=5", "up-to-date".
func said(messages []Message) string {
	var out []string
	for i := range messages {
		m := &messages[i]
		switch {
		case m.IsChange():
			out = append(out, fmt.Sprintf("%s %s=%s", m.Headers.Operation, m.Value["id"], m.Value["n"]))
		default:
			out = append(out, string(m.Headers.Control))
		}
	}
	return strings.Join(out, ", ")
}

var _ http.Flusher = (*writer)(nil)
