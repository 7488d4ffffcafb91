package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The official client on streams of events, each of which ends after a second and
// a half: it sees every change of every transaction once, although it only knows
// the transactions' numbers.
func TestOfficialClientStreams(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key, name text not null)")
	s := newService(t, pg.URL, "SPILLWAY_SSE_TIMEOUT=1500ms")
	client := follow(t, s.url, map[string]any{"table": "boats"}, "sse")
	eventually(t, 30*time.Second, "the first sync", func() error {
		if client.rows().UpToDates == 0 {
			return fmt.Errorf("not up to date")
		}
		return nil
	})
	const rows = 5 // of each transaction
	before, written := client.rows(), 0
	for began := time.Now(); time.Since(began) < 5*time.Second; { // over several streams
		pg.Exec(fmt.Sprintf("insert into boats select i, 'x' from generate_series(%d, %d) i", written+1, written+rows))
		written += rows
		eventually(t, 30*time.Second, "the rows", func() error {
			if h := client.rows(); len(h.Dump) != written {
				return fmt.Errorf("%d rows of %d", len(h.Dump), written)
			}
			return nil
		})
	}
	h := client.rows()
	// An up-to-date counts as a message too.
	if changes := h.Messages - before.Messages - (h.UpToDates - before.UpToDates); changes != written || h.Refetches != 0 {
		t.Errorf("%d messages for %d changes, %d refetches", changes, written, h.Refetches)
	}
}

// Check-list 216: the official client starts with three requests, the last of
// them a stream, and needs no more for what happens then.
func TestOfficialClientStartsWithThreeRequests(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key); insert into boats values (1)")
	s := newService(t, pg.URL)
	// The first rows are there: while they are read, the client may have to ask
	// once more for what follows them.
	res, err := http.Get(s.url + "?table=boats&offset=-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(io.Discard, res.Body); errors.Join(err, res.Body.Close()) != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	streaming := make(chan struct{})
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host})
		},
		ModifyResponse: func(res *http.Response) error {
			if res.Header.Get("Content-Type") == "text/event-stream" {
				close(streaming)
			}
			return nil
		},
		FlushInterval: -1,
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	client := follow(t, front.URL+to.Path, map[string]any{"table": "boats"}, "sse")
	select {
	case <-streaming:
	case <-time.After(30 * time.Second):
		t.Fatal("no stream")
	}
	pg.Exec("insert into boats values (2)")
	eventually(t, 30*time.Second, "the new row", func() error {
		if h := client.rows(); len(h.Dump) != 2 {
			return fmt.Errorf("%d rows", len(h.Dump))
		}
		return nil
	})
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
}
