// Bench measures Spillway against yardsticks that run beside it, and prints a
// table. Run it with `make bench`; docs/benchmarks.md explains the rows.
//
//	go run ./bench [-rows n] [-txns n] [-seconds n] [-shapes n] [-only sync,txns,latency,fanout,crowd,faults]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgdev"
)

// run is one benchmark run with its database and its service.
type run struct {
	rows, txns int
	seconds    int
	shapes     int
	dir        string
	bindir     string
	pg         *pgdev.Server
	db         *pgx.Conn
	svc        *service
}

func main() {
	r := &run{}
	flag.IntVar(&r.rows, "rows", 1_000_000, "rows of the first sync")
	flag.IntVar(&r.txns, "txns", 200_000, "single-row transactions, and rows of the one large one")
	flag.IntVar(&r.seconds, "seconds", 20, "length of the latency run")
	flag.IntVar(&r.shapes, "shapes", 100_000, "shapes of the crowd, and those of which one is stuck")
	only := flag.String("only", "sync,txns,latency,fanout,crowd,faults", "which parts to run")
	bare := flag.Bool("bare-server", false, "be the yardstick of fanout; for its own use")
	flag.Parse()
	if *bare {
		fmt.Fprintln(os.Stderr, "bench:", bareServer())
		os.Exit(1)
	}
	if err := r.all(context.Background(), *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (r *run) all(ctx context.Context, only string) (err error) {
	base, err := pgdev.Place(filepath.Join(os.TempDir(), "spillway-bench"))
	if err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp(filepath.Dir(base), "spillway-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	if r.bindir, _, err = pgdev.Find(); err != nil {
		return err
	}
	r.pg, err = pgdev.Start(ctx, pgdev.Options{Dir: r.dir + "-pg", Ephemeral: true, Settings: map[string]string{
		"wal_level": "logical", "synchronous_commit": "off", "shared_buffers": "1GB", "max_wal_size": "8GB",
		"wal_sender_timeout": "0", "logical_decoding_work_mem": "256MB",
	}})
	if err != nil {
		return err
	}
	defer func() { err = join(err, r.pg.Stop(pgdev.Immediate)) }()
	if r.db, err = pgx.Connect(ctx, r.pg.URL("postgres")); err != nil {
		return err
	}
	if r.svc, err = startService(ctx, r.pg.URL("postgres"), filepath.Join(r.dir, "data")); err != nil {
		return err
	}
	defer func() {
		if r.svc != nil {
			err = join(err, r.svc.stop())
		}
	}()

	fmt.Printf("%s, %d cores, %s, Postgres in %s\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), cpuName(), r.bindir)
	fmt.Println("| work | Spillway | yardstick | ratio |")
	fmt.Println("|---|---|---|---|")
	for _, part := range []struct {
		name string
		f    func(context.Context) error
	}{{"sync", r.firstSync}, {"txns", r.throughput}, {"latency", r.latency}, {"fanout", r.fanout}, {"crowd", r.crowd}, {"faults", r.faults}} {
		if !strings.Contains(only, part.name) {
			continue
		}
		if err := part.f(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func (r *run) exec(ctx context.Context, sql string) error {
	_, err := r.db.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

func row(work, ours, yardstick, ratio string) {
	fmt.Printf("| %s | %s | %s | %s |\n", work, ours, yardstick, ratio)
}

func join(a, b error) error {
	if a == nil {
		return b
	}
	return a
}

func cpuName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func (r *run) tool(name string, args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(r.bindir, name), args...)
}
