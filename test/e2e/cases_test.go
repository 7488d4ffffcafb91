package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/wal"
)

// casesDir holds the cases of shape-semantics §10, each with its number.
const casesDir = "testdata/cases"

// TestCases runs testdata/cases/*.txt against one database and one service, all
// files at once. Each file works in a schema named after it. With
// SPILLWAY_REWRITE=1 it writes what came instead of comparing it.
//
// A file is made of stanzas with a blank line between them. Lines with # give the
// number of a case and say what it is. Then a command and its input, ---- and what
// comes of it:
//
//	sql [name]     runs SQL on the connection of that name; rows and errors are shown
//	shape name     asks for a shape (parameters, one a line) and reads it to its end
//	read name      reads on, as far as all that was committed before
//	get            makes one request with the parameters given and shows the answer
//
// First rows are shown in the order of their keys. Transactions are numbered as
// they come up in the file, handles are shown as such.
func TestCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(casesDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE tick (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
	s := newService(t, db.URL)
	newFollower(s.url, "table", "tick").until(t, 30*time.Second, "a shape that every read changes", func() error { return nil })
	t.Run("files", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				runCases(t, db, s, file)
			})
		}
	})
}

// caseFile is one file while it runs.
type caseFile struct {
	t      *testing.T
	db     *pgtest.DB
	url    string
	schema string
	conns  map[string]*pgx.Conn
	shapes map[string]*caseShape
	txns   map[string]int // by commit LSN
}

// caseShape is a client of a case.
type caseShape struct {
	params         url.Values
	offset, handle string
}

func runCases(t *testing.T, db *pgtest.DB, s *service, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &caseFile{
		t: t, db: db, url: s.url, schema: strings.TrimSuffix(filepath.Base(file), ".txt"),
		conns: map[string]*pgx.Conn{}, shapes: map[string]*caseShape{}, txns: map[string]int{},
	}
	db.Exec(`CREATE SCHEMA "` + c.schema + `"`)
	var out []string
	for stanza := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		input, want, _ := strings.Cut(stanza, "\n----")
		want = strings.TrimPrefix(want, "\n")
		notes, command := splitNotes(input)
		if command == "" {
			out = append(out, stanza)
			continue
		}
		got := strings.TrimSuffix(c.run(command), "\n")
		if got != want && os.Getenv("SPILLWAY_REWRITE") == "" {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", input, got, want)
		}
		stanza = notes + command + "\n----"
		if got != "" {
			stanza += "\n" + got
		}
		out = append(out, stanza)
	}
	if os.Getenv("SPILLWAY_REWRITE") != "" {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func splitNotes(s string) (notes, command string) {
	for strings.HasPrefix(s, "#") {
		line, rest, _ := strings.Cut(s, "\n")
		notes, s = notes+line+"\n", rest
	}
	return notes, s
}

func (c *caseFile) run(command string) string {
	head, input, _ := strings.Cut(command, "\n")
	verb, name, _ := strings.Cut(head, " ")
	switch verb {
	case "sql":
		return c.sql(name, input)
	case "shape":
		s := &caseShape{params: c.params(input), offset: "-1"}
		c.shapes[name] = s
		return c.read(s)
	case "read":
		s := c.shapes[name]
		if s == nil {
			c.t.Fatalf("no shape %q was asked for", name)
		}
		return c.read(s)
	case "get":
		status, _, body := c.get(c.params(input))
		var messages []json.RawMessage
		if json.Unmarshal(body, &messages) != nil {
			return fmt.Sprintf("%d %s\n", status, body)
		}
		return fmt.Sprintf("%d\n", status) + c.show(messages)
	}
	c.t.Fatalf("unknown command: %s", head)
	return ""
}

// sql shows rows and errors.
func (c *caseFile) sql(name, script string) string {
	conn := c.conns[name]
	if conn == nil {
		conn = c.db.Conn()
		c.conns[name] = conn
		if _, err := conn.Exec(c.t.Context(), `SET search_path = "`+c.schema+`"`); err != nil {
			c.t.Fatal(err)
		}
	}
	results, err := conn.PgConn().Exec(c.t.Context(), script).ReadAll()
	var b strings.Builder
	for _, r := range results {
		for _, row := range r.Rows {
			cells := make([]string, len(row))
			for i, v := range row {
				if cells[i] = "NULL"; v != nil {
					cells[i] = string(v)
				}
			}
			b.WriteString(strings.Join(cells, "|") + "\n")
		}
	}
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

func (c *caseFile) params(input string) url.Values {
	q := url.Values{}
	for line := range strings.SplitSeq(input, "\n") {
		if line == "" {
			continue
		}
		k, v, _ := strings.Cut(line, "=")
		if name, ok := strings.CutPrefix(v, "$"); ok && (k == "handle" || k == "offset") {
			v = map[string]string{"handle": c.shapes[name].handle, "offset": c.shapes[name].offset}[k]
		}
		q.Set(k, v)
	}
	return q
}

func (c *caseFile) get(q url.Values) (int, http.Header, []byte) {
	c.t.Helper()
	resp, err := http.Get(c.url + "?" + q.Encode())
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}

// read reads a shape on until it has seen all that is committed now.
func (c *caseFile) read(s *caseShape) string {
	target, err := wal.ParseLSN(c.db.Value("SELECT pg_current_wal_insert_lsn()"))
	if err != nil {
		c.t.Fatal(err)
	}
	// So that there is something behind it, at once.
	c.db.Exec("INSERT INTO public.tick DEFAULT VALUES")
	var b strings.Builder
	eventually(c.t, 30*time.Second, "a shape to have seen everything", func() error {
		q := maps.Clone(s.params)
		if q.Get("offset") == "" || s.handle != "" {
			q.Set("offset", s.offset)
		}
		if s.handle != "" {
			q.Set("handle", s.handle)
		}
		status, header, body := c.get(q)
		switch status {
		case http.StatusOK:
		case http.StatusConflict:
			b.WriteString("409: again from the beginning\n")
			s.offset, s.handle = "-1", ""
			return errors.New("rotated")
		default:
			fmt.Fprintf(&b, "%d %s\n", status, body)
			return nil
		}
		var messages []json.RawMessage
		if err := json.Unmarshal(body, &messages); err != nil {
			c.t.Fatalf("%v in %.300s", err, body)
		}
		b.WriteString(c.show(messages))
		s.offset, s.handle = header.Get("electric-offset"), header.Get("electric-handle")
		return c.reached(messages, target)
	})
	return b.String()
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

// caseMessage is a message as far as cases show it.
type caseMessage struct {
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	OldValue json.RawMessage `json:"old_value"`
	Headers  struct {
		Operation, Control string
		Txids              []int64
		LSN                string
		Op                 int    `json:"op_position"`
		Last               bool   `json:"last"`
		KeyTo              string `json:"key_change_to"`
		KeyFrom            string `json:"key_change_from"`
	}
}

// show prints messages, one a line. Up-to-date is left out: reading ends with it.
func (c *caseFile) show(messages []json.RawMessage) string {
	var first, rest []string
	for _, raw := range messages {
		var m caseMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			c.t.Fatalf("%v in %s", err, raw)
		}
		switch h := m.Headers; {
		case h.Control == "up-to-date":
		case h.Control != "":
			rest = append(rest, h.Control)
		case h.LSN == "":
			first = append(first, fmt.Sprintf("%s %s %s", h.Operation, m.Key, m.Value))
		default:
			rest = append(rest, c.change(&m))
		}
	}
	slices.Sort(first)
	all := strings.Join(append(first, rest...), "\n")
	if all != "" {
		all += "\n"
	}
	return all
}

func (c *caseFile) change(m *caseMessage) string {
	h := &m.Headers
	if c.txns[h.LSN] == 0 {
		c.txns[h.LSN] = len(c.txns) + 1
	}
	line := fmt.Sprintf("%s %s %s", h.Operation, m.Key, m.Value)
	if m.OldValue != nil {
		line += fmt.Sprintf(" was %s", m.OldValue)
	}
	line += fmt.Sprintf(" tx %d op %d", c.txns[h.LSN], h.Op)
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

// caseNumber is a number at the beginning of a note: "# 141. …" or "# 141, 142. …".
var caseNumber = regexp.MustCompile(`(?m)^# ([0-9]+(?:, [0-9]+)*)\. `)

// Every number of shape-semantics §10 has a case here, or a line in
// testdata/cases/without that says why it has none; and not both.
func TestEveryCaseIsAccountedFor(t *testing.T) {
	t.Parallel()
	where := map[int][]string{}
	files, err := filepath.Glob(filepath.Join(casesDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range caseNumber.FindAllStringSubmatch(string(text), -1) {
			for part := range strings.SplitSeq(m[1], ", ") {
				n, err := strconv.Atoi(part)
				if err != nil {
					t.Fatal(err)
				}
				where[n] = append(where[n], filepath.Base(file))
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(casesDir, "without"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var from, to int
		numbers, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := fmt.Sscanf(numbers, "%d-%d", &from, &to); err != nil || reason == "" {
			t.Fatalf("without: %q is not <from>-<to> <reason>: %v", line, err)
		}
		for n := from; n <= to; n++ {
			where[n] = append(where[n], "without")
		}
	}
	for n := 1; n <= 360; n++ {
		if len(where[n]) == 0 || len(where[n]) > 1 && slices.Contains(where[n], "without") {
			t.Errorf("case %d is in %q", n, where[n])
		}
	}
}
