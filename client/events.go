package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// maxEvents is how many messages of an event stream are kept before they are
// delivered without an up-to-date message at their end.
const maxEvents = 10_000

// events is an open event stream.
type events struct {
	*conn
	lines     *bufio.Reader
	began     time.Time
	delivered bool // something
}

func isEventStream(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream" && resp.StatusCode == http.StatusOK
}

func newEvents(c *conn, began time.Time) *events {
	return &events{conn: c, lines: bufio.NewReader(c), began: began}
}

// readEvents reads on in the event stream until the next up-to-date message. At
// the stream's end it returns nothing, and the next step opens another.
func (s *ShapeStream) readEvents(ctx context.Context) ([]Message, error) {
	e := s.events
	stop := e.attach(ctx)
	defer stop()
	var batch []Message
	for {
		m, err := e.next()
		if err != nil {
			// What had come since the last up-to-date will come again.
			s.Close()
			return nil, s.eventsEnded(e, err)
		}
		batch = append(batch, m)
		full := len(batch) >= maxEvents && m.Headers.LSN != "" // a place to continue at
		if !m.IsUpToDate() && !full {
			continue
		}
		e.delivered = true
		s.guards.short, s.guards.faults, s.guards.stale = 0, 0, 0
		s.at.Offset = after(s.at.Offset, batch)
		return batch, nil
	}
}

// eventsEnded decides what the end of an event stream means. It is nothing
// special (servers end them after a minute), unless they end again and again
// before they bring anything: then something on the way does not let them
// through, and the stream polls from now on.
func (s *ShapeStream) eventsEnded(e *events, err error) error {
	if !errors.Is(err, io.EOF) {
		err = &passing{err: e.fault("read the event stream", err)}
	} else {
		err = nil
	}
	if e.delivered || time.Since(e.began) >= short {
		s.guards.short, s.guards.faults = 0, 0
		return err
	}
	if s.guards.short++; s.guards.short >= maxShort {
		s.guards.noEvents = true
		return nil
	}
	if err == nil {
		err = &passing{err: errors.New("the event stream ended at once")}
	}
	return err
}

// next reads one message: lines that begin with "data:", up to an empty line.
func (e *events) next() (Message, error) {
	var data []byte
	for {
		line, err := e.lines.ReadBytes('\n')
		if err != nil {
			return Message{}, err // a last line without its end was cut off
		}
		line = bytes.TrimRight(line, "\r\n")
		switch text, isData := bytes.CutPrefix(line, []byte("data:")); {
		case isData:
			data = append(append(data, bytes.TrimPrefix(text, []byte(" "))...), '\n')
		case len(line) == 0 && len(data) > 0:
			var m Message
			if err := json.Unmarshal(data, &m); err != nil {
				return Message{}, fmt.Errorf("an event is not a message: %w", err)
			}
			return m, nil
		}
	}
}
