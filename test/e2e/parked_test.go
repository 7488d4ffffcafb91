package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// What one waiting client may cost the server, heap and stacks, in bytes. Over
// HTTP/1.1 it has a connection of its own; net/http would keep 19 KiB for it. On
// 2026-11-28 these were 11.2 KiB for a long poll and 10.0 for a stream of events,
// and 16.0 and 17.9 over HTTP/2, where the goroutine of a stream is net/http's.
const (
	streamBudget = 20 << 10
	connBudget   = 14 << 10
)

// TestParkedClients: a client that waits costs little, with a connection of its
// own or as one of many streams on one, in a long poll or in a stream of events.
func TestParkedClients(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 3))
	s := newService(t, db.URL, "SPILLWAY_LONG_POLL_TIMEOUT=40s")
	// A long clause is not kept by each who waits, but the text of a request is.
	where := "n > 0" + strings.Repeat(" AND n <> 1000", 20)
	_, header, _ := shapeGet(t, s.url, url.Values{"table": {"items"}, "offset": {"-1"}, "where": {where}})
	q := url.Values{"table": {"items"}, "where": {where}, "offset": {"0_inf"}, "live": {"true"}, "handle": {header.Get("electric-handle")}}
	poll := s.url + "?" + q.Encode()
	q.Set("live_sse", "true")
	events := s.url + "?" + q.Encode()
	const n = 2000
	for _, c := range []struct {
		name   string
		park   func(t *testing.T, target string) (leave func())
		url    string
		budget int
	}{
		{"long polls over HTTP/1.1", parkConns(n), poll, connBudget},
		{"streams of events over HTTP/1.1", parkConns(n), events, connBudget},
		{"long polls over HTTP/2", parkStreams(n), poll, streamBudget},
		{"streams of events over HTTP/2", parkStreams(n), events, streamBudget},
	} {
		waiting := func(n int) {
			t.Helper()
			eventually(t, 35*time.Second, fmt.Sprintf("%d to wait", n), func() error {
				if have := waiters(t, s); have != n {
					return fmt.Errorf("%d do", have)
				}
				return nil
			})
		}
		waiting(0)
		before := inUse(t, s)
		leave := c.park(t, c.url)
		waiting(n)
		parked, requests := figure(t, s, `spillway_connections{state="parked"}`), figure(t, s, `spillway_requests{class="existing"}`)
		if c.budget == connBudget && parked != n || c.budget != connBudget && parked != 0 || requests != n {
			t.Errorf("%s: by the metrics %d connections are parked, and %d requests at work", c.name, parked, requests)
		}
		each := (inUse(t, s) - before) / n
		t.Logf("%s: %d bytes each", c.name, each)
		if each > c.budget {
			t.Errorf("%s: %d bytes each; the budget is %d", c.name, each, c.budget)
		}
		leave()
	}
}

// parkConns parks n requests on n connections.
func parkConns(n int) func(*testing.T, string) func() {
	return func(t *testing.T, target string) func() {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		conns := make([]net.Conn, n)
		for i := range conns {
			if conns[i], err = net.Dial("tcp", u.Host); err != nil {
				t.Fatal(err)
			}
			// What a browser says besides.
			_, err := fmt.Fprintf(conns[i], "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"+
				"Origin: https://app.example\r\nUser-Agent: %s\r\n\r\n", u.RequestURI(), u.Host, strings.Repeat("x", 110))
			if err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			for _, c := range conns {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// parkStreams parks n requests on as few connections as they take.
func parkStreams(n int) func(*testing.T, string) func() {
	return func(t *testing.T, target string) func() {
		ctx, cancel := context.WithCancel(t.Context())
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		tr := &http.Transport{Protocols: p}
		for range n {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				if res, err := tr.RoundTrip(r); err == nil {
					_, _ = io.Copy(io.Discard, res.Body) // until it is cancelled
					_ = res.Body.Close()
				}
			}()
		}
		return func() {
			cancel()
			tr.CloseIdleConnections()
		}
	}
}

var (
	profiled = regexp.MustCompile(`(?m)^(\d+) @`)
	heapText = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	stacks   = regexp.MustCompile(`(?m)^# Stack = (\d+) /`)
)

// waiters is how many requests the service holds.
func waiters(t *testing.T, s *service) (n int) {
	t.Helper()
	_, text := get(t, s.admin+"/debug/pprof/goroutine?debug=1")
	for record := range strings.SplitSeq(text, "\n\n") {
		if !strings.Contains(record, "(*visit).await+") {
			continue
		}
		k, err := strconv.Atoi(profiled.FindStringSubmatch(record)[1])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

// inUse is the service's memory in use, heap and stacks, in bytes.
func inUse(t *testing.T, s *service) int {
	t.Helper()
	var text string
	for range 4 { // each collection halves the stacks that are too large
		_, text = get(t, s.admin+"/debug/pprof/heap?gc=1&debug=1")
	}
	heap, err := strconv.Atoi(heapText.FindStringSubmatch(text)[1])
	if err != nil {
		t.Fatal(err)
	}
	stack, err := strconv.Atoi(stacks.FindStringSubmatch(text)[1])
	if err != nil {
		t.Fatal(err)
	}
	return heap + stack
}

// figure is a metric of the service.
func figure(t *testing.T, s *service, name string) int {
	t.Helper()
	_, text := get(t, s.admin+"/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
