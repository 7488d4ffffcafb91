package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// eventStream is an answer in events that is being read.
type eventStream struct {
	body  io.ReadCloser
	lines *bufio.Reader
}

// stepEvents is step for a follower that is live and takes events: it reads on up to the
// next up-to-date, or to the end of the stream. As clients do, it keeps what comes before
// that to itself, and forgets it if the stream breaks.
func (f *follower) stepEvents(ctx context.Context, q url.Values) (upToDate bool, err error) {
	if f.stream == nil {
		q.Set("live_sse", "true")
		resp, err := f.get(ctx, q)
		if resp == nil {
			return false, err
		}
		f.stream = &eventStream{resp.Body, bufio.NewReader(resp.Body)}
	}
	messages, err := f.stream.batch()
	if err != nil {
		f.closeStream()
		if err == io.EOF {
			return false, nil // its time was up, or the shape is gone, which the next request is told
		}
		return false, err
	}
	n := len(messages)
	upToDate, err = f.takeIn(messages, messages[n-1].Headers.Seen+"_0")
	f.marked = strings.HasPrefix(f.offset, messages[n-1].Headers.Seen+"_")
	return upToDate, err
}

// batch reads up to an up-to-date message.
func (s *eventStream) batch() (messages []message, err error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err == io.EOF {
			return nil, err
		} else if err != nil {
			return nil, &passing{fmt.Errorf("read events: %w", err)}
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue // an empty line, or a comment
		}
		var m message
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return nil, fmt.Errorf("an event %.200s: %w", data, err)
		}
		if messages = append(messages, m); m.Headers.Control == "up-to-date" {
			return messages, nil
		}
	}
}

func (f *follower) closeStream() {
	if f.stream != nil {
		_ = f.stream.body.Close() // it may have ended
		f.stream = nil
	}
}

// get asks for a page or a stream. The answer is nil if there is none to read: after an
// error, which may be of the kind to try again after, and after a rotation.
func (f *follower) get(ctx context.Context, q url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+"?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	f.requests++
	resp, err := f.http.Do(req)
	if err != nil {
		return nil, &passing{err}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusConflict:
		if f.handle != "" { // who asks for a shape may meet one that is just going
			f.rotations++
		}
		f.reset()
		return nil, nil
	case resp.StatusCode >= 500:
		return nil, &passing{fmt.Errorf("status %s", resp.Status)}
	}
	return nil, errors.Join(fmt.Errorf("GET %s: status %s: %s", q.Encode(), resp.Status, text), err)
}
