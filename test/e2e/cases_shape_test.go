package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// caseShape is a client of a case.
type caseShape struct {
	f       *follower
	pending chan answer // of a request in the background
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// part is what a client read: messages, then what else happened.
type part struct {
	messages []json.RawMessage
	note     string
}

func (c *caseFile) shape(name string) *caseShape {
	c.t.Helper()
	s := c.shapes[name]
	if s == nil {
		c.t.Fatalf("no shape %q was asked for", name)
	}
	return s
}

func (c *caseFile) ask(params url.Values) *caseShape {
	f := newFollower("")
	f.params = params
	return &caseShape{f: f}
}

// begin makes a request in the background.
func (s *caseShape) begin(base string, live bool) {
	q := s.query()
	if live {
		q.Set("live", "true")
	}
	s.pending = make(chan answer, 1)
	go func(to chan answer) { to <- send(http.MethodGet, base, q, "") }(s.pending)
}

func (s *caseShape) query() url.Values {
	q := maps.Clone(s.f.params)
	if q.Get("offset") == "" || s.f.handle != "" {
		q.Set("offset", s.f.offset)
	}
	if s.f.handle != "" {
		q.Set("handle", s.f.handle)
	}
	return q
}

func send(method, base string, q url.Values, body string) (a answer) {
	req, err := http.NewRequest(method, base+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	return a
}

// target is a position behind all that is committed now.
func (c *caseFile) target() wal.LSN {
	c.t.Helper()
	target, err := wal.ParseLSN(c.db.Value("SELECT pg_current_wal_insert_lsn()"))
	if err != nil {
		c.t.Fatal(err)
	}
	// So that there is something behind it, at once; also if a case has others wait
	// for a standby.
	c.db.Exec("SET synchronous_commit = local; INSERT INTO public.tick DEFAULT VALUES")
	return target
}

// read reads a shape on until it has seen all that is committed now.
func (c *caseFile) read(s *caseShape) []part {
	c.t.Helper()
	return c.readTo(s, c.target())
}

func (c *caseFile) readTo(s *caseShape, target wal.LSN) []part {
	c.t.Helper()
	parts := []part{{}}
	eventually(c.t, 30*time.Second, "a shape to have seen everything", func() error {
		last := &parts[len(parts)-1]
		a := c.answer(s)
		if a.err != nil {
			return a.err // cut off: a client asks again
		}
		switch a.status {
		case http.StatusOK:
		case http.StatusConflict:
			last.note += "409: again from the beginning\n"
			parts = append(parts, part{})
			s.f.reset()
			return errors.New("rotated")
		default:
			last.note += a.refusal() + "\n"
			return nil
		}
		var messages []json.RawMessage
		if err := json.Unmarshal(a.body, &messages); err != nil {
			c.t.Fatalf("%v in %.300s", err, a.body)
		}
		last.messages = append(last.messages, messages...)
		last.note += s.apply(messages)
		s.f.offset, s.f.handle = a.header.Get("electric-offset"), a.header.Get("electric-handle")
		return c.reached(messages, target)
	})
	return parts
}

// answer is that of the request in the background, or of a new one.
func (c *caseFile) answer(s *caseShape) answer {
	c.t.Helper()
	if s.pending == nil {
		s.begin(c.s.url, false)
	}
	var a answer
	select {
	case a = <-s.pending:
	case <-time.After(60 * time.Second):
		c.t.Fatal("no answer")
	}
	s.pending = nil
	if a.status == 0 {
		c.t.Fatal(a.err)
	}
	return a
}

// apply changes the rows that the client holds, and says what it cannot.
func (s *caseShape) apply(messages []json.RawMessage) (faults string) {
	if s.f.params.Get("log") == "changes_only" || s.f.params.Get("offset") == "now" {
		return "" // it lacks rows that are changed
	}
	for _, raw := range messages {
		var m message
		err := json.Unmarshal(raw, &m)
		if err == nil {
			err = s.f.apply(m)
		}
		if err != nil {
			faults += err.Error() + "\n"
		}
	}
	return faults
}

func (c *caseFile) reached(messages []json.RawMessage, target wal.LSN) error {
	var m struct {
		Headers struct {
			Seen string `json:"global_last_seen_lsn"`
		}
	}
	if len(messages) == 0 {
		return errors.New("an empty page")
	}
	if err := json.Unmarshal(messages[len(messages)-1], &m); err != nil {
		c.t.Fatal(err)
	}
	seen, err := strconv.ParseUint(m.Headers.Seen, 10, 64)
	if err != nil || wal.LSN(seen) < target {
		return fmt.Errorf("seen %q, want %d", m.Headers.Seen, target)
	}
	return nil
}

// idsOf lists the values of column id.
func idsOf(rows map[string]map[string]*string) string {
	var ids []int
	for _, row := range rows {
		id, err := strconv.Atoi(*row["id"])
		if err != nil {
			return err.Error()
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return "none"
	}
	slices.Sort(ids)
	return strings.Trim(fmt.Sprint(ids), "[]")
}

// rows shows the rows that a client holds when it has read on.
func (c *caseFile) rows(s *caseShape) string {
	c.t.Helper()
	var b strings.Builder
	last := ""
	for _, p := range c.read(s) {
		if p.note != last {
			b.WriteString(p.note) // once: what breaks a shape may be noticed twice
		}
		last = p.note
	}
	for _, key := range slices.Sorted(maps.Keys(s.f.rows)) {
		row, err := json.Marshal(s.f.rows[key])
		if err != nil {
			c.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", key, short(row))
	}
	return b.String()
}
