package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

// serve runs the engine with its two listeners until ctx is done. started, if
// not nil, is called once clients can connect, with the address they may use.
func serve(ctx context.Context, cfg engine.Config, log *slog.Logger, started func(url string)) error {
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
	e, err := engine.New(cfg, log)
	if err != nil {
		return err
	}
	console := admin.New(e, e.Chaos(), log)
	defer console.Close()
	front := newFront(api.New(api.Config{
		Secret: cfg.Secret, Insecure: cfg.Insecure, LongPollTimeout: cfg.LongPollTimeout, StreamTime: cfg.SSETimeout,
		MaxAge: cfg.CacheMaxAge, StaleAge: cfg.CacheStaleAge, Version: version(),
	}, source{e}, log), console, log)
	front.serve(clients, operators)
	url := "http://" + reachable(clients.Addr())
	fmt.Printf("spillway: clients on %s\n", url)
	if operators != nil {
		fmt.Printf("spillway: operators on http://%s\n", reachable(operators.Addr()))
	}
	if started != nil {
		started(url)
	}
	return front.runWith(ctx, e)
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
