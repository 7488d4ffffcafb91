package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

func reconnect(ctx context.Context, t *testing.T, db *pgtest.DB) *pgx.Conn {
	for {
		conn, err := pgx.Connect(ctx, db.URL)
		if err == nil {
			t.Cleanup(func() { conn.Close(context.Background()) })
			return conn
		}
		select {
		case <-ctx.Done():
			t.Fatalf("reconnect: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// seed is random, printed, and can be given back as SEED.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", n)
	return n
}

// 50 crashes at random moments under load: followers of three shapes go on
// without a rotation, a gap or a doubled row, and what they hold equals SELECT
// each time.
func TestCrashes(t *testing.T) {
	t.Parallel()
	crashes := 50
	if testing.Short() {
		crashes = 5
	}
	rng := rand.New(rand.NewPCG(seed(t), 2))
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 500))
	s := newService(t, db.URL, "SPILLWAY_CHUNK_BYTES=20000")
	shapes := []struct {
		f     *follower
		where string
	}{
		{newFollower(s.url, "table", "items"), ""},
		{newFollower(s.url, "table", "items", "where", "n < 50", "replica", "full"), " WHERE n < 50"},
		{newFollower(s.url, "table", "items", "where", "flag AND body IS NOT NULL"), " WHERE flag AND body IS NOT NULL"},
	}
	equal := func(i int) func() error {
		return func() error { return sameRows(shapes[i].f.items(), itemsOf(db, shapes[i].where)) }
	}
	for i := range shapes {
		shapes[i].f.until(t, 30*time.Second, "the first sync", equal(i))
	}
	for n := range crashes {
		var load sync.WaitGroup
		for w := range 2 {
			load.Go(func() { writer(t.Context(), t, db, rng.Uint64()+uint64(w), 60, 600) })
		}
		pause := time.After(time.Duration(rng.IntN(60)) * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range shapes {
			load.Go(func() {
				for ctx.Err() == nil {
					if _, err := shapes[i].f.step(ctx); err != nil {
						if _, ok := err.(*passing); !ok {
							t.Errorf("crash %d: %v", n, err)
						}
						return
					}
				}
			})
		}
		<-pause
		s.kill()
		cancel()
		s.start()
		load.Wait()
		for i := range shapes {
			shapes[i].f.until(t, 30*time.Second, fmt.Sprintf("equality after crash %d", n), equal(i))
			if r := shapes[i].f.rotations; r != 0 {
				t.Fatalf("crash %d: shape %d was rotated", n, i)
			}
		}
	}
}

// A reader follows while the writer is far ahead, with small chunks and
// single-row transactions: nothing is missed or doubled at a chunk's end.
func TestChunkBoundaries(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE ticks (id int PRIMARY KEY, body text)`)
	s := newService(t, db.URL, "SPILLWAY_CHUNK_BYTES=10000")
	f := newFollower(s.url, "table", "ticks")
	f.until(t, 30*time.Second, "the empty shape", func() error { return nil })
	var load sync.WaitGroup
	load.Go(func() {
		conn := db.Conn()
		sql := fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO ticks VALUES (i, 'tick ' || i); COMMIT; END LOOP; END $$`, rows)
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Errorf("write: %v", err)
		}
	})
	f.until(t, 120*time.Second, "all rows", func() error {
		if n := len(f.rows); n != rows {
			return fmt.Errorf("%d rows of %d", n, rows)
		}
		return nil
	})
	load.Wait()
	if f.rotations != 0 {
		t.Fatalf("%d rotations", f.rotations)
	}
	again := newFollower(s.url, "table", "ticks")
	again.until(t, 60*time.Second, "a second walk", func() error { return nil })
	if len(again.rows) != rows || len(again.order) != len(f.order) {
		t.Fatalf("a second walk holds %d rows of %d messages, the first %d of %d", len(again.rows), len(again.order), len(f.rows), len(f.order))
	}
	for i := range f.order {
		if f.order[i] != again.order[i] {
			t.Fatalf("message %d is at %s in one walk and at %s in the other", i, f.order[i], again.order[i])
		}
	}
}
