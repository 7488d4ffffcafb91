package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The command finds nothing while writes go on, whatever the shapes are, and finds
// each kind of difference, which it is shown by comparing with another database.
func TestVerify(t *testing.T) {
	t.Parallel()
	db, other := pgtest.New(t), pgtest.New(t)
	for _, d := range []*pgtest.DB{db, other} {
		d.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 200) + `; CREATE TABLE nokey (a int, b text); INSERT INTO nokey VALUES (1, NULL), (2, 'two');
			CREATE TABLE wide (id int PRIMARY KEY, a text); INSERT INTO wide SELECT i, md5(i::text) FROM generate_series(1, 20000) i`)
	}
	s := newService(t, db.URL)
	for _, params := range [][]string{
		{"table", "items"}, {"table", "items", "where", "id < 100 AND n IS NOT NULL", "replica", "full"},
		{"table", "items", "columns", "id,n"}, {"table", "nokey"}, {"table", "items", "log", "changes_only"}, {"table", "wide"},
	} {
		newFollower(s.url, params...).until(t, 30*time.Second, "the first sync", func() error { return nil })
	}
	db.Exec("INSERT INTO nokey VALUES (3, 'twin'), (3, 'twin')") // equal rows
	// SELECT is all that is needed.
	db.Exec(fmt.Sprintf("CREATE ROLE looker_%[1]s LOGIN PASSWORD 'p'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker_%[1]s; ALTER ROLE looker_%[1]s SET DateStyle = 'German'", db.Name))
	t.Cleanup(func() { db.Exec("DROP OWNED BY looker_" + db.Name + "; DROP ROLE looker_" + db.Name) })
	looker, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	looker.User = url.UserPassword("looker_"+db.Name, "p")
	w := watchAcks(t, db, `UPDATE items SET n = n + 1 WHERE id IN (SELECT (random() * 200)::int FROM generate_series(1, 20));
		DELETE FROM items WHERE id = 150; INSERT INTO items (id, n) VALUES (150, 1); UPDATE nokey SET b = b || 'x' WHERE a = 2; DELETE FROM nokey WHERE ctid = (SELECT min(ctid) FROM nokey WHERE a = 3); INSERT INTO nokey VALUES (3, 'twin')`)
	run := func(url string, more ...string) (int, string) {
		p := command(t, append([]string{"verify", "--url", strings.TrimSuffix(s.url, "/v1/shape")}, more...),
			"DATABASE_URL="+url, "SPILLWAY_ADMIN_ADDR="+strings.TrimPrefix(s.admin, "http://")).start()
		return p.exit(60 * time.Second), p.out.String() + p.err.String()
	}
	for range 5 {
		if code, out := run(looker.String(), "--memory", "1MiB"); code != 0 || !strings.Contains(out, "5 shapes") || !strings.Contains(out, ": 0 differ") {
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	w.promise()
	other.Exec("DELETE FROM items WHERE id <> 1; UPDATE items SET n = -5; INSERT INTO items (id, n) VALUES (1000, 1)")
	code, out := run(other.URL, "--json", "--sample", "9")
	if code != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
	found := 0
	for line := range strings.Lines(out) {
		var r struct {
			Differing int
			Extra     []string
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.Differing > 0 && len(r.Extra) > 0 {
			found++
		}
	}
	if found < 3 {
		t.Errorf("%d shapes differ: %.2000s", found, out)
	}
	if code, out := run(db.URL, "no-such-handle"); code == 0 || !strings.Contains(out, "no-such-handle") {
		t.Errorf("an unknown handle: exit code %d: %s", code, out)
	}
}
