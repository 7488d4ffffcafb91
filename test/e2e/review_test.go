package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// A table that was looked up, has no shape and changes: the stream never speaks
// of it, and the first shape must be made all the same.
func TestTableChangesUnseen(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE wider (id int PRIMARY KEY); CREATE TABLE remade (id int PRIMARY KEY)")
	s := newService(t, db.URL)
	for table, sql := range map[string]string{
		"wider":  "ALTER TABLE wider ADD COLUMN extra int; INSERT INTO wider VALUES (1, 2)",
		"remade": "DROP TABLE remade; CREATE TABLE remade (id int PRIMARY KEY); INSERT INTO remade VALUES (1)",
	} {
		resp, err := http.Get(s.url + "?offset=-1&where=nonsense&table=" + table) // known from now on
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Fatalf("a clause that is wrong: %s", resp.Status)
		}
		db.Exec(sql)
		f := newFollower(s.url, "table", table)
		f.until(t, 15*time.Second, "first rows after: "+sql, func() error {
			if len(f.rows) != 1 {
				return fmt.Errorf("%d rows, want 1", len(f.rows))
			}
			return nil
		})
	}
}
