package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

const itemsTable = `
CREATE TABLE items (
  id     bigint PRIMARY KEY,
  n      int,
  body   text,
  flag   boolean,
  amount numeric(12,2),
  at     timestamptz
);`

const itemsRow = `
INSERT INTO items SELECT i, i %% 97, CASE WHEN i %% 11 = 0 THEN NULL ELSE 'row "' || i || '" \ ü' || E'\n' END,
  i %% 3 = 0, i / 7.0, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(%d, %d) i`

// asText is how Go and the official client both print a row of items.
const asText = `SELECT id::text, n::text, body, flag::text, amount::text, (at AT TIME ZONE 'UTC')::text || '+00' FROM items`

// itemsOf reads the table as id → row in one text.
func itemsOf(db *pgtest.DB, where string) map[string]string {
	out := make(map[string]string)
	for _, r := range db.Query(asText + where) {
		out[r[0]] = strings.Join(r, "|")
	}
	return out
}

func sameRows(got, want map[string]string) error {
	if maps.Equal(got, want) {
		return nil
	}
	var diff []string
	for k, w := range want {
		if g, ok := got[k]; !ok {
			diff = append(diff, "missing "+w)
		} else if g != w {
			diff = append(diff, "got "+g+" want "+w)
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			diff = append(diff, "too many: "+g)
		}
	}
	slices.Sort(diff)
	return fmt.Errorf("%d rows, want %d; %d differ, first: %.300s", len(got), len(want), len(diff), diff[0])
}

func heldBy(rows []map[string]*string) map[string]string {
	out := make(map[string]string)
	for _, r := range rows {
		out[*r["id"]] = rowText(r)
	}
	return out
}

func rowText(r map[string]*string) string {
	var cells []string
	for _, c := range []string{"id", "n", "body", "flag", "amount", "at"} {
		v := "NULL"
		if r[c] != nil {
			v = *r[c]
			if c == "flag" {
				v = map[string]string{"t": "true", "f": "false", "true": "true", "false": "false"}[v]
			}
		}
		cells = append(cells, v)
	}
	return strings.Join(cells, "|")
}

func (f *follower) items() map[string]string {
	out := make(map[string]string)
	for _, r := range f.rows {
		out[*r["id"]] = rowText(r)
	}
	return out
}

// writer makes n random transactions on items, over ids 1 to span.
func writer(ctx context.Context, t *testing.T, db *pgtest.DB, seed uint64, n, span int) {
	conn := db.Conn()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		id := 1 + rng.IntN(span)
		var sql string
		switch rng.IntN(6) {
		case 0, 1:
			sql = fmt.Sprintf(itemsRow+` ON CONFLICT (id) DO UPDATE SET n = items.n + 1, body = 'again'`, id, id)
		case 2, 3:
			sql = fmt.Sprintf(`UPDATE items SET n = %d, flag = NOT flag WHERE id BETWEEN %d AND %d`, rng.IntN(100), id, id+rng.IntN(3))
		case 4:
			sql = fmt.Sprintf(`DELETE FROM items WHERE id = %d`, id)
		case 5:
			sql = fmt.Sprintf(`BEGIN; DELETE FROM items WHERE id = %d; SAVEPOINT a; UPDATE items SET body = NULL WHERE id = %d;
				ROLLBACK TO a; UPDATE items SET amount = 1.5, body = repeat('x', %d) WHERE id = %d; COMMIT`, id, id+1, rng.IntN(9000), id+2)
		}
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			if ctx.Err() != nil {
				return
			}
			if !conn.IsClosed() {
				if strings.Contains(err.Error(), "deadlock") {
					continue
				}
				t.Errorf("write: %v", err)
			}
			if conn.IsClosed() {
				conn = reconnect(ctx, t, db)
			}
		}
	}
}

// The official client, unmodified, through a crash of Spillway and a restart of
// Postgres, under writes: no rotation, and at the end what SELECT says.
func TestOfficialClient(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 10_000))
	s := newService(t, db.URL)
	client := follow(t, s.url, map[string]any{"table": "items"})
	part := follow(t, s.url, map[string]any{"table": "items", "where": "n < $1 AND flag", "params": map[string]string{"1": "50"}, "replica": "full"})
	eventually(t, 60*time.Second, "the first sync", func() error {
		return sameRows(heldBy(client.rows().Dump), itemsOf(db, ""))
	})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() { writer(t.Context(), t, db, uint64(w), 250, 12_000) })
	}
	s.crash()
	s.start()
	eventually(t, 60*time.Second, "a change after the crash", func() error {
		if n := client.rows().Messages; n <= 10_001 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	writers.Wait()
	if err := db.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "Postgres to be back", func() error { return db.Try("SELECT 1") })
	for w := range 4 {
		writers.Go(func() { writer(t.Context(), t, db, uint64(10+w), 20, 12_000) })
	}
	writers.Wait()
	eventually(t, 90*time.Second, "the client to equal SELECT", func() error {
		h := client.rows()
		if h.Refetches != 0 {
			t.Fatalf("the client had to start again %d times", h.Refetches)
		}
		return sameRows(heldBy(h.Dump), itemsOf(db, ""))
	})
	eventually(t, 60*time.Second, "the filtered client to equal SELECT", func() error {
		return sameRows(heldBy(part.rows().Dump), itemsOf(db, " WHERE n < 50 AND flag"))
	})
}
