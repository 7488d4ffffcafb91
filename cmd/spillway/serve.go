package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/alecthomas/kong"

	"github.com/spillway-sync/spillway/internal/admin"
	"github.com/spillway-sync/spillway/internal/api"
	"github.com/spillway-sync/spillway/internal/engine"
)

type serveCmd struct {
	settings
}

// Run serves until ctx is done.
func (s *serveCmd) Run(ctx context.Context, k *kong.Context) error {
	cfg, log, err := s.config(k)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, log, nil)
}

// gcPercent is how much the heap may grow before it is collected, unless GOGC says
// otherwise: memory is what many shapes and a large transaction cost. With it one of
// 200,000 rows took 152 MiB instead of 177 in one run, 4.1 s instead of 3.4 s (the
// cores were shared with four busy loops).
const gcPercent = 50

// serve runs the engine with its two listeners until ctx is done. started, if
// not nil, is called once clients can connect, with the address they may use.
func serve(ctx context.Context, cfg engine.Config, log *slog.Logger, started func(url string)) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	pair, err := certificate(cfg)
	if err != nil {
		return configError{err}
	}
	clients, err := net.Listen("tcp", net.JoinHostPort(cfg.ListenAddr, strconv.Itoa(cfg.Port)))
	if err != nil {
		return configError{fmt.Errorf("listen for clients (SPILLWAY_PORT): %w", err)}
	}
	var operators net.Listener
	if cfg.AdminAddr != "" {
		if operators, err = net.Listen("tcp", cfg.AdminAddr); err != nil {
			return configError{fmt.Errorf("listen for operators (SPILLWAY_ADMIN_ADDR): %w", errors.Join(err, clients.Close()))}
		}
	}
	if cfg.Insecure && !loopback(clients.Addr()) {
		log.Warn("SPILLWAY_INSECURE is set: whoever can reach the port can read the database")
	}
	src := newSource()
	counted := api.LimitConnections(clients, maxConnections(cfg, descriptors()), pair != nil)
	front := newFront(api.New(api.Config{
		Secret: cfg.Secret, Insecure: cfg.Insecure, LongPollTimeout: cfg.LongPollTimeout, StreamTime: cfg.SSETimeout,
		AllowDeletion: cfg.AllowDeletion, MaxInitial: cfg.Concurrency.Initial, MaxExisting: cfg.Concurrency.Existing,
		MaxAge: cfg.CacheMaxAge, StaleAge: cfg.CacheStaleAge, WriteTimeout: cfg.WriteTimeout, Version: version(),
	}, src, log), cfg.IdleTimeout, pair, log)
	front.serve(counted, operators)
	e, err := front.await(ctx, func(ctx context.Context) (*engine.Engine, error) { return engine.New(ctx, cfg, log) })
	if e == nil {
		return errors.Join(err, front.close())
	}
	src.open(e)
	console := admin.New(e, func() admin.Clients {
		initial, existing := front.api.AtWork()
		return admin.Clients{Open: counted.Open(), Parked: front.clients.Parked(), Initial: initial, Existing: existing}
	}, e.Chaos(), log)
	defer console.Close()
	front.door.open(console)
	url := "http://" + reachable(clients.Addr())
	if pair != nil {
		url = "https://" + reachable(clients.Addr())
	}
	fmt.Printf("spillway: clients on %s\n", url)
	if operators != nil {
		fmt.Printf("spillway: operators on http://%s\n", reachable(operators.Addr()))
	}
	if started != nil {
		started(url)
	}
	return front.runWith(ctx, e)
}

// certificate returns what clients are served with, nil for plain HTTP.
func certificate(cfg engine.Config) (*api.Pair, error) {
	switch {
	case cfg.TLSCert != "":
		pair, err := api.LoadPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("SPILLWAY_TLS_CERT, SPILLWAY_TLS_KEY: %w", err)
		}
		return pair, nil
	case cfg.LocalTLS:
		if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
			return nil, fmt.Errorf("make the data directory: %w", err)
		}
		return api.LocalPair(cfg.DataDir)
	}
	return nil, nil
}

// maxConnections leaves a quarter of the file descriptors, and not less than
// reserve, to the journal, the shape logs and Postgres. 0: no limit is known.
func maxConnections(cfg engine.Config, descriptors int) int {
	const reserve = 256
	switch {
	case cfg.MaxConnections > 0:
		return cfg.MaxConnections
	case descriptors == 0:
		return 0
	}
	return max(descriptors/2, min(descriptors-descriptors/4, descriptors-reserve))
}

// loopback says whether an address is for this machine only.
func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// reachable is an address that can be typed into a browser on this machine.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
