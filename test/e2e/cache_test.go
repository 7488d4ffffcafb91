package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// nginxConf is that of docs/operating.md with places of the test's own.
const nginxConf = `%[1]s
daemon off;
pid %[2]s/pid;
error_log %[2]s/error.log warn;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  proxy_cache_path %[2]s/cache keys_zone=shapes:8m max_size=100m inactive=60m use_temp_path=off;
  upstream spillway { server %[4]s; keepalive 64; }
  server {
    listen 127.0.0.1:%[3]d;
    location / {
      proxy_pass http://spillway;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 90s;
      proxy_cache shapes;
      proxy_cache_key $request_uri;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 60s;
      proxy_cache_lock_age 60s;
      proxy_cache_use_stale updating;
      proxy_cache_background_update on;
      add_header x-cache $upstream_cache_status always;
    }
  }
}
`

// cache is nginx in front of a service, and a count of what comes through it.
type cache struct {
	url          string
	all, waiting atomic.Int64 // requests at the origin; those of them that are live
}

func newCache(t *testing.T, s *service) *cache {
	t.Helper()
	c := &cache{}
	origin, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	origin.Path = ""
	counter := httputil.NewSingleHostReverseProxy(origin)
	counter.FlushInterval = -1
	counter.ErrorLog = log.New(io.Discard, "", 0) // clients that leave
	counted := freePort(t)
	srv := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", counted), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.all.Add(1)
		if strings.Contains(r.URL.RawQuery, "live=true") {
			c.waiting.Add(1)
		}
		counter.ServeHTTP(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe() }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	c.url = startNginx(t, srv.Addr) + "/v1/shape"
	return c
}

// startNginx runs nginx until the test ends.
func startNginx(t *testing.T, origin string) (base string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	dir, port, user := t.TempDir(), freePort(t), ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, user, dir, port, origin), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf, "-p", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run sh scripts/nginx.sh", err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		if log, err := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() && err == nil {
			t.Logf("nginx: %s", log)
		}
	})
	base = fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(t, 20*time.Second, "nginx", func() error {
		res, err := http.Get(base + "/v1/health")
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	return base
}

// TestCacheCollapses: check-list 217. Through a caching proxy the second of two
// equal requests does not reach us, and a thousand live clients of one shape cost
// a handful of requests for each change.
func TestCacheCollapses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 10))
	s := newService(t, db.URL, "SPILLWAY_LONG_POLL_TIMEOUT=20s")
	c := newCache(t, s)
	q := url.Values{"table": {"items"}, "offset": {"-1"}}
	status, first, _ := shapeGet(t, c.url, q)
	_, second, _ := shapeGet(t, c.url, q)
	if status != http.StatusOK || first.Get("x-cache") != "MISS" || second.Get("x-cache") != "HIT" || first.Get("etag") != second.Get("etag") {
		t.Fatalf("%d: %v, then %v", status, first, second)
	}
	q.Set("handle", first.Get("electric-handle"))
	q.Set("offset", "0_inf")
	q.Set("live", "true")
	const clients, rounds, handful = 1000, 3, 5
	tr := &http.Transport{MaxIdleConnsPerHost: clients}
	t.Cleanup(tr.CloseIdleConnections)
	for round := range rounds {
		before := c.waiting.Load()
		answers := make(chan string, clients)
		offsets := make(chan [2]string, clients)
		for range clients {
			go func() {
				res, err := tr.RoundTrip(mustRequest(t.Context(), c.url+"?"+q.Encode()))
				if err != nil {
					answers <- err.Error()
					return
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				offsets <- [2]string{res.Header.Get("electric-offset"), res.Header.Get("electric-cursor")}
				answers <- fmt.Sprint(res.StatusCode, string(body), err)
			}()
		}
		eventually(t, 20*time.Second, "a live request at the origin", func() error {
			if c.waiting.Load() == before {
				return fmt.Errorf("none")
			}
			return nil
		})
		db.Exec(fmt.Sprintf("UPDATE items SET body = 'round %d' WHERE id = 1", round))
		for i := range clients {
			select {
			case got := <-answers:
				if !strings.Contains(got, fmt.Sprintf("round %d", round)) {
					t.Fatalf("client %d was told %s", i, got)
				}
			case <-time.After(60 * time.Second):
				t.Fatalf("client %d was told nothing", i)
			}
		}
		if n := c.waiting.Load() - before; n > handful {
			t.Errorf("%d clients cost %d requests", clients, n)
		}
		next := <-offsets
		q.Set("offset", next[0])
		q.Set("cursor", next[1])
	}
}

func mustRequest(ctx context.Context, target string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// TestCacheHeals: check-list 220. A rotation reaches a hundred clients through
// a cache that still holds pages of the old log for days; all recover, new ones
// too, and the rows are read once for all of them.
func TestCacheHeals(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 50))
	s := newService(t, db.URL, "SPILLWAY_LONG_POLL_TIMEOUT=5s")
	c := newCache(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	start := func() *client.Shape {
		stream, err := client.NewShapeStream(client.Options{URL: c.url, Table: "items"})
		if err != nil {
			t.Fatal(err)
		}
		sh := client.NewShape(stream)
		running.Go(func() {
			if err := sh.Run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("a client gave up: %v", err)
			}
		})
		return sh
	}
	shapes := make([]*client.Shape, 100)
	for i := range shapes {
		shapes[i] = start()
	}
	have := func(rows int) func() error {
		return func() error {
			for i, sh := range shapes {
				if sh.Len() != rows {
					return fmt.Errorf("client %d has %d rows", i, sh.Len())
				}
			}
			return nil
		}
	}
	eventually(t, 60*time.Second, "the first sync", have(50))
	old := shapeNumber(t, s)
	db.Exec("TRUNCATE items;" + fmt.Sprintf(itemsRow, 100, 119))
	eventually(t, 60*time.Second, "all to recover", have(20))
	if now := shapeNumber(t, s); now != old+1 {
		t.Errorf("%d shapes were made for it", now-old)
	}
	shapes = append(shapes, start()) // is given the old log's first page
	eventually(t, 60*time.Second, "a new client", have(20))
}

// shapeNumber is the number in the handle of the shape of all items: shapes are
// counted up from the first.
func shapeNumber(t *testing.T, s *service) int {
	t.Helper()
	_, header, _ := shapeGet(t, s.url, url.Values{"table": {"items"}, "offset": {"now"}})
	text, _, _ := strings.Cut(header.Get("electric-handle"), "-")
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
