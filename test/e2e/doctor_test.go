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

// The command reads the settings of serve, names every fault, and its exit code says
// whether serve would run. Beside a running service it finds nothing wrong.
func TestDoctor(t *testing.T) {
	t.Parallel()
	bad := command(t, []string{"doctor"}, "DATABASE_URL=postgresql://u:hunter2@127.0.0.1:1/d", "SPILLWAY_LOG_LEVEL=loud", "SPILLWAY_PROT=1", "ELECTRIC_INSECURE=perhaps").start()
	if code := bad.exit(30 * time.Second); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, text := range []string{"SPILLWAY_LOG_LEVEL: \"loud\"", "set SPILLWAY_SECRET", "SPILLWAY_INSECURE: \"perhaps\"", "do you mean SPILLWAY_PORT", "connection refused", "not looked at: server"} {
		if !strings.Contains(bad.out.String(), text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if strings.Contains(bad.out.String()+bad.err.String(), "hunter2") || strings.Contains(bad.out.String(), "\x1b") {
		t.Error("it tells the password, or colours what is no terminal")
	}

	bad = command(t, []string{"doctor"}, "DATABASE_URL=postgresql://u@127.0.0.1:1/d", "SPILLWAY_INSECURE=true", "SPILLWAY_TLS_CERT=/nowhere.pem", "SPILLWAY_TLS_KEY=/nowhere.key").start()
	if code := bad.exit(30 * time.Second); code != 1 || !strings.Contains(bad.out.String(), "SPILLWAY_TLS_CERT, SPILLWAY_TLS_KEY: ") {
		t.Errorf("a certificate that is not there: exit code %d", code)
	}

	db := pgtest.New(t)
	db.Exec("CREATE TABLE items (id int PRIMARY KEY)")
	s := newService(t, db.URL)
	newFollower(s.url, "table", "items").until(t, 30*time.Second, "the first sync", func() error { return nil })
	run := func(code int, args ...string) string {
		t.Helper()
		p := command(t, append([]string{"doctor"}, args...), s.env...).start()
		if got := p.exit(60 * time.Second); got != code {
			t.Errorf("%q: exit code %d", args, got)
		}
		return p.out.String()
	}
	var r struct {
		Findings []struct{ Code, Verdict, Found string }
		Failures int
	}
	if err := json.Unmarshal([]byte(run(0, "--json", "items")), &r); err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for _, f := range r.Findings {
		said[f.Code] += f.Verdict + ": " + f.Found
	}
	for code, text := range map[string]string{
		"data_dir": "ok: ", "port": "by the running service", "slot": "in use by a running service", "slot_lock": "held by the running service",
		"publication": "publishes all operations", "tables": "public.items",
	} {
		if !strings.Contains(said[code], text) {
			t.Errorf("%s: %q, want %q", code, said[code], text)
		}
	}
	if code := "max_slot_wal_keep_size"; !strings.HasPrefix(said[code], "warn") || r.Failures > 0 {
		t.Errorf("%s: %q; %d failures", code, said[code], r.Failures)
	}
	run(1, "--strict", "items")
	if out := run(1, "absent"); !strings.Contains(out, "table_missing") {
		t.Error("a table that is not there is no failure")
	}
	run(2, "a.b.c")
}

// With what --sql prints, run twice by an administrator, a role without any other right
// serves tables, partitions and names that need quotes, and the doctor finds nothing.
func TestDoctorScript(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	role := `least "` + db.Name
	db.Exec(`CREATE SCHEMA "App$$"; CREATE TABLE "App$$"."User's" (id int PRIMARY KEY, note text); INSERT INTO "App$$"."User's" VALUES (1, 'a');
		CREATE TABLE parts (id int, v int) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); INSERT INTO parts VALUES (1, 1);
		CREATE TABLE parts_2 (id int, v int); INSERT INTO parts_2 VALUES (11, 1); ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
		REVOKE ALL ON DATABASE ` + db.Name + ` FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC`)
	quoted := `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
	t.Cleanup(func() {
		db.Exec("DROP OWNED BY " + quoted + "; DROP ROLE " + quoted)
	})
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "p")
	tables := []string{`"App$$"."User's"`, "parts"}
	s := prepareService(t, u.String(), "SPILLWAY_MANUAL_PUBLISHING=true")
	run := func(args ...string) (int, string) {
		p := command(t, append(append([]string{"doctor"}, args...), tables...), s.env...).start()
		return p.exit(60 * time.Second), p.out.String()
	}
	if code, out := run(); code != 1 || !strings.Contains(out, "authentication") {
		t.Errorf("before: exit code %d\n%s", code, out)
	}
	code, script := run("--sql")
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	db.Exec(script)
	db.Exec("ALTER ROLE " + quoted + " NOREPLICATION") // as one that was there before
	const made = "SELECT string_agg(xmin::text, ' ') FROM (SELECT xmin FROM pg_publication UNION ALL SELECT xmin FROM pg_publication_rel) r"
	before := db.Value(made)
	db.Exec(script)
	if after := db.Value(made); after != before {
		t.Error("a second run altered the publication: shapes would start again")
	}
	code, out := run()
	if code != 0 || !strings.Contains(out, "2 can be served") {
		t.Errorf("after: exit code %d\n%s", code, out)
	}
	s.start()
	users := newFollower(s.url, "table", tables[0])
	parts := newFollower(s.url, "table", "parts")
	db.Exec(`UPDATE "App$$"."User's" SET note = 'b'; UPDATE parts SET v = 2`)
	for _, c := range []struct {
		f            *follower
		column, want string
		rows         int
	}{{users, "note", "b", 1}, {parts, "v", "2", 2}} {
		c.f.until(t, 30*time.Second, "the change", func() error {
			found := 0
			for _, row := range c.f.rows {
				if v := row[c.column]; v != nil && *v == c.want {
					found++
				}
			}
			if found == c.rows {
				return nil
			}
			return fmt.Errorf("%d rows with %s = %s", found, c.column, c.want)
		})
	}
	if code, out := run(); code != 0 {
		t.Errorf("beside the service: exit code %d\n%s", code, out)
	}
}
