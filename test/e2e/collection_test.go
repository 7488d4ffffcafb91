package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// collection is a collection of TanStack DB in Node.js, over one shape.
type collection struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan []byte
}

func collect(t *testing.T, url, mode string) *collection {
	t.Helper()
	cmd := exec.Command("node", "collection.mjs", url, mode, `{"table":"pairs"}`)
	cmd.Dir = "../clients"
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("run TanStack DB (see scripts/node.sh): %v", err)
	}
	c := &collection{t: t, in: in, lines: make(chan []byte, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			c.lines <- bytes.Clone(sc.Bytes())
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-done
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("TanStack DB: %v\n%s", err, &stderr)
		}
	})
	return c
}

// ask gives a command and returns the rows that the answer has, id → n.
func (c *collection) ask(command string) map[string]string {
	c.t.Helper()
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		c.t.Fatal(err)
	}
	var a struct {
		Dump  []struct{ ID, N string }
		Error string
	}
	select {
	case line, ok := <-c.lines:
		if !ok {
			c.t.Fatal("TanStack DB has ended")
		}
		if err := json.Unmarshal(line, &a); err != nil {
			c.t.Fatalf("TanStack DB said %.200s: %v", line, err)
		}
	case <-time.After(60 * time.Second):
		c.t.Fatalf("TanStack DB does not answer %q", command)
	}
	if a.Error != "" {
		c.t.Fatalf("%s: %s", command, a.Error)
	}
	rows := make(map[string]string)
	for _, r := range a.Dump {
		rows[r.ID] = r.N
	}
	return rows
}

// pairs reads the table as id → n.
func pairs(db *pgtest.DB, where string) map[string]string {
	rows := make(map[string]string)
	for _, r := range db.Query("SELECT id::text, n::text FROM pairs" + where) {
		rows[r[0]] = r[1]
	}
	return rows
}

func (c *collection) equals(db *pgtest.DB, what, where string) {
	c.t.Helper()
	eventually(c.t, 60*time.Second, what, func() error {
		if got, want := c.ask("rows"), pairs(db, where); !maps.Equal(got, want) {
			return fmt.Errorf("it holds %d rows, want %d", len(got), len(want))
		}
		return nil
	})
}

// TanStack DB in its modes: first sync, live changes, transactions by their
// number, a crash, a rotation; on demand only the rows that a query asks for.
func TestTanStackDB(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"eager", "progressive", "on-demand"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			db.Exec("CREATE TABLE pairs (id int PRIMARY KEY, n int NOT NULL); INSERT INTO pairs SELECT i, i FROM generate_series(1, 500) i")
			s := newService(t, db.URL)
			write := func(sql string) string { // and the number of its transaction
				xid := db.Value("WITH x AS (" + sql + " RETURNING id) SELECT max(pg_current_xact_id()::text) FROM x")
				if _, err := strconv.ParseUint(xid, 10, 32); err != nil {
					t.Fatal(err)
				}
				return xid
			}
			before := write("INSERT INTO pairs VALUES (1000, 1000)")
			c := collect(t, s.url, mode)
			where := ""
			if mode == "on-demand" {
				where = " WHERE n >= 300"
				c.ask("load 300")
			}
			during := write("UPDATE pairs SET n = n + 1000 WHERE id BETWEEN 400 AND 410")
			c.equals(db, "the first sync", where)
			// In progressive mode the collection (0.4.10) drops the snapshot-end of its
			// first sync, which tells it of the transactions in the first rows; on
			// demand there are no first rows.
			if mode == "eager" {
				c.ask("tx " + before)
				c.ask("tx " + during)
			}
			after := write("UPDATE pairs SET n = n + 1 WHERE id > 490")
			c.ask("tx " + after)
			c.equals(db, "live changes", where)
			db.Exec("DELETE FROM pairs WHERE id = 495; INSERT INTO pairs VALUES (2000, 2000)")
			s.kill()
			s.start()
			db.Exec("UPDATE pairs SET n = n + 1 WHERE id = 499")
			c.equals(db, "a crash", where)
			db.Exec("TRUNCATE pairs; INSERT INTO pairs SELECT i, i FROM generate_series(290, 310) i")
			c.equals(db, "a rotation", where)
		})
	}
}
