package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// tailed reads the JSON lines that a tail has printed so far.
func tailed(t *testing.T, p *process) []client.Message {
	t.Helper()
	var out []client.Message
	text := p.out.String()
	text = text[:strings.LastIndexByte(text, '\n')+1]
	for line := range strings.Lines(text) {
		var m client.Message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, m)
	}
	return out
}

func (p *process) untilLines(n int) []client.Message {
	p.t.Helper()
	var got []client.Message
	eventually(p.t, 30*time.Second, fmt.Sprintf("%d lines", n), func() error {
		if got = tailed(p.t, p); len(got) < n {
			return fmt.Errorf("%d lines", len(got))
		}
		return nil
	})
	if len(got) != n {
		p.t.Errorf("%d lines, want %d", len(got), n)
	}
	return got
}

func TestTailLines(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 20))
	s := newService(t, db.URL, "SPILLWAY_INSECURE=false", "SPILLWAY_SECRET=geheim")
	args := func(more ...string) []string {
		return append([]string{"tail", "items", "--url", strings.TrimSuffix(s.url, "/v1/shape")}, more...)
	}
	const secret = "SPILLWAY_SECRET=geheim"

	// What is there, of a filter and columns.
	p := command(t, args("--once", "--where", "id > $1 AND id <= $2", "--param", "3", "--param", "5", "--columns", "id,n"), secret).start()
	if code := p.exit(30 * time.Second); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	const want = `{"key":"\"public\".\"items\"/\"4\"","value":{"id":"4","n":"4"},"headers":{"operation":"insert","relation":["public","items"]}}
{"key":"\"public\".\"items\"/\"5\"","value":{"id":"5","n":"5"},"headers":{"operation":"insert","relation":["public","items"]}}
`
	if p.out.String() != want {
		t.Errorf("it prints\n%s", p.out)
	}

	// Live, until Ctrl-C; then on from there, with the whole rows.
	p = command(t, args("--columns", "id,n"), secret).start()
	p.untilLines(20)
	db.Exec("UPDATE items SET n = 1000 WHERE id = 7")
	if m := p.untilLines(21)[20]; m.Headers.Operation != client.OpUpdate || m.Value["n"].Text != "1000" || len(m.Headers.TxIDs) != 1 {
		t.Errorf("it prints %+v", m)
	}
	p.signal(syscall.SIGINT)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
	m := regexp.MustCompile(`^spillway: to go on from here: --from (\S+)\n$`).FindStringSubmatch(p.err.String())
	if m == nil {
		t.Fatalf("stderr is %q", p.err)
	}
	db.Exec("DELETE FROM items WHERE id = 8")
	p = command(t, args("--columns", "id,n", "--from", m[1], "--poll"), secret).start()
	if m := p.untilLines(1)[0]; m.Headers.Operation != client.OpDelete || m.Value["id"].Text != "8" {
		t.Errorf("it prints %+v", m)
	}

	// From now on, whole rows; the service goes away and comes back, then the table is truncated.
	p = command(t, []string{"tail", "--url", s.url, "--shape", "table=items&replica=full&where=id<100", "--from=now", "--control"}, secret).start()
	if m := p.untilLines(1)[0]; !m.IsUpToDate() {
		t.Errorf("it prints %+v", m)
	}
	s.crash()
	eventually(t, 30*time.Second, "a word about the fault", func() error {
		if !strings.Contains(p.err.String(), "spillway: trying again: ask 127.0.0.1") {
			return fmt.Errorf("stderr is %q", p.err)
		}
		return nil
	})
	s.start()
	db.Exec("UPDATE items SET n = 7 WHERE id = 9")
	sees := func(what string, ok func(m client.Message) bool) {
		t.Helper()
		eventually(t, 60*time.Second, what, func() error {
			all := tailed(t, p)
			for _, m := range all {
				if ok(m) {
					return nil
				}
			}
			return fmt.Errorf("%d lines", len(all))
		})
	}
	sees("the change", func(m client.Message) bool {
		return m.Headers.Operation == client.OpUpdate && m.OldValue["n"].Text == "9" && len(m.Value) == 6
	})
	db.Exec("TRUNCATE items")
	sees("the rotation", func(m client.Message) bool { return m.IsMustRefetch() && m.Headers.Reason != "" })
	conceals(t, p.err.String()+p.out.String(), "geheim")
}

func TestTailRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable)
	s := newService(t, db.URL)
	for want, args := range map[string][]string{
		"which table":             {},
		"--shape says everything": {"items", "--shape=table=items"},
		"--from":                  {"items", "--from=7"},
		"does not exist":          {"nothing"},
		"where: At location":      {"items", "--where=n >"},
		"needs a terminal":        {"items", "--format=table"},
		"Not found":               {"items", "--url", s.admin + "/v1/shape"},
	} {
		p := command(t, append(append([]string{"tail"}, args...), "--url", s.url)).start()
		if strings.Contains(want, "Not found") {
			p = command(t, append([]string{"tail"}, args...)).start()
		}
		if code := p.exit(30 * time.Second); code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
		contains(t, strings.ToLower(p.err.String()), strings.ToLower(want))
	}
}
