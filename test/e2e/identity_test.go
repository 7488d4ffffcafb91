package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// A replica identity that is not FULL is put right; what was lost by then rotates
// the shapes of that table and no others (cases 188, 189; 204 for operations that
// the publication leaves out).
func TestIdentities(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE boats (id int PRIMARY KEY, region text, v text); ALTER TABLE boats REPLICA IDENTITY NOTHING; INSERT INTO boats VALUES (1, 'a', 'x');
		CREATE TABLE other (id int PRIMARY KEY, region text, v text); INSERT INTO other VALUES (1, 'a', 'x')`)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	boats, other := newFollower(s.url, "table", "boats"), newFollower(s.url, "table", "other")
	check := func(what string, ofBoats, ofOther int) {
		t.Helper()
		for f, want := range map[*follower]int{boats: ofBoats, other: ofOther} {
			f.until(t, 60*time.Second, what, func() error {
				if f.rotations != want {
					return fmt.Errorf("%d rotations of %s, want %d", f.rotations, f.params.Get("table"), want)
				}
				got := ""
				for _, row := range f.rows {
					got = *row["v"]
				}
				if v := db.Value("SELECT v FROM " + f.params.Get("table")); got != v {
					return fmt.Errorf("got %s, want %s", got, v)
				}
				return nil
			})
		}
	}
	full := func() {
		t.Helper()
		eventually(t, 30*time.Second, "the identity to be FULL again", func() error {
			if i := db.Value("SELECT relreplident FROM pg_class WHERE oid = 'boats'::regclass"); i != "f" {
				return fmt.Errorf("it is %s", i)
			}
			return nil
		})
	}
	check("first rows", 0, 0)
	full()
	db.Exec("UPDATE boats SET v = 'y'")
	check("an update", 0, 0)
	db.Exec("ALTER TABLE boats REPLICA IDENTITY DEFAULT")
	full()
	db.Exec("UPDATE boats SET v = 'z'; UPDATE other SET v = 'z'")
	check("an update after the identity was set back", 0, 0)
	db.Exec("BEGIN; ALTER TABLE boats REPLICA IDENTITY DEFAULT; UPDATE boats SET v = 'w'; UPDATE other SET v = 'w'; COMMIT")
	check("an update without its old row", 1, 0)
	full()
	publication := db.Value("SELECT pubname FROM pg_publication")
	db.Exec("ALTER PUBLICATION " + publication + " SET (publish = 'insert')")
	eventually(t, 30*time.Second, "shapes to go whose updates are not published", func() error {
		if status, body := ask(t, s, "boats"); status != http.StatusServiceUnavailable ||
			!strings.Contains(body, `does not publish all required operations: INSERT, UPDATE, DELETE, TRUNCATE`) {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	db.Exec("UPDATE boats SET v = 'unseen'; UPDATE other SET v = 'unseen'")
	db.Exec("ALTER PUBLICATION " + publication + " SET (publish = 'insert, update, delete, truncate')")
	check("operations that were not published", 2, 1)
}

// A large value that an update does not touch is not in the stream; the old row has it,
// if the replica identity is FULL. Whatever else it is, no client is told that the value
// is gone or another: the shape starts again (shape-semantics §3.2).
func TestLargeValuesAndIdentities(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	identities := []struct {
		name, sql string
		rotations int
	}{
		{"whole", "FULL", 0}, {"key", "DEFAULT", 1}, {"other", "USING INDEX other_other", 1},
	}
	for _, c := range identities {
		db.Exec(fmt.Sprintf(`CREATE TABLE %[1]s (id int PRIMARY KEY, other int NOT NULL, n int, body text); CREATE UNIQUE INDEX %[1]s_other ON %[1]s (other);
			ALTER TABLE %[1]s ALTER body SET STORAGE EXTERNAL; INSERT INTO %[1]s SELECT i, i, 0, repeat(i::text, 50000) FROM generate_series(1, 2) i`, c.name))
	}
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	for _, c := range identities {
		shapes := []*follower{newFollower(s.url, "table", c.name), newFollower(s.url, "table", c.name, "replica", "full", "where", "body LIKE '1%' OR n > 0")}
		check := func(what string, rotations int) {
			t.Helper()
			for i, f := range shapes {
				f.until(t, 60*time.Second, c.name+": "+what, func() error {
					if f.rotations != rotations {
						return fmt.Errorf("%d rotations, want %d", f.rotations, rotations)
					}
					got := 0
					for key, row := range f.rows {
						id := strings.Trim(key[strings.LastIndex(key, "/")+1:], `"`)
						if show(row["body"])+show(row["n"]) != db.Value("SELECT body || n FROM "+c.name+" WHERE id = "+id) {
							return fmt.Errorf("row %s has another value, of %d bytes", id, len(show(row["body"])))
						}
						got++
					}
					if want := db.Value("SELECT count(*) FROM " + c.name + []string{"", " WHERE body LIKE '1%' OR n > 0"}[i]); fmt.Sprint(got) != want {
						return fmt.Errorf("%d rows, want %s", got, want)
					}
					return nil
				})
			}
		}
		check("first rows", 0)
		db.Exec("UPDATE " + c.name + " SET n = n + 1 WHERE id = 1")
		check("an update of another column", 0)
		db.Exec("BEGIN; ALTER TABLE " + c.name + " REPLICA IDENTITY " + c.sql + "; UPDATE " + c.name + " SET n = n + 1; UPDATE " + c.name + " SET id = id + 10, other = other + 10; COMMIT")
		check("updates with another identity", c.rotations)
		db.Exec("UPDATE " + c.name + " SET body = repeat('z', 60000) WHERE id = 11; DELETE FROM " + c.name + " WHERE id = 12")
		check("the value itself", c.rotations)
	}
}

// With SPILLWAY_MANUAL_PUBLISHING nothing is changed, and each answer says what is
// missing.
func TestManualPublishing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE boats (id int PRIMARY KEY, v text); CREATE PUBLICATION spillway_publication_" + streamID(t))
	s := newService(t, db.URL, "ELECTRIC_MANUAL_TABLE_PUBLISHING=true")
	p := "spillway_publication_" + streamID(t)
	for _, c := range []struct {
		sql    string
		status int
		text   string
	}{
		{"SELECT 1", 503, `Database table \"public.boats\" is missing from the publication \"` + p + `\" and the SPILLWAY_MANUAL_PUBLISHING setting prevents Spillway from adding it`},
		{"ALTER PUBLICATION " + p + " ADD TABLE boats (id, v)", 503, `Publication \"` + p + `\" has a row filter or a column list for table \"public.boats\"`},
		{"ALTER PUBLICATION " + p + " SET TABLE boats WHERE (id > 0)", 503, `Publication \"` + p + `\" has a row filter or a column list for table \"public.boats\"`},
		{"ALTER PUBLICATION " + p + " SET TABLE boats", 503, `Database table \"public.boats\" does not have its replica identity set to FULL`},
		{"ALTER TABLE boats REPLICA IDENTITY FULL", 200, ""},
	} {
		db.Exec(c.sql)
		// A request that comes while the last failure is cleared away shares it.
		eventually(t, 30*time.Second, "the answer after "+c.sql, func() error {
			if status, body := ask(t, s, "boats"); status != c.status || !strings.Contains(body, c.text) {
				return fmt.Errorf("status %d, body %s; want %d, %s", status, body, c.status, c.text)
			}
			return nil
		})
	}
}

// ask makes one first request.
func ask(t *testing.T, s *service, table string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(s.url + "?offset=-1&table=" + table)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
