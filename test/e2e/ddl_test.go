package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// What a DDL does to shapes (shape-semantics §3.7, cases 190 to 204). The kinds of
// shapes: A all columns; S columns=id,title; T the same with a WHERE on title; W the
// same with a WHERE on n, which is not selected.
var ddlKinds = map[byte]url.Values{
	'A': {},
	'S': {"columns": {"id,title"}},
	'T': {"columns": {"id,title"}, "where": {"title <> 'zz'"}},
	'W': {"columns": {"id,title"}, "where": {"n > 0"}},
}

// ddls are for a table %[1]s (id int PRIMARY KEY, title text, n int, extra text,
// code varchar(5), m mood); rotates names the kinds that start again. then is the
// write that follows on an active table, if not an INSERT of id and title.
var ddls = []struct{ rotates, sql, then string }{
	{"A", "ALTER TABLE %[1]s ADD COLUMN z int", ""},
	{"A", "ALTER TABLE %[1]s ADD COLUMN z int NOT NULL DEFAULT 7", ""},
	{"A", "ALTER TABLE %[1]s ADD COLUMN g int GENERATED ALWAYS AS (n * 2) STORED", ""},
	{"A", "ALTER TABLE %[1]s DROP COLUMN extra", ""},
	{"AW", "ALTER TABLE %[1]s DROP COLUMN n", ""},
	{"ASTW", "ALTER TABLE %[1]s DROP COLUMN title", "INSERT INTO %[1]s (id) VALUES (9)"},
	{"A", "ALTER TABLE %[1]s RENAME COLUMN extra TO spare", ""},
	{"AW", "ALTER TABLE %[1]s RENAME COLUMN n TO m2", ""},
	{"ASTW", "ALTER TABLE %[1]s RENAME COLUMN title TO name", "INSERT INTO %[1]s (id) VALUES (9)"},
	{"A", "ALTER TABLE %[1]s DROP m, ADD m mood", ""}, // another one of that name
	{"AW", "ALTER TABLE %[1]s DROP n, ADD n int DEFAULT 1", ""},
	{"ASTW", "ALTER TABLE %[1]s RENAME title TO x; ALTER TABLE %[1]s RENAME extra TO title; ALTER TABLE %[1]s RENAME x TO extra", ""},
	{"AW", "ALTER TABLE %[1]s ALTER n TYPE bigint", ""},
	{"ASTW", "ALTER TABLE %[1]s ALTER title TYPE varchar(20)", ""},
	{"A", "ALTER TABLE %[1]s ALTER code TYPE varchar(9)", ""},
	{"ASTW", "ALTER TABLE %[1]s ALTER id TYPE bigint", ""},
	{"AW", "ALTER TABLE %[1]s ALTER n TYPE int USING n + 1", ""}, // only the rows are others
	{"ASTW", "ALTER TABLE %[1]s ALTER title TYPE text USING title || '!'", ""},
	{"", "ALTER TABLE %[1]s ALTER code TYPE varchar(5)", ""},
	{"", "VACUUM FULL %[1]s", ""},
	{"", "ALTER TABLE %[1]s ALTER title SET NOT NULL", ""},
	{"", "ALTER TABLE %[1]s ALTER title SET DEFAULT 'q'", ""},
	{"", "COMMENT ON COLUMN %[1]s.title IS 'words'", ""},
	{"", "CREATE INDEX ON %[1]s (title)", ""},
	{"", "ALTER TABLE %[1]s ADD UNIQUE (title)", ""},
	{"", "ALTER TABLE %[1]s ADD CHECK (id > 0)", ""},
	{"", "ALTER TABLE %[1]s ADD FOREIGN KEY (n) REFERENCES %[1]s (id) NOT VALID", ""},
	{"", "ALTER TABLE %[1]s ENABLE ROW LEVEL SECURITY", ""},
	{"", "ALTER TABLE %[1]s REPLICA IDENTITY DEFAULT", ""},
	{"", "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'calm'", ""},
	{"", "CLUSTER %[1]s USING %[1]s_pkey", ""},
	{"", "CREATE TRIGGER t BEFORE UPDATE ON %[1]s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", ""},
	{"ASTW", "ALTER TABLE %[1]s DROP CONSTRAINT %[1]s_pkey", ""},
	{"ASTW", "ALTER TABLE %[1]s DROP CONSTRAINT %[1]s_pkey, ADD PRIMARY KEY (title, id)", ""},
	{"ASTW", "ALTER TABLE %[1]s DROP CONSTRAINT %[1]s_pkey, ADD PRIMARY KEY (id) DEFERRABLE", ""},
	{"ASTW", "ALTER TABLE %[1]s RENAME TO %[1]s_new", "INSERT INTO %[1]s_new (id, title) VALUES (9, 'x')"},
	{"ASTW", "ALTER TABLE %[1]s SET SCHEMA other", "INSERT INTO other.%[1]s (id, title) VALUES (9, 'x')"},
	{"ASTW", "DROP TABLE %[1]s", "SELECT 1"},
	{"ASTW", "DROP TABLE %[1]s; CREATE TABLE %[1]s (id int PRIMARY KEY, title text, n int, extra text, code varchar(5), m mood)", ""},
	{"ASTW", "TRUNCATE %[1]s", ""},
	{"ASTW", "DO $$BEGIN EXECUTE 'ALTER PUBLICATION ' || (SELECT quote_ident(pubname) FROM pg_publication WHERE pubname LIKE 'spillway%') || ' DROP TABLE %[1]s'; END$$", ""},
}

func TestSchemaChanges(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE SCHEMA other; CREATE TYPE mood AS ENUM ('sad', 'glad')")
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	create := func(name string) {
		db.Exec(fmt.Sprintf("CREATE TABLE %[1]s (id int PRIMARY KEY, title text, n int, extra text, code varchar(5), m mood); INSERT INTO %[1]s VALUES (1, 'a', 1, 'x', 'c', 'sad')", name))
	}
	type made struct {
		what, table string
		kind        byte
		rotates     bool
		handle      string
	}
	var all []*made
	table := func(i int, active bool) string { return fmt.Sprintf("t%d_%t", i, active) }
	for i, d := range ddls {
		for _, active := range []bool{true, false} {
			create(table(i, active))
			for kind := range ddlKinds {
				all = append(all, &made{what: fmt.Sprintf("%s (active: %t)", d.sql, active), table: table(i, active), kind: kind,
					rotates: strings.IndexByte(d.rotates, kind) >= 0})
			}
		}
	}
	for _, name := range []string{"first", "second"} {
		create(name)
		all = append(all, &made{what: name, table: name, kind: 'A', rotates: true})
	}
	get := func(m *made, offset string) (int, string) {
		q := url.Values{"table": {m.table}, "offset": {offset}}
		for k, v := range ddlKinds[m.kind] {
			q[k] = v
		}
		if m.handle != "" {
			q.Set("handle", m.handle)
		}
		resp, err := http.Get(s.url + "?" + q.Encode())
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		return resp.StatusCode, resp.Header.Get("electric-handle")
	}
	var making sync.WaitGroup
	for part := range slices.Chunk(all, len(all)/8+1) {
		making.Go(func() {
			for _, m := range part {
				status, handle := get(m, "-1")
				if m.handle = handle; status != http.StatusOK {
					t.Errorf("%s: shape %c: status %d", m.what, m.kind, status)
				}
			}
		})
	}
	making.Wait()
	for i, d := range ddls {
		for _, active := range []bool{true, false} {
			name := table(i, active)
			db.Exec(strings.ReplaceAll(d.sql, "%[1]s", name))
			if then := d.then; active {
				if then == "" {
					then = "INSERT INTO %[1]s (id, title) VALUES (9, 'x')"
				}
				db.Exec(strings.ReplaceAll(then, "%[1]s", name))
			}
		}
	}
	gone := func(m *made) bool {
		status, _ := get(m, "0_inf")
		return status != http.StatusOK
	}
	wait := func(m *made) {
		eventually(t, 60*time.Second, fmt.Sprintf("shape %c to go after %s", m.kind, m.what), func() error {
			if !gone(m) {
				return fmt.Errorf("it is there")
			}
			return nil
		})
	}
	for _, m := range all[:len(all)-2] {
		if m.rotates {
			wait(m)
		}
	}
	// The reconciler looks at all tables in one go: when it has noticed the second of
	// these it has seen everything that was done before the first.
	for _, m := range all[len(all)-2:] {
		db.Exec("ALTER TABLE " + m.table + " ADD COLUMN z int")
		wait(m)
	}
	for _, m := range all {
		if !m.rotates && gone(m) {
			t.Errorf("%s: shape %c was rotated", m.what, m.kind)
		}
	}
}
