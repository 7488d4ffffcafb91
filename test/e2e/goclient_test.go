package e2e

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// goShape runs a shape of the Go client for the time of a test.
func goShape(t *testing.T, o client.Options) *client.Shape {
	t.Helper()
	o.MinBackoff = 50 * time.Millisecond
	o.MaxBackoff = time.Second
	stream, err := client.NewShapeStream(o)
	if err != nil {
		t.Fatal(err)
	}
	shape := client.NewShape(stream)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := shape.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the Go client: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return shape
}

func goItems(s *client.Shape) map[string]string {
	out := make(map[string]string)
	for _, r := range s.Rows() {
		var cells []string
		for _, c := range []string{"id", "n", "body", "flag", "amount", "at"} {
			v := r[c].String()
			if c == "flag" && r[c].Valid {
				v = strconv.FormatBool(r[c].Bool())
			}
			cells = append(cells, v)
		}
		out[r["id"].Text] = strings.Join(cells, "|")
	}
	return out
}

// The Go client by polling and by events, filtered and whole, through a crash,
// a restart and a rotation under writes. At no moment does a state show a
// transaction in part.
func TestGoClient(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 3000))
	db.Exec("CREATE TABLE purse (id int PRIMARY KEY, gold int NOT NULL); INSERT INTO purse SELECT i, 100 FROM generate_series(1, 20) i")
	s := newService(t, db.URL, "SPILLWAY_CHUNK_BYTES=50000")
	shapes := map[string]*client.Shape{
		"poll":   goShape(t, client.Options{URL: s.url, Table: "items"}),
		"events": goShape(t, client.Options{URL: s.url, Table: "items", SSE: true}),
		"part":   goShape(t, client.Options{URL: s.url, Table: "items", Where: "n < $1 AND flag", Params: []string{"50"}, Replica: client.ReplicaFull, SSE: true}),
	}
	purses, err := client.NewShapeStream(client.Options{URL: s.url, Table: "purse", SSE: true, MinBackoff: 50 * time.Millisecond, MaxBackoff: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	purse := client.NewShape(purses)
	states := 0
	gold := map[string]int{}
	purse.Subscribe(func(u client.Update) {
		states++
		for _, c := range u.Changes {
			delete(gold, c.Key)
			if c.New != nil {
				n, err := strconv.Atoi(c.New["gold"].Text)
				if err != nil {
					t.Error(err)
				}
				gold[c.Key] = n
			}
		}
		sum := 0
		for _, n := range gold {
			sum += n
		}
		if sum != 2000 || len(gold) != 20 {
			t.Errorf("state %d has %d purses with %d gold", states, len(gold), sum)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { purse.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	equal := func(what string) {
		t.Helper()
		eventually(t, 60*time.Second, what, func() error {
			for name, shape := range shapes {
				where := ""
				if name == "part" {
					where = " WHERE n < 50 AND flag"
				}
				if err := sameRows(goItems(shape), itemsOf(db, where)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	equal("the first sync")
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() { writer(t.Context(), t, db, uint64(w), 120, 4000) })
	}
	writers.Go(func() {
		for i := range 150 {
			db.Exec(fmt.Sprintf("UPDATE purse SET gold = gold + CASE id WHEN %d THEN -1 ELSE 1 END WHERE id IN (%d, %d)", 1+i%20, 1+i%20, 1+(i+7)%20))
		}
	})
	s.crash()
	s.start()
	writers.Wait()
	equal("equality after a crash")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	db.Exec("UPDATE items SET n = n + 1 WHERE id < 100; UPDATE purse SET gold = 100")
	s.start()
	equal("equality after a restart")
	db.Exec(fmt.Sprintf("TRUNCATE items; "+itemsRow, 2000, 2500))
	equal("equality after a rotation")
	xid, err := strconv.ParseUint(db.Value("WITH x AS (INSERT INTO items (id) VALUES (9000) RETURNING id) SELECT pg_current_xact_id() FROM x"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	wait, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for name, shape := range shapes {
		if name == "part" {
			continue
		}
		if err := shape.AwaitTx(wait, xid); err != nil {
			t.Errorf("%s: transaction %d: %v", name, xid, err)
		}
	}
	if states < 3 {
		t.Errorf("the purses had %d states only", states)
	}
}

// A stream is taken up where it was, by another process so to speak; answers
// are compressed on the way.
func TestGoClientResumesThroughAProxy(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 500))
	s := newService(t, db.URL)
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = ""
	zipped := zipping(t, httputil.NewSingleHostReverseProxy(target))
	o := client.Options{URL: zipped.url + "/v1/shape", Table: "items", Once: true}
	rows := map[string]bool{}
	once := func() {
		stream, err := client.NewShapeStream(o)
		if err != nil {
			t.Fatal(err)
		}
		for m, err := range stream.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if m.IsMustRefetch() {
				t.Error("a rotation")
			}
			if m.IsChange() {
				if rows[m.Key] {
					t.Errorf("row %s came twice", m.Key)
				}
				rows[m.Key] = true
			}
		}
		o.From = stream.Position()
	}
	once()
	for id := 1000; id < 1003; id++ {
		db.Exec(fmt.Sprintf(itemsRow, id, id))
		eventually(t, 30*time.Second, "one more row", func() error {
			if once(); len(rows) != id-499 {
				return fmt.Errorf("%d rows", len(rows))
			}
			return nil
		})
	}
	if zipped.answers() == 0 {
		t.Error("nothing was compressed")
	}
}

// zipProxy passes requests on and compresses the answers.
type zipProxy struct {
	url string
	mu  sync.Mutex
	n   int
}

func (z *zipProxy) answers() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.n
}

func zipping(t *testing.T, next http.Handler) *zipProxy {
	z := &zipProxy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("the client takes no gzip")
		}
		r.Header.Set("Accept-Encoding", "identity")
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		next.ServeHTTP(zipWriter{w, zip}, r)
		if err := zip.Close(); err != nil {
			t.Errorf("compress: %v", err)
		}
		z.mu.Lock()
		defer z.mu.Unlock()
		z.n++
	}))
	t.Cleanup(server.Close)
	z.url = server.URL
	return z
}

type zipWriter struct {
	http.ResponseWriter
	zip *gzip.Writer
}

func (w zipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w zipWriter) Write(p []byte) (int, error) { return w.zip.Write(p) }
