package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// conn is a request that has been answered, with its body still to be read. It
// is ended when nothing arrives for too long.
type conn struct {
	resp    *http.Response
	end     context.CancelCauseFunc
	timer   *time.Timer
	silence time.Duration
}

var errSilence = errors.New("the server is silent")

// get makes a request for the log.
func (s *ShapeStream) get(ctx context.Context, live, sse bool) (*conn, error) {
	q := s.query()
	silence := syncSilence
	if live {
		q.Set("live", "true")
		q.Set("cursor", s.cursor)
		silence = liveSilence
	}
	if sse {
		q.Set("live_sse", "true")
		q.Set("experimental_live_sse", "true") // as older servers call it
	}
	accept := "application/json"
	if sse {
		accept = "text/event-stream"
	}
	return s.do(ctx, http.MethodGet, q, nil, accept, silence)
}

// query has the parameters of every request at the stream's position.
func (s *ShapeStream) query() url.Values {
	q := make(url.Values, len(s.params)+4)
	for name, values := range s.params {
		q[name] = values
	}
	q.Set("offset", s.at.offset())
	if s.at.Handle != "" {
		q.Set("handle", s.at.Handle)
	}
	if s.guards.bust {
		q.Set("cache-buster", buster())
		if n := len(s.guards.expired); n > 0 {
			q.Set("expired_handle", s.guards.expired[n-1])
		}
	}
	return q
}

// do makes a request and waits for the headers of its answer. The request
// outlives ctx, so that an event stream can be read by several calls of Next;
// attach ends it with one.
func (s *ShapeStream) do(ctx context.Context, method string, q url.Values, body io.Reader, accept string, silence time.Duration) (*conn, error) {
	own, end := context.WithCancelCause(context.WithoutCancel(ctx))
	u := *s.url
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(own, method, u.String(), body)
	if err != nil {
		end(nil)
		return nil, fmt.Errorf("make a request: %w", withoutURL(err))
	}
	for name, values := range s.o.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c := &conn{end: end, silence: silence}
	c.timer = time.AfterFunc(silence, func() { end(errSilence) })
	stop := c.attach(ctx)
	defer stop()
	c.resp, err = s.client.Do(req)
	if err != nil {
		c.timer.Stop()
		defer end(nil)
		if errors.Is(context.Cause(own), errSilence) {
			err = errSilence
		}
		return nil, &passing{err: fmt.Errorf("ask %s: %w", s.url.Host, withoutURL(err))}
	}
	return c, nil
}

// attach makes ctx end the request, until stop is called.
func (c *conn) attach(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
}

// Read reads the body.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.resp.Body.Read(p)
	if n > 0 {
		c.timer.Reset(c.silence)
	}
	return n, err
}

func (c *conn) close() {
	c.timer.Stop()
	c.end(nil)
	_ = c.resp.Body.Close() // all that was wanted of it was read
}

// fault says what was being done and why it did not work.
func (c *conn) fault(doing string, err error) error {
	if cause := context.Cause(c.resp.Request.Context()); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// refusal makes an error of an answer that is neither 2xx nor 409.
func (c *conn) refusal() error {
	body, err := io.ReadAll(io.LimitReader(c, errorBytes))
	if err != nil {
		return &passing{err: c.fault("read the answer", err)}
	}
	status := c.resp.StatusCode
	e := newError(status, body)
	retry := status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
	if status >= 400 && status < 500 && !retry {
		return e
	}
	return &passing{err: e, after: retryAfter(c.resp.Header.Get("Retry-After"), time.Now())}
}

// maxRetryAfter is the longest wait that a server can ask for.
const maxRetryAfter = time.Hour

// retryAfter reads the header: seconds, or a date. 0 if it is neither.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
