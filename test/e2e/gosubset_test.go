package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

func goPairs(s *client.Shape) map[string]string {
	rows := make(map[string]string)
	for _, r := range s.Rows() {
		rows[r["id"].Text] = r["n"].Text
	}
	return rows
}

// A shape of the Go client that holds subsets only: they are loaded, stay live
// under writes, and are read again after a rotation.
func TestGoClientSubsets(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec("CREATE TABLE pairs (id int PRIMARY KEY, n int NOT NULL); INSERT INTO pairs SELECT i, i FROM generate_series(1, 500) i")
	s := newService(t, db.URL)
	shape := goShape(t, client.Options{URL: s.url, Table: "pairs", Log: client.LogChangesOnly, From: client.Now, SSE: true})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for i := range 100 {
			db.Exec(fmt.Sprintf("UPDATE pairs SET n = n + 1 WHERE id IN (%d, %d)", 401+i, 1+i))
		}
	}()
	for _, q := range []client.Subset{{Where: "id > $1", Params: []string{"400"}}, {OrderBy: "id", Limit: 3}} {
		if err := shape.Load(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	<-writing
	const where = " WHERE id > 400 OR id <= 3"
	equal := func(what string) {
		t.Helper()
		eventually(t, 30*time.Second, what, func() error {
			if got, want := goPairs(shape), pairs(db, where); !maps.Equal(got, want) {
				return fmt.Errorf("%d rows, want %d", len(got), len(want))
			}
			return nil
		})
	}
	equal("the subsets under writes")
	db.Exec("TRUNCATE pairs; INSERT INTO pairs SELECT i, -i FROM generate_series(1, 410) i")
	equal("the subsets after a rotation")
}

// A hundred clients whose log ends at one moment find the same new one, and
// Postgres is asked for its rows once (check-list 220).
func TestRefetchStorm(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical", "log_statement": "all"}})
	db.Exec("CREATE TABLE pairs (id int PRIMARY KEY, n int NOT NULL); INSERT INTO pairs SELECT i, i FROM generate_series(1, 50) i")
	s := newService(t, db.URL)
	shapes := make([]*client.Shape, 100)
	for i := range shapes {
		shapes[i] = goShape(t, client.Options{URL: s.url, Table: "pairs", SSE: i%2 == 0})
	}
	same := func(what string) string {
		t.Helper()
		handle := ""
		want := pairs(db, "")
		eventually(t, 60*time.Second, what, func() error {
			handle = shapes[0].Position().Handle
			for i, shape := range shapes {
				if got := goPairs(shape); !maps.Equal(got, want) || shape.Position().Handle != handle {
					return fmt.Errorf("client %d has %d rows of %s, want %d of %s", i, len(got), shape.Position().Handle, len(want), handle)
				}
			}
			return nil
		})
		return handle
	}
	before := same("the first sync")
	if n := snapshots(t, db); n != 1 {
		t.Errorf("the first rows were read %d times", n)
	}
	db.Exec("TRUNCATE pairs; INSERT INTO pairs SELECT i, -i FROM generate_series(1, 40) i")
	if after := same("the rotation"); after == before {
		t.Errorf("the handle is still %s", after)
	}
	if n := snapshots(t, db); n != 2 {
		t.Errorf("the first rows were read %d times, want once for each of two logs", n)
	}
}

// snapshots counts the statements in the server's log that read pairs as
// Spillway does.
func snapshots(t *testing.T, db *pgtest.DB) (n int) {
	t.Helper()
	log, err := os.ReadFile(db.Server.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, ` FROM "public"."pairs"`) {
			n++
		}
	}
	return n
}
