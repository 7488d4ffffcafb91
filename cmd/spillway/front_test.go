package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/api"
	"github.com/spillway-sync/spillway/internal/engine"
)

// While the data directory is read, which takes half a minute with a million shapes,
// everybody has an answer; and the process can be stopped.
func TestAnswersWhileOpening(t *testing.T) {
	t.Parallel()
	listen := func() (net.Listener, string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l, "http://" + l.Addr().String()
	}
	clients, forClients := listen()
	operators, forOperators := listen()
	log := slog.New(slog.DiscardHandler)
	f := newFront(api.New(api.Config{Insecure: true, AllowDeletion: true, WriteTimeout: time.Minute}, newSource(), log), time.Minute, nil, log)
	f.serve(clients, operators)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	given := make(chan error, 1)
	go func() {
		e, err := f.await(ctx, func(ctx context.Context) (*engine.Engine, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if e != nil {
			err = errors.New("there is an engine")
		}
		given <- err
	}()

	const forClient, forOperator = engine.ReasonData, "spillway is starting: it reads the catalogue of shapes\n"
	t.Run("answers", func(t *testing.T) {
		for _, c := range []struct {
			method, url string
			status      int
			body        string // contains it
		}{
			{"GET", forClients + "/v1/health", 202, `{"status":"starting"}`},
			{"GET", forClients + "/v1/shape?table=t&offset=-1", 503, forClient},
			{"GET", forClients + "/v1/shape?table=t&offset=0_0&handle=1-2", 503, forClient},
			{"DELETE", forClients + "/v1/shape?table=t&handle=1-2", 503, forClient},
			{"GET", forOperators + "/healthz", 200, ""},
			{"GET", forOperators + "/readyz", 503, forOperator},
			{"GET", forOperators + "/status", 503, forOperator},
		} {
			t.Run(c.method+" "+c.url, func(t *testing.T) {
				t.Parallel()
				status, body := ask(t, c.method, c.url)
				if status != c.status || !strings.Contains(body, c.body) {
					t.Errorf("%d %q, want %d %q", status, body, c.status, c.body)
				}
			})
		}
	})
	stop()
	if err := <-given; err != nil {
		t.Errorf("it was asked to stop, and: %v", err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

func ask(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(all)
}
