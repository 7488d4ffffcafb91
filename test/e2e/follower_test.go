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
// second insert of a row, a change of an unknown row, an offset that goes back
// or a rotation is an error.
type follower struct {
	base   string
	params url.Values
	http   *http.Client

	handle, offset, cursor string
	live                   bool
	rows                   map[string]map[string]*string
	order                  []string // of the replicated messages: "<lsn>/<op>"
	rotations              int
	requests               int
}

type message struct {
	Key     string             `json:"key"`
	Value   map[string]*string `json:"value"`
	Headers struct {
		Operation string `json:"operation"`
		Control   string `json:"control"`
		LSN       string `json:"lsn"`
		Op        int64  `json:"op_position"`
		Last      bool   `json:"last"`
		Txids     []int64
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
	f.handle, f.offset, f.cursor, f.live = "", "-1", "", false
	f.rows = make(map[string]map[string]*string)
	f.order = nil
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+"?"+q.Encode(), nil)
	if err != nil {
		return false, err
	}
	f.requests++
	resp, err := f.http.Do(req)
	if err != nil {
		return false, &passing{err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusConflict:
		f.rotations++
		f.reset()
		return false, nil
	case resp.StatusCode >= 500:
		return false, &passing{fmt.Errorf("status %s", resp.Status)}
	case resp.StatusCode != http.StatusOK:
		return false, fmt.Errorf("GET %s: status %s", q.Encode(), resp.Status)
	}
	var messages []message
	if err := json.NewDecoder(resp.Body).Decode(&messages); err != nil {
		return false, &passing{fmt.Errorf("read the body: %w", err)}
	}
	for _, m := range messages {
		if err := f.apply(m); err != nil {
			return false, fmt.Errorf("after offset %s: %w", f.offset, err)
		}
	}
	next := resp.Header.Get("electric-offset")
	if f.offset != "-1" && compareOffsets(next, f.offset) < 0 {
		return false, fmt.Errorf("the offset went back from %s to %s", f.offset, next)
	}
	f.offset, f.handle = next, resp.Header.Get("electric-handle")
	if c := resp.Header.Get("electric-cursor"); c != "" {
		f.cursor = c
	}
	upToDate = len(messages) > 0 && messages[len(messages)-1].Headers.Control == "up-to-date"
	if upToDate {
		f.live = true
	}
	return upToDate, nil
}

// passing is an error that a client would try again after.
type passing struct{ error }

func (f *follower) apply(m message) error {
	h := m.Headers
	if h.Control != "" {
		return nil
	}
	if h.LSN != "" {
		f.order = append(f.order, fmt.Sprintf("%s/%d", h.LSN, h.Op))
	}
	row, known := f.rows[m.Key]
	switch h.Operation {
	case "insert":
		if known {
			return fmt.Errorf("row %s is inserted twice (lsn %s)", m.Key, h.LSN)
		}
		f.rows[m.Key] = m.Value
	case "update":
		if !known {
			return fmt.Errorf("unknown row %s is updated (lsn %s)", m.Key, h.LSN)
		}
		for k, v := range m.Value {
			row[k] = v
		}
	case "delete":
		if !known {
			return fmt.Errorf("unknown row %s is deleted (lsn %s)", m.Key, h.LSN)
		}
		delete(f.rows, m.Key)
	default:
		return fmt.Errorf("unknown operation %q", h.Operation)
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
