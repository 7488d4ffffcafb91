package pgquery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/shape"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const pub = "spillway_test"

// open opens a DB on a test's database.
func open(t testing.TB, pg *pgtest.DB, change ...func(*Config)) *DB {
	t.Helper()
	cfg := Config{URL: pg.URL, PoolSize: 8, Publication: pub, LockLimit: 300 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	db, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func table(t testing.TB, db *DB, name string) *shape.Table {
	t.Helper()
	tab, err := db.Table(t.Context(), "public", name)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// all is the definition of a whole table.
func all(tab *shape.Table) *shape.Def {
	def := &shape.Def{Table: tab, AllColumns: true}
	for i := range tab.Columns {
		def.Columns = append(def.Columns, i)
	}
	return def
}

// role makes a login role for one test and gives the URL to log in as it.
func role(t testing.TB, pg *pgtest.DB, attributes string) (name, url string) {
	t.Helper()
	name = "role_" + pg.Name
	pg.Exec("create role " + name + " login " + attributes)
	t.Cleanup(func() {
		pg.Exec("reassign owned by " + name + " to postgres; drop owned by " + name + "; drop role " + name)
	})
	return name, strings.Replace(pg.URL, "postgres@", name+"@", 1)
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !cond() {
		if sleep(ctx, 5*time.Millisecond) != nil {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// waitsForLock waits until some session waits for a lock on the relation.
func waitsForLock(t testing.TB, pg *pgtest.DB, relation string) {
	t.Helper()
	eventually(t, "somebody waits for a lock on "+relation, func() bool {
		return pg.Value(fmt.Sprintf("select count(*) from pg_locks where not granted and relation = '%s'::regclass", relation)) != "0"
	})
}
