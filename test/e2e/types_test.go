package e2e

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// A label that is renamed and an attribute of a composite that comes or goes change
// what SELECT returns of rows that nobody touches: shapes that have such values start
// again, however deep it is in them. A new label changes nothing (case 203).
func TestTypesThatChange(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(`CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN moods AS mood[]; CREATE TYPE pair AS (i int, m mood); CREATE TYPE point3 AS (x int, y int);
		CREATE TABLE v (id int PRIMARY KEY, n int, m mood, ms moods, p pair, d point3[]);
		INSERT INTO v VALUES (1, 1, 'sad', '{sad,ok}', ROW(1, 'sad'), ARRAY[ROW(1, 2)::point3])`)
	s := newService(t, db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	columns := []string{"n", "m", "ms", "p", "d"}
	all := map[string]*follower{}
	for _, c := range columns {
		all[c] = newFollower(s.url, "table", "v", "columns", "id,"+c)
	}
	all["where"] = newFollower(s.url, "table", "v", "columns", "id", "where", "m <= 'ok'")
	check := func(what, rotated string) {
		t.Helper()
		for name, f := range all {
			want := 0
			if strings.Contains(rotated, " "+name+" ") {
				want = 1
			}
			f.until(t, 60*time.Second, what+": "+name, func() error {
				if f.rotations != want {
					return fmt.Errorf("%d rotations, want %d", f.rotations, want)
				}
				if name == "where" {
					return nil
				}
				for key, row := range f.rows {
					id := strings.Trim(key[strings.LastIndex(key, "/")+1:], `"`)
					if got, want := show(row[name]), db.Value("SELECT "+name+" FROM v WHERE id = "+id); got != want {
						return fmt.Errorf("row %s has %s, SELECT %s", id, got, want)
					}
				}
				return nil
			})
			f.rotations = 0
		}
	}
	check("first rows", "")
	for i, c := range []struct{ sql, rotated string }{
		{"ALTER TYPE mood ADD VALUE 'fine' BEFORE 'ok'; ALTER TYPE mood ADD VALUE 'great'", ""},
		{"INSERT INTO v (id, n) VALUES (2, 2)", ""},
		{"ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", " m ms p where "},
		{"ALTER TYPE point3 ADD ATTRIBUTE z int", " d "},
		{"ALTER TYPE pair DROP ATTRIBUTE i", " p "},
		{"ALTER TYPE point3 RENAME ATTRIBUTE z TO h", ""},
	} {
		for sql := range strings.SplitSeq(c.sql, "; ") {
			db.Exec(sql)
		}
		// When the reconciler has noticed this it has seen all that was before it.
		db.Exec("ALTER TABLE v ALTER n TYPE " + []string{"bigint", "int"}[i%2])
		check(c.sql, c.rotated+" n ")
	}
}

// A generated column comes with the stream from Postgres 18 on, if it is stored and the
// publication says so; else a shape can neither have it nor ask for it, and says so
// (cases 22, 23).
func TestGeneratedColumns(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	version, err := strconv.Atoi(db.Value("SHOW server_version_num"))
	if err != nil {
		t.Fatal(err)
	}
	db.Exec("CREATE TABLE g (id int PRIMARY KEY, n int, d int GENERATED ALWAYS AS (n * 2) STORED); INSERT INTO g VALUES (1, 5), (2, 1)")
	s := newService(t, db.URL)
	refused := func(query, text string) {
		t.Helper()
		if code, body := get(t, s.url+"?offset=-1&table="+query); code != 400 || !strings.Contains(body, text) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	const where = "&where=" + "d%3E5"
	if version < 180000 {
		refused("g", `The following columns are generated and cannot be included in the shape: d. You can exclude`)
		refused("g&columns=id,d", `The following columns are generated and cannot be included in the shape: d"`)
		refused("g&columns=id,n"+where, `column \"d\" is generated and not replicated`)
		f := newFollower(s.url, "table", "g", "columns", "id,n")
		f.until(t, 30*time.Second, "a shape without it", func() error { return nil })
		return
	}
	db.Exec("CREATE TABLE virtual (id int PRIMARY KEY, d int GENERATED ALWAYS AS (id * 2) VIRTUAL)")
	refused("virtual", "cannot be included in the shape: d")
	refused("virtual&columns=id"+where, `column \"d\" is generated and not replicated`)
	f := newFollower(s.url, "table", "g", "where", "d > 5", "replica", "full")
	f.until(t, 30*time.Second, "first rows", func() error { return nil })
	db.Exec("INSERT INTO g VALUES (3, 7), (4, 2); UPDATE g SET n = n + 2 WHERE id IN (1, 2); DELETE FROM g WHERE id = 4")
	f.until(t, 30*time.Second, "what is computed", func() error {
		var rows []string
		for _, id := range []string{"1", "2", "3"} {
			if row := f.rows[`"public"."g"/"`+id+`"`]; row != nil {
				rows = append(rows, id+"="+show(row["d"]))
			}
		}
		if got := strings.Join(rows, " "); got != "1=14 2=6 3=14" || f.rotations != 0 {
			return fmt.Errorf("%s, %d rotations", got, f.rotations)
		}
		return nil
	})
	publication := db.Value("SELECT pubname FROM pg_publication")
	db.Exec("ALTER PUBLICATION " + publication + " SET (publish_generated_columns = none); INSERT INTO g VALUES (5, 7)")
	// The next shape is refused, as soon as the old one has gone.
	eventually(t, 30*time.Second, "the shape to end", func() error {
		code, body := get(t, s.url+"?"+url.Values{"table": {"g"}, "offset": {"-1"}, "where": {"d > 5"}, "replica": {"full"}}.Encode())
		if code != 400 || !strings.Contains(body, "cannot be included in the shape: d") {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
}
