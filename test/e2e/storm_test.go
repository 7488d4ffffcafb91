package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// Check-list 220: a hundred clients of a shape that rotates get the new rows, and
// Postgres is asked for them once.
func TestRotationStorm(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical", "log_statement": "all"}})
	db.Exec("CREATE TABLE pairs (id int PRIMARY KEY, n int NOT NULL); INSERT INTO pairs SELECT i, i FROM generate_series(1, 500) i")
	s := newService(t, db.URL)
	var clients []*client.Shape
	for i := range 100 {
		clients = append(clients, goShape(t, client.Options{URL: s.url, Table: "pairs", SSE: i%2 == 0}))
	}
	equal := func(what string, rows int) (handle string) {
		t.Helper()
		eventually(t, 60*time.Second, what, func() error {
			handles := make(map[string]int)
			for i, c := range clients {
				if c.Len() != rows {
					return fmt.Errorf("client %d holds %d rows", i, c.Len())
				}
				handle = c.Position().Handle
				handles[handle]++
			}
			if len(handles) != 1 {
				return fmt.Errorf("handles %v", handles)
			}
			return nil
		})
		return handle
	}
	reads := func() (n int) {
		t.Helper()
		log, err := os.ReadFile(db.Server.LogPath())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, `FROM ONLY "public"."pairs"`) || strings.Contains(line, `FROM "public"."pairs"`) {
				n++
			}
		}
		return n
	}
	first := equal("the first sync", 500)
	if n := reads(); n != 1 {
		t.Errorf("the rows were read %d times for the first sync, want once", n)
	}
	db.Exec("TRUNCATE pairs; INSERT INTO pairs SELECT i, i FROM generate_series(1, 300) i")
	if second := equal("the rotation", 300); second == first {
		t.Errorf("the handle is %s still", second)
	}
	if n := reads(); n != 2 {
		t.Errorf("the rows were read %d times, want once more", n)
	}
}
