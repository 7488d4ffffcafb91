package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// page is an answer.
type page struct {
	offset, cursor string
	messages       []json.RawMessage
}

// walk reads the log from its beginning to behind everything that the rows' snapshot
// sees, into the store.
func (c *check) walk(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(c.Limit, func() {
		cancel(fmt.Errorf("its log has stood still for %s before it came to %s", c.Limit, lsn(c.sees.until)))
	})
	defer limit.Stop()
	var o order
	var ids chain
	var some sample
	offset, cursor, live := "-1", "", false
	for o.seen < c.sees.until {
		p, err := c.get(ctx, offset, cursor, live)
		if err != nil {
			return err
		}
		if !live || len(p.messages) > 1 {
			limit.Reset(c.Limit)
		}
		for _, raw := range p.messages {
			m := new(message)
			if err := json.Unmarshal(raw, m); err != nil {
				return fmt.Errorf("read a message of its log: %w", err)
			}
			if err := o.next(m); err != nil {
				return fmt.Errorf("its log is broken: %w", err)
			}
			if err := c.take(m, &o, &ids); err != nil {
				return err
			}
		}
		live = o.ended
		if err := o.page(p.offset); err != nil {
			return fmt.Errorf("its log is broken: %w", err)
		}
		some.look(p.messages)
		offset, cursor = p.offset, p.cursor
	}
	return c.resume(ctx, &some)
}

// take keeps what a message says about rows, if the snapshot sees it. First rows have
// no transaction: they are older.
func (c *check) take(m *message, o *order, ids *chain) error {
	c.at.Messages++
	c.progress()
	h := &m.Headers
	if h.Operation == "" {
		return nil
	}
	if len(h.Relation) != 2 || h.Relation[0] != c.of.Schema || h.Relation[1] != c.of.Table {
		return fmt.Errorf("its log has a row of %q", h.Relation)
	}
	e := entry{key: m.Key}
	if h.LSN != "" {
		e.commit = o.change.tx
		ids.newest = max(ids.newest, o.xmax)
		if !c.sees.sees(e.commit, o.xid, ids) {
			return nil
		}
	}
	if e.kind = kinds[h.Operation]; e.kind == 0 {
		return fmt.Errorf("its log has an operation %q", h.Operation)
	}
	before := m.OldValue
	if c.of.FullRows && e.kind == deleted {
		before = m.Value
	}
	if len(before) > 0 {
		if err := c.keep(entry{kind: held, key: m.Key, commit: e.commit}, before); err != nil {
			return err
		}
	}
	if e.kind == inserted && len(m.Value) != len(c.names) {
		return fmt.Errorf("its log has %d columns of %s, not %d", len(m.Value), m.Key, len(c.names))
	}
	return c.keep(e, m.Value)
}

var kinds = map[string]kind{"insert": inserted, "update": updated, "delete": deleted}

func (c *check) keep(e entry, row map[string]*string) error {
	for name, v := range row {
		i, ok := c.index[name]
		if !ok {
			return fmt.Errorf("its log has a column %q, which it was not to have", name)
		}
		if v == nil {
			e.set(i, nil, false)
		} else {
			e.set(i, []byte(*v), true)
		}
	}
	return c.store.add(&e)
}

// get asks for a page until it comes. Whole: what breaks off is asked for again.
func (c *check) get(ctx context.Context, offset, cursor string, live bool) (*page, error) {
	q := url.Values{"table": {quote(c.of.Schema) + "." + quote(c.of.Table)}, "offset": {offset}, "handle": {c.of.Handle}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("where", c.of.Where)
	set("secret", c.Secret)
	if c.of.FullRows {
		q.Set("replica", "full")
	}
	var columns []string
	for _, name := range c.of.Columns {
		columns = append(columns, quote(name))
	}
	set("columns", strings.Join(columns, ","))
	if live {
		q.Set("live", "true")
		set("cursor", cursor)
	}
	var passing error
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		p, again, err := c.ask(ctx, q)
		if err == nil || !again {
			return p, err
		}
		if ctx.Err() == nil {
			passing = err
		}
		select {
		case <-time.After(wait + rand.N(wait)):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), passing)
		}
	}
}

// refusalBytes is what is read of an answer that is a refusal, in bytes.
const refusalBytes = 4 << 10

// ask makes one request. again: another may fare better.
func (c *check) ask(ctx context.Context, q url.Values) (p *page, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"?"+q.Encode(), nil)
	if err != nil {
		return nil, false, fmt.Errorf("make a request: %w", withoutURL(err))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, true, fmt.Errorf("ask for its log: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusConflict:
		return nil, false, ErrRotated
	case resp.StatusCode != http.StatusOK:
		text, err := io.ReadAll(io.LimitReader(resp.Body, refusalBytes))
		return nil, resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests,
			errors.Join(fmt.Errorf("ask for its log: %s: %s", resp.Status, bytes.TrimSpace(text)), err)
	case resp.Header.Get("electric-handle") != c.of.Handle:
		return nil, false, ErrRotated
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, true, fmt.Errorf("read its log: %w", err)
	}
	p = &page{offset: resp.Header.Get("electric-offset"), cursor: resp.Header.Get("electric-cursor")}
	if err := json.Unmarshal(body, &p.messages); err != nil {
		return nil, false, fmt.Errorf("read its log: an answer is no list of messages: %w", err)
	}
	return p, false, nil
}

// withoutURL removes what net/http puts before an error: the URL, in which the secret
// is.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// sample is a place in the log, chosen at random among those within pages, with what
// follows it there.
type sample struct {
	pages    int
	offset   string
	messages []json.RawMessage
}

// sampled is how many messages are compared after the place.
const sampled = 100

// look may choose a place in a page.
func (s *sample) look(messages []json.RawMessage) {
	var within []int // changes that another follows
	for i, raw := range messages {
		if i+1 < len(messages) && bytes.Contains(raw, []byte(`"op_position":`)) && bytes.Contains(messages[i+1], []byte(`"op_position":`)) {
			within = append(within, i)
		}
	}
	if len(within) == 0 {
		return
	}
	if s.pages++; rand.IntN(s.pages) > 0 {
		return
	}
	i := within[rand.IntN(len(within))]
	var m message
	if json.Unmarshal(messages[i], &m) != nil || m.Headers.Op == nil || m.Headers.LSN == "" {
		return // a row in which the word stands
	}
	s.offset = m.Headers.LSN + "_" + strconv.FormatUint(*m.Headers.Op, 10)
	s.messages = nil
	for _, raw := range messages[i+1 : min(i+1+sampled, len(messages))] {
		s.messages = append(s.messages, bytes.Clone(raw))
	}
}

// resume takes the log up at the place.
func (c *check) resume(ctx context.Context, s *sample) error {
	if s.offset == "" {
		return nil
	}
	p, err := c.get(ctx, s.offset, "", false)
	if err != nil {
		return err
	}
	if len(p.messages) == 0 {
		return fmt.Errorf("its log is broken: who takes it up at %s is given nothing", s.offset)
	}
	for i, want := range s.messages {
		if i >= len(p.messages) {
			return nil // its page ends elsewhere
		}
		if !bytes.Contains(want, []byte(`"up-to-date"`)) && !bytes.Equal(want, p.messages[i]) {
			return fmt.Errorf("its log is broken: who takes it up at %s is given %.500s instead of %.500s", s.offset, p.messages[i], want)
		}
	}
	return nil
}
