package e2e

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// caseMessage is a message as far as cases show it.
type caseMessage struct {
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	OldValue json.RawMessage `json:"old_value"`
	Headers  struct {
		Operation, Control string
		Relation           []string
		Txids              []int64
		LSN                string
		Op                 int    `json:"op_position"`
		Last               bool   `json:"last"`
		Mark               int64  `json:"snapshot_mark"`
		KeyTo              string `json:"key_change_to"`
		KeyFrom            string `json:"key_change_from"`
	}
}

func (c *caseFile) show(parts []part) string {
	c.t.Helper()
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(c.showMessages(p.messages))
		b.WriteString(p.note)
	}
	return b.String()
}

func (c *caseFile) parse(raw json.RawMessage) *caseMessage {
	c.t.Helper()
	var m caseMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		c.t.Fatalf("%v in %.300s", err, raw)
	}
	return &m
}

// showMessages prints messages, one a line. Up-to-date is left out: reading ends
// with it.
func (c *caseFile) showMessages(messages []json.RawMessage) string {
	c.t.Helper()
	var first, rest []string
	for _, raw := range messages {
		m := c.parse(raw)
		switch h := m.Headers; {
		case h.Control == "up-to-date":
		case h.Control != "":
			rest = append(rest, h.Control)
		case h.LSN == "":
			first = append(first, fmt.Sprintf("%s %s %s", h.Operation, m.Key, short(m.Value))+m.relation())
		default:
			rest = append(rest, c.change(m))
		}
	}
	slices.Sort(first)
	all := strings.Join(append(first, rest...), "\n")
	if all != "" {
		all += "\n"
	}
	return all
}

// relation is shown if it is another than the key's.
func (m *caseMessage) relation() string {
	r := m.Headers.Relation
	if len(r) == 2 && strings.HasPrefix(m.Key, strings.ReplaceAll(fmt.Sprintf(`"%s"."%s"`, strings.ReplaceAll(r[0], `"`, `""`), strings.ReplaceAll(r[1], `"`, `""`)), "/", "//")+"/") {
		return ""
	}
	return fmt.Sprintf(" of %q", r)
}

func (c *caseFile) change(m *caseMessage) string {
	h := &m.Headers
	line := fmt.Sprintf("%s %s %s%s", h.Operation, m.Key, short(m.Value), m.relation())
	if m.OldValue != nil {
		line += fmt.Sprintf(" was %s", short(m.OldValue))
	}
	line += fmt.Sprintf(" tx %d op %d", c.txn(h.LSN), h.Op)
	if len(h.Txids) != 1 {
		line += fmt.Sprintf(" txids %v", h.Txids)
	}
	if h.KeyTo != "" {
		line += " to " + h.KeyTo
	}
	if h.KeyFrom != "" {
		line += " from " + h.KeyFrom
	}
	if h.Last {
		line += " last"
	}
	return line
}

func (c *caseFile) txn(lsn string) int {
	if c.txns[lsn] == 0 {
		c.txns[lsn] = len(c.txns) + 1
	}
	return c.txns[lsn]
}

// count shows how many changes came of which transaction, if they are in order and
// the last one says so.
func (c *caseFile) count(parts []part) string {
	c.t.Helper()
	var b strings.Builder
	for _, p := range parts {
		var lsn string
		var n, lasts, op int
		flush := func() {
			if n > 0 && lsn == "" {
				fmt.Fprintf(&b, "%d first rows\n", n)
			} else if n > 0 {
				fmt.Fprintf(&b, "%d changes tx %d up to op %d, %d last\n", n, c.txn(lsn), op, lasts)
			}
			n, lasts, op = 0, 0, -1
		}
		flush()
		for _, raw := range p.messages {
			m := c.parse(raw)
			h := m.Headers
			if h.Control != "" {
				continue
			}
			if h.LSN != lsn {
				flush()
				lsn = h.LSN
			}
			if lsn != "" && h.Op <= op {
				fmt.Fprintf(&b, "op %d after %d\n", h.Op, op)
			}
			n, op = n+1, h.Op
			if lasts > 0 {
				b.WriteString("changes after the last\n")
			}
			if h.Last {
				lasts++
			}
		}
		flush()
		b.WriteString(p.note)
	}
	return b.String()
}

var longText = regexp.MustCompile(`"(?:[^"\\]|\\.){200,}"`)

// short cuts long texts.
func short(value json.RawMessage) string {
	return longText.ReplaceAllStringFunc(string(value), func(s string) string {
		s = s[1 : len(s)-1]
		return fmt.Sprintf(`"%s…" (%d bytes, %08x)`, s[:12], len(s), crc32.ChecksumIEEE([]byte(s)))
	})
}

func (c *caseFile) handle(handle string) string {
	if handle == "" {
		return "none"
	}
	if c.handles[handle] == 0 {
		c.handles[handle] = len(c.handles) + 1
	}
	return fmt.Sprint(c.handles[handle])
}

func (c *caseFile) showHandles(names []string) string {
	c.t.Helper()
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s: handle %s\n", name, c.handle(c.shape(name).f.handle))
	}
	return b.String()
}

// request shows one answer and some of its headers.
func (c *caseFile) request(method string, headers []string, input string) string {
	c.t.Helper()
	body := ""
	if method == http.MethodPost {
		i := strings.LastIndex(input, "\n")
		input, body = input[:max(i, 0)], input[i+1:]
	}
	a := send(method, c.s.url, c.params(input), body)
	if a.err != nil {
		c.t.Fatal(a.err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d", a.status)
	var messages []json.RawMessage
	if subset, ok := c.subset(a.body); ok {
		b.WriteString(subset)
	} else if json.Unmarshal(a.body, &messages) != nil && len(a.body) > 0 {
		fmt.Fprintf(&b, " %s", a.body)
	}
	b.WriteString("\n")
	for _, name := range headers {
		value := a.header.Get(name)
		if name == "electric-handle" {
			value = c.handle(value)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	return b.String() + c.showMessages(messages)
}

// subset shows rows as they are now, in their order, and what is wrong with their
// form (shape-semantics §6.3).
func (c *caseFile) subset(body []byte) (string, bool) {
	c.t.Helper()
	var answer struct {
		Metadata struct {
			Xmin, Xmax string
			XipList    []string `json:"xip_list"`
			LSN        string   `json:"database_lsn"`
			Mark       int64    `json:"snapshot_mark"`
		}
		Data []json.RawMessage
	}
	if json.Unmarshal(body, &answer) != nil || answer.Data == nil {
		return "", false
	}
	m := answer.Metadata
	text := ""
	if m.Xmin == "" || m.Xmax == "" || m.XipList == nil || m.LSN == "" {
		text = fmt.Sprintf(" metadata %+v", m)
	}
	for _, raw := range answer.Data {
		row := c.parse(raw)
		text += fmt.Sprintf("\n%s %s %s", row.Headers.Operation, row.Key, row.Value)
		if row.Headers.Mark != m.Mark {
			text += fmt.Sprintf(" marked %d, not %d", row.Headers.Mark, m.Mark)
		}
	}
	return text, true
}

// each shows for each line of parameters what is answered, on one line.
func (c *caseFile) each(base, input string) string {
	c.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(input) {
		line = strings.TrimSuffix(line, "\n")
		q := url.Values{"offset": {"-1"}}
		for _, text := range []string{base, line} {
			for param := range strings.SplitSeq(text, " ;; ") {
				if param != "" {
					c.param(q, param)
				}
			}
		}
		a := send(http.MethodGet, c.s.url, q, "")
		if a.err != nil {
			c.t.Fatal(a.err)
		}
		fmt.Fprintf(&b, "%s → %s", line, a.refusal())
		if a.status < 500 && a.header.Get("electric-handle") != "" {
			b.WriteString(", handle " + c.handle(a.header.Get("electric-handle")))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// refusal is the status, and what a client is told if it is none of success.
func (a *answer) refusal() string {
	if a.status < 300 || a.status == http.StatusConflict {
		return fmt.Sprint(a.status)
	}
	var m struct {
		Message string
		Errors  map[string]json.RawMessage
	}
	if json.Unmarshal(a.body, &m) != nil || m.Message == "" {
		return fmt.Sprintf("%d %s", a.status, a.body)
	}
	if len(m.Errors) == 0 {
		return fmt.Sprintf("%d %s", a.status, m.Message)
	}
	var texts []string
	for _, field := range slices.Sorted(maps.Keys(m.Errors)) {
		var list []string
		text := string(m.Errors[field])
		if json.Unmarshal(m.Errors[field], &list) == nil {
			text = strings.Join(list, "; ")
		}
		texts = append(texts, field+": "+text)
	}
	return fmt.Sprintf("%d %s", a.status, strings.Join(texts, "; "))
}
