package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
	door      *door     // to the operators' handler
	pair      *api.Pair // nil: clients are served without TLS
	log       *slog.Logger
	failed    chan error // a server that stopped by itself
}

func newFront(h *api.Handler, idle time.Duration, pair *api.Pair, log *slog.Logger) *front {
	clients := api.NewServer(h, idle, log)
	if pair != nil {
		clients.TLSConfig = pair.Config()
	}
	d := &door{}
	return &front{
		door:      d,
		api:       h,
		clients:   clients,
		pair:      pair,
		log:       log,
		operators: &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 60 * time.Second},
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

// await waits for the engine, which reads the data directory, and gives it up if
// ctx is done or a server fails. Without an error and an engine ctx was done.
func (f *front) await(ctx context.Context, open func(context.Context) (*engine.Engine, error)) (*engine.Engine, error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	type outcome struct {
		e   *engine.Engine
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		e, err := open(ctx)
		ended <- outcome{e, err}
	}()
	var failed error
	select {
	case o := <-ended:
		return o.e, o.err
	case <-ctx.Done():
	case failed = <-f.failed:
		f.failed <- failed // runWith may have to see it
		giveUp()
	}
	o := <-ended
	switch {
	case o.e != nil: // it was too late; runWith ends it
		return o.e, nil
	case failed == nil && errors.Is(o.err, context.Canceled):
		return nil, nil
	}
	return nil, errors.Join(failed, o.err)
}

// close cuts all connections.
func (f *front) close() error {
	f.api.Stop()
	return errors.Join(f.clients.Close(), f.operators.Close())
}

// door leads operators to the handler, once there is one.
type door struct{ to atomic.Pointer[http.Handler] }

func (d *door) open(h http.Handler) { d.to.Store(&h) }

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := d.to.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/healthz" {
		return // the process answers
	}
	w.Header().Set("Retry-After", "2")
	http.Error(w, "spillway is starting: it reads the catalogue of shapes", http.StatusServiceUnavailable)
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
