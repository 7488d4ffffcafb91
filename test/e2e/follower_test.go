package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// follower walks a shape's log as a client would, and is stricter than one: a
// second insert of a row, a change of an unknown row, an old value that it was never
// given, a transaction without its "last", an offset that goes back or a rotation is
// an error.
type follower struct {
	base   string
	params url.Values
	http   *http.Client
	// take says how many messages of an answer are taken in before the follower goes
	// away, to come back at that place; nil: all.
	take func(of []message) int
	// events: when it is live it asks for a stream of events.
	events bool
	stream *eventStream // the one being read, or nil
	marked bool         // the offset is what a stream announced

	handle, offset, cursor string
	live                   bool
	rows                   map[string]map[string]*string
	gone                   map[string]map[string]*string // deleted, with their keys' columns
	newest                 message                       // replicated
	order                  []string                      // of the replicated messages: "<lsn>/<op>"
	rotations              int
	requests               int
}

type message struct {
	Key      string             `json:"key"`
	Value    map[string]*string `json:"value"`
	OldValue map[string]*string `json:"old_value"`
	Headers  struct {
		Operation string `json:"operation"`
		Control   string `json:"control"`
		LSN       string `json:"lsn"`
		Op        int64  `json:"op_position"`
		Last      bool   `json:"last"`
		Txids     []int64
		Seen      string `json:"global_last_seen_lsn"`
	} `json:"headers"`
}

func newFollower(base string, params ...string) *follower {
	f := &follower{base: base, params: url.Values{}, http: &http.Client{Timeout: time.Minute}}
	for i := 0; i < len(params); i += 2 {
		f.params.Set(params[i], params[i+1])
	}
	f.reset()
	return f
}

func (f *follower) reset() {
	f.closeStream()
	f.handle, f.offset, f.cursor, f.live, f.marked = "", "-1", "", false, false
	f.rows = make(map[string]map[string]*string)
	f.gone = make(map[string]map[string]*string)
	f.order, f.newest = nil, message{}
}

// leave forgets what a client forgets that goes away and comes back with its offset
// and its rows.
func (f *follower) leave() {
	f.closeStream()
	f.http.CloseIdleConnections()
	f.http = &http.Client{Timeout: time.Minute}
	f.cursor, f.live = "", false
}

// step makes one request and applies its answer. It reports whether the answer
// was up to date. A connection that fails or a 5xx is returned as an error that
// says so; the caller may try again.
func (f *follower) step(ctx context.Context) (upToDate bool, err error) {
	q := url.Values{}
	for k, v := range f.params {
		q[k] = v
	}
	q.Set("offset", f.offset)
	if f.handle != "" {
		q.Set("handle", f.handle)
	}
	if f.live {
		q.Set("live", "true")
		q.Set("cursor", f.cursor)
	}
	if f.live && f.events {
		return f.stepEvents(ctx, q)
	}
	resp, err := f.get(ctx, q)
	if resp == nil {
		return false, err
	}
	defer resp.Body.Close()
	var messages []message
	if err := json.NewDecoder(resp.Body).Decode(&messages); err != nil {
		return false, &passing{fmt.Errorf("read the body: %w", err)}
	}
	f.handle = resp.Header.Get("electric-handle")
	if c := resp.Header.Get("electric-cursor"); c != "" {
		f.cursor = c
	}
	return f.takeIn(messages, resp.Header.Get("electric-offset"))
}

// takeIn applies messages, behind which the offset is next.
func (f *follower) takeIn(messages []message, next string) (upToDate bool, err error) {
	if f.take != nil {
		if n := f.take(messages); n < len(messages) {
			messages = messages[:n]
			next = messages[n-1].offset()
		}
	}
	before := f.offset
	if f.marked { // it is behind what was read
		before = "0_inf"
		if f.newest.Headers.LSN != "" {
			before = f.newest.offset()
		}
	}
	for _, m := range messages {
		if err := f.apply(m); err != nil {
			return false, fmt.Errorf("after offset %s: %w", f.offset, err)
		}
	}
	if f.offset != "-1" && compareOffsets(next, before) < 0 {
		return false, fmt.Errorf("the offset went back from %s to %s", f.offset, next)
	}
	f.offset, f.marked = next, false
	upToDate = len(messages) > 0 && messages[len(messages)-1].Headers.Control == "up-to-date"
	if upToDate {
		f.live = true
	}
	return upToDate, nil
}

// passing is an error that a client would try again after.
type passing struct{ error }

// offset is the place of a replicated message.
func (m *message) offset() string { return fmt.Sprintf("%s_%d", m.Headers.LSN, m.Headers.Op) }

func (f *follower) apply(m message) error {
	h := m.Headers
	if h.Control == "up-to-date" && f.newest.Headers.LSN != "" && !f.newest.Headers.Last {
		return fmt.Errorf("up to date in the middle of the transaction of %s", f.newest.offset())
	}
	if h.Control != "" {
		return nil
	}
	if h.LSN != "" {
		if err := f.follows(&m); err != nil {
			return err
		}
		f.order = append(f.order, fmt.Sprintf("%s/%d", h.LSN, h.Op))
		f.newest = m
	}
	row, known := f.rows[m.Key]
	partial := f.params.Get("log") == "changes_only"
	switch h.Operation {
	case "insert":
		if known {
			return fmt.Errorf("row %s is inserted twice (lsn %s)", m.Key, h.LSN)
		}
		f.rows[m.Key] = m.Value
		delete(f.gone, m.Key)
	case "update":
		if !known && !partial || f.gone[m.Key] != nil {
			return fmt.Errorf("unknown row %s is updated (lsn %s)", m.Key, h.LSN)
		}
		if err := f.had(&m, row); err != nil {
			return err
		}
		if !known {
			row = make(map[string]*string)
			f.rows[m.Key] = row
		}
		for k, v := range m.Value {
			row[k] = v
		}
	case "delete":
		if !known && !partial || f.gone[m.Key] != nil {
			return fmt.Errorf("unknown row %s is deleted (lsn %s)", m.Key, h.LSN)
		}
		if err := f.had(&m, row); err != nil {
			return err
		}
		delete(f.rows, m.Key)
		if partial {
			f.gone[m.Key] = m.Value
		}
	default:
		return fmt.Errorf("unknown operation %q", h.Operation)
	}
	return nil
}

// follows checks that a replicated message may come after the one before it.
func (f *follower) follows(m *message) error {
	before := f.newest.Headers
	switch same := m.Headers.LSN == before.LSN; {
	case before.LSN == "":
	case compareOffsets(f.newest.offset(), m.offset()) >= 0:
		return fmt.Errorf("%s comes after %s", m.offset(), f.newest.offset())
	case same && before.Last, !same && !before.Last:
		return fmt.Errorf("%s comes after %s, whose last is %t", m.offset(), f.newest.offset(), before.Last)
	}
	return nil
}

// had checks what replica=full says that a row had, as far as it is known.
func (f *follower) had(m *message, row map[string]*string) error {
	if f.params.Get("replica") != "full" {
		return nil
	}
	before := make(map[string]*string)
	for name, v := range m.Value {
		before[name] = v
	}
	for name, v := range m.OldValue {
		if new, ok := m.Value[name]; !ok || show(new) == show(v) && (new == nil) == (v == nil) {
			return fmt.Errorf("%s of %s (lsn %s): column %q has an old value and has not changed", m.Headers.Operation, m.Key, m.Headers.LSN, name)
		}
		before[name] = v
	}
	for name, v := range row {
		if had, ok := before[name]; !ok || show(had) != show(v) || (had == nil) != (v == nil) {
			return fmt.Errorf("%s of %s (lsn %s): column %q had %.100s, which is told as %.100s", m.Headers.Operation, m.Key, m.Headers.LSN, name, show(v), show(had))
		}
	}
	return nil
}

func compareOffsets(a, b string) int {
	parse := func(s string) (tx, op uint64) {
		t, o, _ := strings.Cut(s, "_")
		if o == "inf" {
			o = "18446744073709551615"
		}
		fmt.Sscan(t, &tx)
		fmt.Sscan(o, &op)
		return tx, op
	}
	at, ao := parse(a)
	bt, bo := parse(b)
	switch {
	case at != bt && at < bt, at == bt && ao < bo:
		return -1
	case at == bt && ao == bo:
		return 0
	}
	return 1
}

// until follows until cond holds after an up-to-date answer. Connections may
// fail meanwhile.
func (f *follower) until(t *testing.T, limit time.Duration, what string, cond func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		upToDate, err := f.step(ctx)
		if p, ok := err.(*passing); ok {
			if ctx.Err() == nil {
				last = p
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if upToDate {
			if last = cond(); last == nil {
				return
			}
		}
	}
	t.Fatalf("followed for %s, waiting for %s: %v", limit, what, last)
}
