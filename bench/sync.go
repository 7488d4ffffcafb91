package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const rounds = 3

func median[T int64 | float64 | time.Duration](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

// count counts what is written to it.
type count int64

func (c *count) Write(p []byte) (int, error) { *c += count(len(p)); return len(p), nil }

// firstSync measures the first sync of a large table, by a fresh shape and on
// the existing one, against Postgres making the same JSON.
func (r *run) firstSync(ctx context.Context) error {
	err := r.exec(ctx, fmt.Sprintf(`CREATE TABLE docs (id bigint PRIMARY KEY, owner int NOT NULL, title text NOT NULL, body text, at timestamptz NOT NULL);
		INSERT INTO docs SELECT i, i %% 1000, 'Document number ' || i, 'Some words about it, enough to fill a line: ' || md5(i::text) , now()
		FROM generate_series(1, %d) i`, r.rows))
	if err != nil {
		return err
	}
	if err := r.exec(ctx, `VACUUM ANALYZE docs`); err != nil {
		return err
	}
	var fresh, again, copied []time.Duration
	var size, copySize int64
	var cpu time.Duration
	for n := range rounds {
		var c count
		began := time.Now()
		if _, err := r.db.PgConn().CopyTo(ctx, &c, "COPY (SELECT row_to_json(t) FROM docs t) TO STDOUT"); err != nil {
			return err
		}
		copied, copySize = append(copied, time.Since(began)), int64(c)

		params := []string{"table", "docs", "where", fmt.Sprintf("id > %d", -n)} // a shape of its own each time
		w := walk(params...)
		before := r.svc.cpu()
		began = time.Now()
		if err := w.all(ctx); err != nil {
			return err
		}
		fresh = append(fresh, time.Since(began))
		cpu = r.svc.cpu() - before
		if w.messages != r.rows {
			return fmt.Errorf("%d rows of %d", w.messages, r.rows)
		}
		w = walk(params...)
		began = time.Now()
		if err := w.all(ctx); err != nil {
			return err
		}
		again, size = append(again, time.Since(began)), w.bytes
	}
	f, a, c := median(fresh), median(again), median(copied)
	mb := func(n int64, d time.Duration) string {
		return fmt.Sprintf("%.2f s, %.0f MB/s", d.Seconds(), float64(n)/1e6/d.Seconds())
	}
	row(fmt.Sprintf("first sync of %d rows, fresh shape (%.1f CPU s)", r.rows, cpu.Seconds()), mb(size, f),
		"COPY row_to_json: "+mb(copySize, c), fmt.Sprintf("%.2f", c.Seconds()/f.Seconds()))
	row("the same on the existing shape", mb(size, a), "COPY row_to_json: "+mb(copySize, c), fmt.Sprintf("%.2f", c.Seconds()/a.Seconds()))
	return nil
}
