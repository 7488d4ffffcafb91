package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/spillway-sync/spillway/internal/demo"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/pgdev"
)

type devCmd struct {
	settings
	TLS bool `group:"HTTP" name:"tls" help:"Serve over TLS, and so HTTP/2 to browsers, with a certificate made for this machine and kept in the data directory."`
}

// Run serves a database to try things with until ctx is done: the one named by
// DATABASE_URL, else a private one with demo data.
func (d *devCmd) Run(ctx context.Context, k *kong.Context) error {
	fill(k)
	if d.Secret == "" && d.Insecure == "" {
		d.Insecure = "true"
	}
	if d.ListenAddr == "" && d.Secret == "" {
		d.ListenAddr = "127.0.0.1" // no secret: for this machine only
	}
	own := d.DatabaseURL == ""
	if own {
		d.DatabaseURL = "postgresql://postgres@private/postgres" // until it runs
		if d.LogLevel == "" {
			d.LogLevel = "warning" // what is printed below says enough
		}
	}
	cfg, log, err := d.config(k)
	if err != nil {
		return err
	}
	cfg.LocalTLS = d.TLS && cfg.TLSCert == ""
	if !own {
		return serve(ctx, cfg, log, func(url string) { hint(url, "<table>") })
	}
	return devPrivate(ctx, cfg, log)
}

// devPrivate runs a Postgres of our own with the demo in it.
func devPrivate(ctx context.Context, cfg engine.Config, log *slog.Logger) (err error) {
	// Others may pass through it: as root we run Postgres as another user.
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	dir, err := pgdev.Place(filepath.Join(cfg.DataDir, "postgres"))
	if err != nil {
		return fmt.Errorf("find a place for the private Postgres: %w", err)
	}
	fmt.Println("spillway: starting a private Postgres in", dir)
	// A start that is broken off would leave half a cluster behind.
	pg, err := pgdev.Start(context.WithoutCancel(ctx), pgdev.Options{Dir: dir, Log: log, Settings: map[string]string{
		"wal_level": "logical",
		// A demo that slept for long starts again instead of filling the disk.
		"max_slot_wal_keep_size": "1GB",
	}})
	if err != nil {
		return unlessStopped(ctx, fmt.Errorf("start a private Postgres: %w", err))
	}
	defer func() { err = errors.Join(err, pg.Stop(pgdev.Fast)) }()
	cfg.DatabaseURL = pg.URL("postgres")
	if err := demo.Fill(ctx, cfg.DatabaseURL); err != nil {
		return unlessStopped(ctx, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	writer.Go(func() {
		if err := demo.Write(ctx, cfg.DatabaseURL); err != nil {
			log.Error("the demo's writer stopped", "err", err)
		}
	})
	fmt.Println("spillway: its database is", cfg.DatabaseURL)
	return serve(ctx, cfg, log, func(url string) { hint(url, "issues") })
}

// unlessStopped is err, or nil if the reason is that we were asked to stop. A
// Ctrl-C also ends programs that we run; we may see their end before we see the
// signal.
func unlessStopped(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(200 * time.Millisecond):
		return err
	}
}

// hint prints what to try first.
func hint(url, table string) {
	fmt.Printf(`
Try it:

  curl -i '%[1]s/v1/shape?table=%[2]s&offset=-1'

  curl -s '%[1]s/v1/shape?table=%[2]s&offset=now' -D - -o /dev/null   # then, with its handle and offset:
  curl '%[1]s/v1/shape?table=%[2]s&live=true&handle=<electric-handle>&offset=<electric-offset>'

  // npm install @electric-sql/client
  import { ShapeStream, Shape } from '@electric-sql/client'
  new Shape(new ShapeStream({ url: '%[1]s/v1/shape', params: { table: '%[2]s' } }))
    .subscribe(({ rows }) => console.log(rows.length, 'rows'))

Ctrl-C stops everything.

`, url, table)
}
