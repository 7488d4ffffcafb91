package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgdev"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// own gives the file a service of its own, and a server if it has settings.
func (c *caseFile) own(input string) {
	c.t.Helper()
	var settings []string
	user, resetwal, cluster := "", "", map[string]string{}
	for line := range strings.Lines(input) {
		line = strings.TrimSpace(line)
		switch name, value, _ := strings.Cut(line, "="); {
		case name == "user":
			user = value
		case name == "resetwal":
			resetwal = value
		case strings.ToUpper(name) == name:
			settings = append(settings, line)
		default:
			cluster[name] = value
		}
	}
	if len(cluster) > 0 || resetwal != "" {
		c.db = pgtest.NewServer(c.t, pgtest.Options{Settings: cluster})
		c.resetWAL(resetwal)
	} else {
		c.db = pgtest.New(c.t)
	}
	c.db.Exec(`CREATE SCHEMA "` + c.schema + `"`)
	address, err := url.Parse(c.db.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	c.db.Exec(tickTable)
	if user != "" {
		c.db.Exec(fmt.Sprintf(`DROP ROLE IF EXISTS %[1]s; CREATE ROLE %[1]s LOGIN REPLICATION; GRANT CREATE ON DATABASE %[2]s TO %[1]s;
			GRANT ALL ON SCHEMA %[3]q TO %[1]s; ALTER TABLE public.tick OWNER TO %[1]s`, user, c.db.Name, c.schema))
		address.User = url.User(user)
	}
	c.s = newService(c.t, address.String(), settings...)
	c.s.readTick()
}

// resetWAL sets the server's counters to other values.
func (c *caseFile) resetWAL(options string) {
	c.t.Helper()
	if options == "" {
		return
	}
	c.postgres("stop")
	if err := c.db.Server.Tool(c.t.Context(), "pg_resetwal", strings.Fields(options)...); err != nil {
		c.t.Fatal(err)
	}
	c.postgres("start")
}

// gone waits until a shape is no more.
func (c *caseFile) gone(s *caseShape) {
	c.t.Helper()
	eventually(c.t, 60*time.Second, "the shape to go", func() error {
		a := send(http.MethodGet, c.s.url, s.query(), "")
		if a.err == nil && a.status == http.StatusOK {
			return errors.New("it is there")
		}
		return a.err
	})
}

// postgres ends and starts the server; connections are made anew.
func (c *caseFile) postgres(how string) {
	c.t.Helper()
	var err error
	switch how {
	case "stop":
		err = c.db.Server.Halt(pgdev.Fast)
	case "kill":
		err = c.db.Server.Kill()
	case "restore", "standby":
		// As after a backup: recovery ends at once, on another timeline; or when the
		// standby is promoted.
		signal := map[string]string{"restore": "recovery.signal", "standby": "standby.signal"}[how]
		err = errors.Join(c.db.Server.Halt(pgdev.Fast),
			os.WriteFile(filepath.Join(filepath.Dir(c.db.Server.LogPath()), signal), nil, 0o644), c.db.Server.Restart(c.t.Context()))
		_ = c.db.Try("SELECT 1")
	case "start":
		err = c.db.Server.Restart(c.t.Context())
		_ = c.db.Try("SELECT 1") // on the connection of before, which is then replaced
	default:
		c.t.Fatalf("postgres %s?", how)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	clear(c.conns)
}

// conn is the connection of that name, with the settings under which Spillway
// reads values.
func (c *caseFile) conn(name string) *pgx.Conn {
	c.t.Helper()
	conn := c.conns[name]
	if conn == nil {
		conn = c.db.Conn()
		c.conns[name] = conn
		if _, err := conn.PgConn().Exec(c.t.Context(), shown+`SET search_path = "`+c.schema+`"`).ReadAll(); err != nil {
			c.t.Fatal(err)
		}
	}
	return conn
}

func (c *caseFile) sql(name, script string) string {
	c.t.Helper()
	return runSQL(c.t.Context(), c.conn(name), script)
}

// runSQL shows rows and errors.
func runSQL(ctx context.Context, conn *pgx.Conn, script string) string {
	results, err := conn.PgConn().Exec(ctx, script).ReadAll()
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

// wait shows what came of SQL in the background.
func (c *caseFile) wait(name string) string {
	c.t.Helper()
	select {
	case out := <-c.jobs[name]:
		return out
	case <-time.After(60 * time.Second):
		c.t.Fatalf("the SQL of %q does not end", name)
		return ""
	}
}

// until asks Postgres until it says t, or the service until its status is that.
func (c *caseFile) until(status, question string) {
	c.t.Helper()
	eventually(c.t, 60*time.Second, question, func() error {
		want, got := status, ""
		if status == "" {
			want, got = "t", strings.TrimSpace(c.sql("", question))
		} else {
			got = strconv.Itoa(send(http.MethodGet, c.s.url, c.params(question), "").status)
		}
		if got != want {
			return fmt.Errorf("the answer is %s", got)
		}
		return nil
	})
}

func (c *caseFile) waiting(number string) {
	c.t.Helper()
	want, err := strconv.Atoi(number)
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, 30*time.Second, number+" to wait", func() error {
		if n := waiters(c.t, c.s); n != want {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
}

// params reads parameters, one a line. handle=$name and offset=$name stand for
// those of a shape.
func (c *caseFile) params(input string) url.Values {
	q := url.Values{}
	for line := range strings.SplitSeq(input, "\n") {
		if line != "" {
			c.param(q, line)
		}
	}
	return q
}

func (c *caseFile) param(q url.Values, text string) {
	k, v, _ := strings.Cut(text, "=")
	if name, ok := strings.CutPrefix(v, "$"); ok && (k == "handle" || k == "offset") {
		f := c.shape(name).f
		v = map[string]string{"handle": f.handle, "offset": f.offset}[k]
	}
	q.Set(k, v)
}
