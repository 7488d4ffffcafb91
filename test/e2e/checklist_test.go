package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// TestChecklist runs testdata/*.txt: items of the check-list of http-protocol §26
// that need a real Postgres. Each file has a service and a database of its own.
//
//	# text                    names what follows, with the items' numbers
//	@sql statement            is executed
//	@follow query             reads a shape's log from -1 until it is up to date
//	@changes                  reads what comes next of it, until it is up to date
//	@quiet                    nothing comes: the live request times out
//	@gone                     live requests are answered with 409, one of the next
//	@restart                  the process is killed and started
//	GET query, POST query     a request; the next line may be its body, behind <
//	== 200                    its status
//	name: value               a header of the response
//	| text                    a line of what came: of a log and of a subset, one
//	                          message a line. Numbers that differ from run to
//	                          run are letters: X a transaction's, L a position;
//	                          thousands of x are x….
func TestChecklist(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pg := pgtest.New(t)
			run := &checkRun{t: t, pg: pg, s: newService(t, pg.URL, "SPILLWAY_ALLOW_SHAPE_DELETION=true")}
			for n, line := range strings.Split(string(text)+"\n#", "\n") {
				if err := run.line(strings.TrimRight(line, " ")); err != nil {
					t.Fatalf("line %d (%s): %s: %v", n+1, run.name, line, err)
				}
			}
		})
	}
}

// TestProtocolExamples runs the examples of docs/protocol.md, in their order.
// There $handle and $offset are those of the response before.
func TestProtocolExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	pg := pgtest.New(t)
	run := &checkRun{t: t, pg: pg, s: newService(t, pg.URL), walks: true}
	example, n := false, 0
	for i, line := range strings.Split(string(text)+"\n", "\n") {
		if strings.HasPrefix(line, "```") {
			example = line == "```example"
			line = "#" // what was said of the response before is compared
		} else if !example {
			continue
		}
		n++
		if err := run.line(line); err != nil {
			t.Fatalf("line %d: %s: %v", i+1, line, err)
		}
	}
	if n < 20 {
		t.Errorf("%d lines of examples", n)
	}
}

// checkRun is a script at work.
type checkRun struct {
	t    *testing.T
	pg   *pgtest.DB
	s    *service
	name string
	// walks: every response moves handle and offset.
	walks bool

	query          string // of the shape that is followed
	handle, offset string
	method, target string // of the request that is being read, "" if none
	body           string
	status         int
	header         http.Header
	got, want      []string // messages
	compare        bool
}

func (r *checkRun) line(line string) error {
	if text, ok := strings.CutPrefix(line, "|"); ok {
		r.want, r.compare = append(r.want, strings.TrimSpace(text)), true
		return nil
	}
	verb, rest, _ := strings.Cut(line, " ")
	if line != "" && r.compare {
		if got, want := strings.Join(r.got, "\n"), strings.Join(r.want, "\n"); got != want {
			return fmt.Errorf("before it:\n got  %s\n want %s", strings.Join(r.got, "\n      "), strings.Join(r.want, "\n      "))
		}
		r.want, r.compare = nil, false
	}
	switch verb {
	case "":
	case "#":
		r.name = rest
	case "@sql":
		r.pg.Exec(rest)
	case "@follow":
		return r.follow(rest)
	case "@changes":
		return r.read(true)
	case "@quiet":
		return r.quiet()
	case "@gone":
		return r.gone()
	case "@restart":
		r.s.crash()
		r.s.start()
	case "GET", "POST":
		r.method, r.target, r.body = verb, rest, ""
	case "<":
		r.body = rest
	case "==":
		r.get(r.method, r.target, r.body)
		if fmt.Sprint(r.status) != rest {
			return fmt.Errorf("status %d: %v", r.status, r.got)
		}
	default:
		name, want, ok := strings.Cut(line, ":")
		want = strings.TrimPrefix(want, " ")
		if got := r.header.Get(name); !ok || got != want {
			return fmt.Errorf("got %q", got)
		}
	}
	return nil
}

// follow reads a log from its beginning.
func (r *checkRun) follow(query string) error {
	r.query, r.handle, r.offset = query, "", "-1"
	return r.read(false)
}

// read reads a log until it is up to date.
func (r *checkRun) read(live bool) error {
	var all []string
	for range 100 {
		q := r.query + "&offset=" + r.offset + "&handle=" + r.handle
		if live {
			q += "&live=true"
		}
		r.get("GET", q, "")
		if r.status != http.StatusOK {
			return fmt.Errorf("status %d: %v", r.status, r.got)
		}
		r.handle, r.offset = r.header.Get("electric-handle"), r.header.Get("electric-offset")
		for _, m := range r.got {
			if !strings.Contains(m, `"up-to-date"`) {
				all = append(all, m)
			}
		}
		if r.header["Electric-Up-To-Date"] != nil && (!live || len(all) > 0) {
			r.got = all
			return nil
		}
	}
	return fmt.Errorf("not up to date; so far %v", all)
}

func (r *checkRun) quiet() error {
	r.get("GET", r.query+"&live=true&offset="+r.offset+"&handle="+r.handle, "")
	if r.status != http.StatusOK || r.header.Get("electric-has-data") != "false" {
		return fmt.Errorf("status %d: %v", r.status, r.got)
	}
	return nil
}

// gone waits for a rotation: of some changes of a table only the next look at the
// catalogue tells.
func (r *checkRun) gone() error {
	for range 90 { // each is held for a second
		r.get("GET", r.query+"&live=true&offset="+r.offset+"&handle="+r.handle, "")
		switch {
		case r.status == http.StatusConflict:
			return nil
		case r.status != http.StatusOK:
			return fmt.Errorf("status %d: %v", r.status, r.got)
		}
		r.offset = r.header.Get("electric-offset")
	}
	return errors.New("no 409")
}

// get makes a request. A query is written as people read it.
func (r *checkRun) get(method, query, body string) {
	r.t.Helper()
	q := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		name, v, _ := strings.Cut(pair, "=")
		q.Set(name, strings.ReplaceAll(strings.ReplaceAll(v, "$handle", r.handle), "$offset", r.offset))
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.s.url+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.status, r.header, r.got = res.StatusCode, res.Header, messages(text)
	if r.walks && r.status == http.StatusOK {
		r.handle, r.offset = res.Header.Get("electric-handle"), res.Header.Get("electric-offset")
	}
}

var volatile = []struct {
	number *regexp.Regexp
	letter string
}{
	{regexp.MustCompile(`"txids":\[\d+\]`), `"txids":[X]`},
	{regexp.MustCompile(`"lsn":"\d+"`), `"lsn":"L"`},
	{regexp.MustCompile(`_lsn":"\d+"`), `_lsn":"L"`},
	{regexp.MustCompile(`"xmin":"\d+","xmax":"\d+","xip_list":\[("\d+",?)*\]`), `"xmin":"X","xmax":"X","xip_list":[]`},
	{regexp.MustCompile(`,"snapshot_mark":\d+`), ``},
	{regexp.MustCompile(`x{1000}x*`), `x…`}, // a value that Postgres stores beside the row
}

// messages are the elements of a log or of a subset's data, or the body itself.
func messages(body []byte) (list []string) {
	var elements []json.RawMessage
	if json.Unmarshal(body, &elements) != nil {
		var subset struct{ Data []json.RawMessage }
		if json.Unmarshal(body, &subset) != nil || subset.Data == nil {
			return []string{string(body)}
		}
		elements = subset.Data
	}
	for _, e := range elements {
		m := string(e)
		for _, v := range volatile {
			m = v.number.ReplaceAllString(m, v.letter)
		}
		list = append(list, m)
	}
	return list
}
