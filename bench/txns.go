package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// throughput measures how fast a backlog passes through one shape to a live
// client, against pg_recvlogical writing the same to /dev/null.
func (r *run) throughput(ctx context.Context) error {
	if err := r.exec(ctx, `CREATE TABLE ticks (id bigserial PRIMARY KEY, project int, title text, done bool, price numeric(12,2), at timestamptz)`); err != nil {
		return err
	}
	const insert = `INSERT INTO ticks (project, title, done, price, at) SELECT i %% 100, 'tick number ' || i, i %% 2 = 0, i / 3.0, now() FROM generate_series(%s) i`
	single := fmt.Sprintf(`DO $$ BEGIN FOR n IN 1..%d LOOP `+insert+`; COMMIT; END LOOP; END $$`, r.txns, "n, n")
	large := fmt.Sprintf(insert, fmt.Sprintf("1, %d", r.txns))
	for _, c := range []struct{ name, sql string }{
		{fmt.Sprintf("%d single-row transactions to a live client", r.txns), single},
		{fmt.Sprintf("one transaction of %d rows to a live client", r.txns), large},
	} {
		var ours, theirs []time.Duration
		var cpu time.Duration
		for range rounds {
			o, p, y, err := r.backlog(ctx, c.sql)
			if err != nil {
				return err
			}
			ours, theirs, cpu = append(ours, o), append(theirs, y), p
		}
		o, y := median(ours), median(theirs)
		rate := func(d time.Duration) string { return fmt.Sprintf("%.0f rows/s", float64(r.txns)/d.Seconds()) }
		row(fmt.Sprintf("%s (%.2f CPU s)", c.name, cpu.Seconds()), rate(o), "pg_recvlogical: "+rate(y), fmt.Sprintf("%.2f", y.Seconds()/o.Seconds()))
	}
	return nil
}

// backlog makes a backlog while nobody reads and measures both readers on it,
// one after the other.
func (r *run) backlog(ctx context.Context, sql string) (ours, cpu, theirs time.Duration, err error) {
	w := walk("table", "ticks", "offset", "now")
	for done := false; !done; {
		if done, err = w.step(ctx, nil); err != nil {
			return 0, 0, 0, err
		}
	}
	// Our slot is older than the yardstick's: let it forget what went before,
	// or Postgres decodes all of that again when we connect.
	for range 3 {
		if err := r.exec(ctx, `CHECKPOINT`); err != nil {
			return 0, 0, 0, err
		}
		if err := r.exec(ctx, `INSERT INTO ticks (title) VALUES ('one')`); err != nil {
			return 0, 0, 0, err
		}
		for had := w.messages; w.messages == had; {
			if _, err := w.step(ctx, nil); err != nil {
				return 0, 0, 0, err
			}
		}
		time.Sleep(300 * time.Millisecond)
	}
	if err := r.exec(ctx, `SELECT pg_create_logical_replication_slot('yardstick', 'pgoutput')`); err != nil {
		return 0, 0, 0, err
	}
	if err := r.svc.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return 0, 0, 0, err
	}
	// Its connection is cut, so that nothing of the backlog lies in a socket
	// already: the time to connect again counts against us.
	if err := r.exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'spillway_slot_default'`); err != nil {
		return 0, 0, 0, err
	}
	if err := r.exec(ctx, sql); err != nil {
		return 0, 0, 0, err
	}
	var end string
	if err := r.db.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn()::text FROM pg_switch_wal()`).Scan(&end); err != nil {
		return 0, 0, 0, err
	}
	before, had := r.svc.cpu(), w.messages
	began := time.Now()
	if err := r.svc.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return 0, 0, 0, err
	}
	for w.messages-had < r.txns {
		if _, err := w.step(ctx, nil); err != nil {
			return 0, 0, 0, err
		}
	}
	ours, cpu = time.Since(began), r.svc.cpu()-before

	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, 0, 0, err
	}
	defer null.Close()
	y := r.tool("pg_recvlogical", "-d", r.pg.URL("postgres"), "-S", "yardstick", "--start", "--no-loop", "-E", end,
		"-o", "proto_version=1", "-o", "publication_names=spillway_publication_default", "-f", "-")
	y.Stdout = null
	began = time.Now()
	if err := y.Run(); err != nil {
		return 0, 0, 0, fmt.Errorf("pg_recvlogical: %w", err)
	}
	theirs = time.Since(began)
	return ours, cpu, theirs, r.exec(ctx, `SELECT pg_drop_replication_slot('yardstick')`)
}
