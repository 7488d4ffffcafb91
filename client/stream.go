package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// liveSilence is how long a live request may be silent, headers or body,
	// before it is made again. Servers hold one for 20 s and send a comment into
	// an event stream every 21 s.
	liveSilence = 45 * time.Second
	// syncSilence is the same for other requests: a server may have to read a
	// large table before it can answer.
	syncSilence = 3 * time.Minute

	defaultMinBackoff = 500 * time.Millisecond
	defaultMaxBackoff = 32 * time.Second
)

// A ShapeStream follows the log of one shape. It is for one goroutine at a
// time; it makes requests in Next and Messages only, and starts no goroutine.
type ShapeStream struct {
	o      Options
	url    *url.URL
	params url.Values // of every request
	client *http.Client

	at     Position // where the next request continues
	cursor string   // of the last live answer
	live   bool     // the last message was up-to-date
	schema Schema
	done   bool

	// Messages keeps the rest of a batch here when its loop is left, and where
	// the batch began.
	rest []Message
	from Position

	events *events // an open event stream, or nil
	guards guards
}

// NewShapeStream checks the options. It makes no request.
func NewShapeStream(o Options) (*ShapeStream, error) {
	u, params, err := o.shapeURL()
	if err != nil {
		return nil, err
	}
	s := &ShapeStream{o: o, url: u, params: params, client: o.HTTPClient, at: o.From}
	if s.client == nil {
		s.client = http.DefaultClient
	}
	if s.o.MinBackoff == 0 {
		s.o.MinBackoff = defaultMinBackoff
	}
	if s.o.MaxBackoff == 0 {
		s.o.MaxBackoff = defaultMaxBackoff
	}
	return s, nil
}

// Next waits for messages and returns them: those of one answer, at least one.
// Faults that may pass are retried until ctx ends. After an error Next may be
// called again; it continues at the same position. With Options.Once it returns
// io.EOF after the first up-to-date message.
func (s *ShapeStream) Next(ctx context.Context) ([]Message, error) {
	for {
		if len(s.rest) > 0 {
			batch := s.rest
			s.rest = nil
			return batch, nil
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if s.done {
			return nil, io.EOF
		}
		batch, err := s.step(ctx)
		var p *passing
		switch {
		case err == nil && len(batch) > 0:
			s.done = s.o.Once && s.live
			return batch, nil
		case err == nil:
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &p):
			s.rest, s.from = batch, s.at // ctx may end during the wait
			if err := s.backOff(ctx, p); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// Messages is Next, one message at a time. The loop ends with ctx or another
// error as its last element, or without one if Options.Once is set. When it is
// left early, the next call continues with the message after.
func (s *ShapeStream) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		defer s.Close()
		for {
			if len(s.rest) == 0 {
				s.from = s.at
				batch, err := s.Next(ctx)
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					yield(Message{}, err)
					return
				}
				s.rest = batch
			}
			m := s.rest[0]
			if s.rest = s.rest[1:]; !yield(m, nil) {
				return
			}
		}
	}
}

// Position is where a stream can be taken up later without missing anything
// that was not delivered yet. While Messages is in the middle of an answer it
// is the beginning of that answer.
func (s *ShapeStream) Position() Position {
	if len(s.rest) > 0 {
		return s.from
	}
	return s.at
}

// Schema has the types of the shape's columns, nil before the first answer.
func (s *ShapeStream) Schema() Schema { return s.schema }

// Close ends the request that an event stream keeps open between two calls of
// Next. The stream can go on being used.
func (s *ShapeStream) Close() {
	if s.events != nil {
		s.events.close()
		s.events = nil
	}
}

// step makes one request, or reads on in the open event stream, and returns
// what came, maybe nothing.
func (s *ShapeStream) step(ctx context.Context) ([]Message, error) {
	if s.events != nil {
		return s.readEvents(ctx)
	}
	live := s.live
	sse := live && s.o.SSE && !s.guards.noEvents
	began := time.Now()
	c, err := s.get(ctx, live, sse)
	if err != nil {
		return nil, err
	}
	stop := c.attach(ctx)
	defer stop()
	if sse && isEventStream(c.resp) {
		if err := s.checkAnswer(c.resp, live); err != nil {
			c.close()
			return nil, err
		}
		s.cursor = c.resp.Header.Get("electric-cursor")
		s.events = newEvents(c, began)
		return s.readEvents(ctx)
	}
	defer c.close()
	s.guards.noEvents = s.guards.noEvents || sse && c.resp.StatusCode < 300 // it answers, but not with events
	switch status := c.resp.StatusCode; {
	case status == http.StatusConflict:
		return s.refetch(c)
	case status < 200 || status > 299:
		return nil, c.refusal()
	}
	return s.accept(c, live, began)
}

// accept takes the messages of an answer in.
func (s *ShapeStream) accept(c *conn, live bool, began time.Time) ([]Message, error) {
	if err := s.checkAnswer(c.resp, live); err != nil {
		return nil, err
	}
	var batch []Message
	upToDate := c.resp.StatusCode == http.StatusNoContent // as servers once said it
	if !upToDate {
		body, err := io.ReadAll(c)
		if err != nil {
			return nil, &passing{err: c.fault("read the answer", err)}
		}
		if batch, err = decode(body); err != nil {
			return nil, &passing{err: err} // cut off
		}
		upToDate = len(batch) > 0 && batch[len(batch)-1].IsUpToDate()
	}
	h := c.resp.Header
	before := s.at
	s.at = Position{Handle: h.Get("electric-handle"), Offset: h.Get("electric-offset")}
	s.live = upToDate
	if live {
		s.cursor = h.Get("electric-cursor")
	} else if err := s.readSchema(h); err != nil {
		s.at, s.live = before, false
		return nil, err
	}
	s.guards.faults, s.guards.stale = 0, 0
	err := s.guards.moved(s, before, live, len(batch) > 1, time.Since(began))
	if errors.Is(err, errStuck) {
		return s.restart("", "the server's answers do not move on"), nil
	}
	if err != nil {
		return nil, err
	}
	return batch, nil
}

// refetch starts again after a 409. A second one before the shape was up to date
// is not followed at once.
func (s *ShapeStream) refetch(c *conn) ([]Message, error) {
	body, err := io.ReadAll(io.LimitReader(c, errorBytes))
	reason := ""
	if err == nil {
		// The body's only news is the reason, if there is one.
		if batch, err := decode(body); err == nil && len(batch) == 1 {
			reason = batch[0].Headers.Reason
		}
	}
	s.guards.expire(s.at.Handle)
	handle := c.resp.Header.Get("electric-handle")
	if slices.Contains(s.guards.expired, handle) {
		handle = ""
	}
	batch := s.restart(handle, reason)
	if s.guards.rotations > 1 {
		return batch, &passing{err: errors.New("the log has ended before it was read to its end")}
	}
	return batch, nil
}

// restart goes back to the beginning, in the log with the handle if one is
// known.
func (s *ShapeStream) restart(handle, reason string) []Message {
	s.at = Position{Handle: handle, Offset: "-1"}
	if s.o.From == Now {
		s.at.Offset = "now"
	}
	s.live, s.cursor = false, ""
	return []Message{{Headers: Headers{Control: MustRefetch, Reason: reason}}}
}

// refresh makes the next request one that is answered at once.
func (s *ShapeStream) refresh() {
	s.Close()
	s.live = false
}
