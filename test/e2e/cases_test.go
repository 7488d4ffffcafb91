package e2e

import (
	"fmt"
	"io/fs"
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
)

// casesDir holds the cases of shape-semantics §10, each with its number.
const casesDir = "testdata/cases"

// TestCases runs testdata/cases/*.txt, all files at once, against one database and
// one service; only a file that begins with "service" has its own. Each file works
// in a schema named after it. With SPILLWAY_REWRITE=1 it writes what came instead of
// comparing it.
//
// A file is made of stanzas with a blank line between them. Lines with # give the
// number of a case and say what it is. Then a command and its input, ---- and what
// comes of it:
//
//	service          a service of its own; NAME=value lines are its settings, those in
//	                 small letters Postgres's, which is then a server of its own;
//	                 user=name makes a role for it that owns nothing, resetwal=options
//	                 sets the server's counters beforehand (pg_resetwal)
//	kill, stop, start   end the service as a crash would or in good order; start it
//	crash               kill, once all first rows are durable
//	postgres kill, postgres stop, postgres start   the same with Postgres
//	postgres restore   ends it and starts it as from a backup: on another timeline
//	postgres standby   ends it and starts it as a standby, until it is promoted
//	sql [name]       runs SQL on the connection of that name; rows and errors are shown
//	until [status]   asks Postgres the same question until the answer is t; with a
//	                 status, makes the same request until that is its answer
//	shape name       asks for a shape (parameters, one a line) and reads it to its end
//	read name        reads on, as far as all that was committed before
//	rows name        reads on, but shows the rows that a client then holds
//	count name       reads on, but shows how many changes of which transactions came
//	live name        begins a live request, which the next read ends
//	waiting n        until the service holds n live requests
//	gone name        until a request for the rest of the shape is refused
//	handles a b …    the handles of these shapes
//	get [header …], post, delete   one request with these parameters (for post the
//	                 last line is the body), its answer and these of its headers
//	each [params]    a request for each line: parameters with ;; between them
//	where table      for each line, which is a clause: the ids of the rows that it
//	                 takes, by first rows, by the stream (all rows go and come again,
//	                 and are changed into their neighbours and back) and by SELECT
//
// Where versions of Postgres differ, another result follows with the version that it
// is of, and of those after it: ---- 18.
//
// After sql and shape, & stands for "in the background": wait name, or read name,
// shows what came of it. First rows are shown in the order of their keys.
// Transactions and handles are numbered as they come up in the file; long texts are
// cut, with their length and a checksum.
func TestCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(casesDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	t.Parallel()
	db := pgtest.New(t)
	s := newService(t, db.URL)
	db.Exec(tickTable)
	s.readTick()
	t.Run("files", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				runCases(t, db, s, file)
			})
		}
	})
}

// tickTable is written by every read, and its shape stays, so that there is
// always something new at once.
const tickTable = "CREATE TABLE public.tick (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"

func (s *service) readTick() {
	s.t.Helper()
	newFollower(s.url, "table", "tick").until(s.t, 30*time.Second, "the shape that every read changes", func() error { return nil })
}

// caseFile is one file while it runs.
type caseFile struct {
	t       *testing.T
	db      *pgtest.DB
	s       *service
	schema  string
	conns   map[string]*pgx.Conn
	jobs    map[string]chan string // what runs in the background, by the connection's name
	shapes  map[string]*caseShape
	txns    map[string]int // by commit LSN
	handles map[string]int
}

func runCases(t *testing.T, db *pgtest.DB, s *service, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &caseFile{
		t: t, db: db, s: s, schema: strings.TrimSuffix(filepath.Base(file), ".txt"),
		conns: map[string]*pgx.Conn{}, jobs: map[string]chan string{}, shapes: map[string]*caseShape{},
		txns: map[string]int{}, handles: map[string]int{},
	}
	stanzas := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	if !strings.HasPrefix(stanzas[0], "service") {
		db.Exec(`CREATE SCHEMA "` + c.schema + `"`)
	}
	var out []string
	version := serverVersion(c.t, db)
	for _, stanza := range stanzas {
		input, results := splitResults(stanza)
		notes, command := splitNotes(input)
		if command == "" {
			out = append(out, stanza)
			continue
		}
		got, want := strings.TrimSuffix(c.run(command), "\n"), resultOf(results, version)
		if got != want.text && os.Getenv("SPILLWAY_REWRITE") == "" {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", input, got, want.text)
		}
		want.text = got
		out = append(out, notes+command+joinResults(results))
	}
	if os.Getenv("SPILLWAY_REWRITE") != "" {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// result is what comes of a command with Postgres of a version and those after it.
type result struct {
	version int // 0: any
	text    string
}

// resultLine begins a result.
var resultLine = regexp.MustCompile(`(?m)^----(?: ([0-9]+))?(?:\n|$)`)

// splitResults cuts a stanza into its input and its results, one at least.
func splitResults(stanza string) (input string, results []*result) {
	at := resultLine.FindAllStringSubmatchIndex(stanza, -1)
	if at == nil {
		return stanza, []*result{{}}
	}
	for i, m := range at {
		r, end := &result{}, len(stanza)
		if m[2] >= 0 {
			r.version, _ = strconv.Atoi(stanza[m[2]:m[3]])
		}
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		r.text = strings.TrimSuffix(stanza[m[1]:end], "\n")
		results = append(results, r)
	}
	return strings.TrimSuffix(stanza[:at[0][0]], "\n"), results
}

// resultOf is the last one that is of the version.
func resultOf(results []*result, version int) *result {
	want := results[0]
	for _, r := range results[1:] {
		if r.version <= version {
			want = r
		}
	}
	return want
}

func joinResults(results []*result) string {
	var b strings.Builder
	for _, r := range results {
		b.WriteString("\n----")
		if r.version > 0 {
			fmt.Fprintf(&b, " %d", r.version)
		}
		if r.text != "" {
			b.WriteString("\n" + r.text)
		}
	}
	return b.String()
}

// serverVersion is the server's major version.
func serverVersion(t *testing.T, db *pgtest.DB) int {
	t.Helper()
	n, err := strconv.Atoi(db.Value("SHOW server_version_num"))
	if err != nil {
		t.Fatal(err)
	}
	return n / 10000
}

func splitNotes(s string) (notes, command string) {
	for strings.HasPrefix(s, "#") {
		line, rest, _ := strings.Cut(s, "\n")
		notes, s = notes+line+"\n", rest
	}
	return notes, s
}

func (c *caseFile) run(command string) string {
	c.t.Helper()
	head, input, _ := strings.Cut(command, "\n")
	head, background := strings.CutSuffix(head, " &")
	verb, name, _ := strings.Cut(head, " ")
	switch verb {
	case "service":
		c.own(input)
	case "crash":
		c.s.crash()
	case "kill":
		c.s.kill()
	case "stop":
		return fmt.Sprintf("exit code %d\n", c.s.stop())
	case "start":
		c.s.start()
	case "postgres":
		c.postgres(name)
	case "sql":
		if !background {
			return c.sql(name, input)
		}
		done := make(chan string, 1)
		c.jobs[name] = done
		conn := c.conn(name)
		go func() { done <- runSQL(c.t.Context(), conn, input) }()
	case "wait":
		return c.wait(name)
	case "until":
		c.until(name, input)
	case "shape":
		s := c.ask(c.params(input))
		c.shapes[name] = s
		if !background {
			return c.show(c.read(s))
		}
		s.begin(c.s.url, false)
	case "read":
		return c.show(c.read(c.shape(name)))
	case "rows":
		return c.rows(c.shape(name))
	case "count":
		return c.count(c.read(c.shape(name)))
	case "live":
		c.shape(name).begin(c.s.url, true)
	case "gone":
		c.gone(c.shape(name))
	case "waiting":
		c.waiting(name)
	case "handles":
		return c.showHandles(strings.Fields(name))
	case "get", "post", "delete":
		return c.request(strings.ToUpper(verb), strings.Fields(name), input)
	case "each":
		return c.each(name, input)
	case "where":
		return c.where(name, input)
	default:
		c.t.Fatalf("unknown command: %s", head)
	}
	return ""
}

// caseNumber is a number at the beginning of a note: "# 141. …" or "# 141, 142. …".
var caseNumber = regexp.MustCompile(`(?m)^# ([0-9]+(?:, [0-9]+)*)\. `)

// testName is the name of a Go test in a reason.
var testName = regexp.MustCompile(`\bTest[A-Z]\w+`)

// Every number of shape-semantics §10 has a case here, or a line in
// testdata/cases/without that says why it has none; and not both. Tests that are
// named there exist.
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
	tests := testNames(t)
	for line := range strings.Lines(string(text)) {
		for _, name := range testName.FindAllString(line, -1) {
			if !tests[name] {
				t.Errorf("without: there is no %s", name)
			}
		}
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

// testNames are the names of all tests of the tree.
func testNames(t *testing.T) map[string]bool {
	all := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Z]\w+)\(t `)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			all[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
