package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// TestScripts runs testdata/*.txt: requests and what must come back, most of
// them named by their number in the check-list of http-protocol §26. Each file
// has a service and a clock of its own.
//
//	# text                      names the next request
//	GET /path?query             a request; header lines may follow
//	== 200                      its status (with "cut off" if the body was),
//	                            then what must be true:
//	name: value                 a header, or with the name body the whole body;
//	                            $x stands for what x is, and sets x if it is
//	                            unknown and all of the value
//	name ~ regexp               the same, by a regular expression
//	!name                       no such header
//	< text                      the body of a request, behind its headers
//	@long-body head n tail      the same, with n letters between
//	| text                      a line of the body; all lines of it must be there
//	took 20s                    how long it was held
//	@word arguments             changes the world (see world.do)
//	@in 3s word arguments       does so later, while requests are held
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { runScript(t, string(text)) })
		})
	}
}

// world is what a script acts upon.
type world struct {
	*harbour
	cfg     Config
	handler *Handler
	vars    map[string]string
	name    string // of the request
	others  sync.WaitGroup
}

func runScript(t *testing.T, text string) {
	// Bubbles begin in the year 2000, before cursors do. No Pebble is running
	// yet whose tickers would have to tick all that time.
	time.Sleep(time.Until(time.Date(2026, 1, 31, 10, 0, 3, 0, time.UTC)))
	w := &world{harbour: newHarbour(t), cfg: insecure(), vars: map[string]string{}}
	w.handler = serve(w.cfg, w)
	defer w.others.Wait()
	var req *http.Request
	var res response
	var body []string // the lines that are wanted of it
	lines := bufio.NewScanner(strings.NewReader(text + "\n\n"))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " ")
		verb, rest, _ := strings.Cut(line, " ")
		var err error
		if text, ok := strings.CutPrefix(line, "|"); ok {
			body = append(body, w.expand(strings.TrimPrefix(text, " ")))
			continue
		}
		if want := strings.Join(body, "\n"); body != nil && res.body != want {
			t.Errorf("before line %d (%s): body %q, want %q", n, w.name, res.body, want)
		}
		body = nil
		switch {
		case line == "":
		case verb == "#":
			w.name = rest
		case verb == "==":
			res = w.send(req)
			req = nil
			if res.status != rest {
				err = fmt.Errorf("status %s, body %s", res.status, res.body)
			}
		case req != nil && verb == "@long-body": // <head> <bytes> <tail>
			var head, tail string
			var n int
			if _, err = fmt.Sscan(rest, &head, &n, &tail); err == nil {
				req.Body = io.NopCloser(strings.NewReader(head + strings.Repeat("x", n) + tail))
			}
		case req != nil && verb == "<":
			req.Body = io.NopCloser(strings.NewReader(w.expand(rest)))
		case req != nil: // a header of the request
			name, value, _ := strings.Cut(line, ": ")
			req.Header.Add(name, w.expand(value))
		case strings.HasPrefix(line, "@"):
			err = w.act(t, line[1:])
		case target.MatchString(line):
			req = newRequest(verb, w.expand(rest))
		case verb == "took":
			if res.took.String() != rest {
				err = fmt.Errorf("took %v", res.took)
			}
		default:
			err = w.check(res, line)
		}
		if err != nil {
			t.Errorf("line %d (%s): %s: %v", n, w.name, line, err)
		}
	}
}

// response is what came back.
type response struct {
	status string // with " cut off" behind it if the body was
	header http.Header
	body   string
	took   time.Duration
}

func (w *world) send(req *http.Request) (res response) {
	began := time.Now()
	rec := httptest.NewRecorder()
	defer func() {
		v := recover()
		if v != nil && v != http.ErrAbortHandler {
			panic(v)
		}
		synctest.Wait() // what woke the request may have more to do
		res = response{strconv.Itoa(rec.Code), rec.Result().Header, rec.Body.String(), time.Since(began)}
		if v != nil {
			res.status += " cut off"
		}
	}()
	w.handler.ServeHTTP(rec, req)
	return res
}

// newRequest parses a target as a server would, odd spellings included.
func newRequest(method, target string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		panic(err)
	}
	return r
}

var variable = regexp.MustCompile(`\$[a-z]+`)

func (w *world) expand(s string) string {
	return variable.ReplaceAllStringFunc(s, func(name string) string {
		if v, ok := w.vars[name[1:]]; ok {
			return v
		}
		return name
	})
}

var (
	target  = regexp.MustCompile(`^[A-Z]+ \S*/`)
	exactly = regexp.MustCompile(`^([\w-]+):(?: (.*))?$`)
	roughly = regexp.MustCompile(`^([\w-]+) ~ (.*)$`)
)

// check compares one line with the response.
func (w *world) check(res response, line string) error {
	if name, ok := strings.CutPrefix(line, "!"); ok {
		if v := res.header[http.CanonicalHeaderKey(name)]; v != nil {
			return fmt.Errorf("is there: %q", v)
		}
		return nil
	}
	m, exact := exactly.FindStringSubmatch(line), true
	if m == nil {
		m, exact = roughly.FindStringSubmatch(line), false
	}
	if m == nil {
		return errors.New("what?")
	}
	got := res.body
	if m[1] != "body" {
		values := res.header[http.CanonicalHeaderKey(m[1])]
		if values == nil {
			return errors.New("no such header")
		}
		got = strings.Join(values, "; ")
	}
	want := w.expand(m[2])
	switch {
	case !exact && !regexp.MustCompile(want).MatchString(got):
		return fmt.Errorf("got %q", got)
	case exact && variable.FindString(want) == want && want != "":
		w.vars[want[1:]] = got
	case exact && got != want:
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// act does what a line with @ says, now or later.
func (w *world) act(t *testing.T, line string) error {
	if rest, ok := strings.CutPrefix(line, "in "); ok {
		when, what, _ := strings.Cut(rest, " ")
		d, err := time.ParseDuration(when)
		if err != nil {
			return err
		}
		time.AfterFunc(d, func() {
			if err := w.do(what); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		})
		return nil
	}
	return w.do(line)
}

func (w *world) do(line string) error {
	words := strings.Fields(line)
	arg := strings.TrimSpace(strings.TrimPrefix(line, words[0]))
	number := func(i int) int {
		n, err := strconv.Atoi(words[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch words[0] {
	case "secret": // secret <s>: secure mode
		w.cfg.Secret, w.cfg.Insecure = arg, false
		w.handler = serve(w.cfg, w)
	case "ages": // ages <max> <stale>
		w.cfg.MaxAge, w.cfg.StaleAge = time.Duration(number(1))*time.Second, time.Duration(number(2))*time.Second
		w.handler = serve(w.cfg, w)
	case "append": // append <tx> <number of changes> <index of a boundary>…
		var boundaries []int
		for i := 3; i < len(words); i++ {
			boundaries = append(boundaries, number(i))
		}
		return w.append(wal.LSN(number(1)), number(2), boundaries...)
	case "routed": // routed <lsn>: the stream has come so far, and the shapes have not
		w.mu.Lock()
		w.routed = wal.LSN(number(1))
		w.mu.Unlock()
	case "seen": // seen <lsn>: the stream has come so far
		w.progress.Advance(wal.LSN(number(1) + 1))
	case "rotate": // rotate <reason>
		return w.rotate(shape.Reason(arg))
	case "ail": // ail <reason>: all shapes are quarantined
		return w.ail(shape.Reason(arg), false, time.Now())
	case "park": // park <reason> <time>
		d, err := time.ParseDuration(words[2])
		return errors.Join(err, w.ail(shape.Reason(words[1]), true, time.Now().Add(d)))
	case "succeed": // quarantined shapes are built anew
		return w.succeed()
	case "allow-deletion":
		w.cfg.AllowDeletion = true
		w.handler = serve(w.cfg, w)
	case "sleep":
		d, err := time.ParseDuration(arg)
		time.Sleep(d)
		return err
	case "delete-all": // as DELETE does it
		for _, sh := range w.shapes() {
			w.Delete(sh)
		}
	case "limits": // limits <initial> <existing>
		w.cfg.MaxInitial, w.cfg.MaxExisting = number(1), number(2)
		w.handler = serve(w.cfg, w)
	case "park-requests": // park-requests <n> <target>: as many others ask for it, and may wait
		for range number(1) {
			req := newRequest("GET", w.expand(words[2]))
			w.others.Go(func() { w.handler.ServeHTTP(httptest.NewRecorder(), req) })
		}
		synctest.Wait()
	case "chunk": // chunk <bytes>
		w.chunk = int64(number(1))
	case "rows": // rows <number>
		w.rows = nil
		for i := range number(1) {
			w.rows = append(w.rows, rowOf(i, "x"))
		}
	case "health": // health <state> <reason>
		w.setHealth(words[1], strings.TrimSpace(strings.TrimPrefix(arg, words[1])))
	case "stop":
		w.handler.Stop()
	default:
		return w.harbour.set(words[0], arg)
	}
	return nil
}

// set makes the database behave in some way.
func (h *harbour) set(word, arg string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch word {
	case "unreachable":
		h.catalogue = ErrUnreachable
	case "reachable":
		h.catalogue = nil
	case "refuse-creation":
		h.creation = errors.New(arg)
	case "fail-snapshot":
		h.failure = errors.New(arg)
	case "fail-snapshot-known":
		h.failure = &snapshot.Failure{Message: arg, Known: true, Err: errors.New("SQLSTATE 42501")}
	case "fail-snapshot-unknown":
		h.failure = &snapshot.Failure{Message: arg, Err: errors.New("internals")}
	case "fail-snapshot-schema":
		h.failure = &snapshot.SchemaChanged{Err: errors.New(arg)}
	case "fail-subset": // fail-subset where|order_by|known|unreachable|schema|other <text>
		h.query = subsetError(arg)
	case "heal":
		h.creation, h.failure, h.query = nil, nil, nil
	case "slow-snapshots":
		h.slow = true
	case "long-row": // long-row <bytes>
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return h.snaps[len(h.snaps)-1].Append([]byte(`{"n":"` + strings.Repeat("x", n-8) + `"}`))
	case "row": // row <text>: one more row of the newest snapshot
		return h.snaps[len(h.snaps)-1].Append([]byte(arg))
	case "finish":
		return h.snaps[len(h.snaps)-1].Finish([]byte(snapshotEnd))
	case "abort":
		h.snaps[len(h.snaps)-1].Abort(errors.New(arg))
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

func subsetError(arg string) error {
	kind, text, _ := strings.Cut(arg, " ")
	cause := errors.New("SQLSTATE 22P02")
	switch kind {
	case "known":
		return &snapshot.Failure{Message: text, Known: true, Err: cause}
	case "unreachable":
		return fmt.Errorf("%w: %w", ErrUnreachable, cause)
	case "schema":
		return &snapshot.SchemaChanged{Err: cause}
	case "other":
		return cause
	}
	return &snapshot.BadClause{Field: kind, Message: text, Err: cause}
}
