package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/api"
	"github.com/spillway-sync/spillway/internal/engine"
)

// stopTime is how long answers in flight may take when we are asked to stop.
const stopTime = 4 * time.Second

// front is the two HTTP servers: for clients and for operators.
type front struct {
	api       *api.Handler
	clients   *api.Server
	operators *http.Server
	pair      *api.Pair // nil: clients are served without TLS
	log       *slog.Logger
	failed    chan error // a server that stopped by itself
}

func newFront(h *api.Handler, idle time.Duration, pair *api.Pair, log *slog.Logger) *front {
	clients := api.NewServer(h, idle, log)
	if pair != nil {
		clients.TLSConfig = pair.Config()
	}
	return &front{
		api:       h,
		clients:   clients,
		pair:      pair,
		log:       log,
		operators: &http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 60 * time.Second},
		failed:    make(chan error, 2),
	}
}

func (f *front) serve(clients, operators net.Listener) {
	start := func(serve func(net.Listener) error, l net.Listener, who string) {
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.failed <- fmt.Errorf("serve %s: %w", who, err)
		}
	}
	serve := f.clients.Serve
	if f.pair != nil {
		serve = func(l net.Listener) error { return f.clients.ServeTLS(l, "", "") }
	}
	go start(serve, clients, "clients")
	if operators != nil {
		go start(f.operators.Serve, operators, "operators")
	}
}

// runWith runs the engine until ctx is done or something fails. Then it lets
// answers in flight finish, and stops the engine after them.
func (f *front) runWith(ctx context.Context, e *engine.Engine) error {
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	var watch sync.WaitGroup
	defer watch.Wait()
	if f.pair != nil {
		watchCtx, stopWatch := context.WithCancel(ctx)
		defer stopWatch()
		watch.Go(func() { f.pair.Watch(watchCtx, f.log) })
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(engineCtx) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-f.failed:
	case err = <-ended:
		ended <- nil
	}
	f.api.Stop()
	limit, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if f.clients.Shutdown(limit) != nil {
		// Out of time: cut those who are still reading.
		err = errors.Join(err, f.clients.Close())
	}
	stopEngine()
	err = errors.Join(err, <-ended)
	return errors.Join(err, f.operators.Close())
}
