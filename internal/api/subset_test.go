package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// FuzzBody: whatever a POST holds, nothing panics, and no answer is the server's
// fault.
func FuzzBody(f *testing.F) {
	h := newHarbour(f)
	cfg := insecure()
	cfg.LongPollTimeout, cfg.StreamTime = 0, 0
	handler := serve(cfg, h)
	for _, body := range []string{
		``, `{}`, `[]`, `{"where":"crew > $1","params":{"1":3},"order_by":"crew","limit":1,"offset":"2"}`,
		`{"subset":{"where":null,"limit":{}},"offset":"now","columns":["id"],"params":{"1":[]}}`, `{"subset":[]}`, `{"live":false,"handle":7}`,
		`{"table":{"a":{}},"where_expr":[[[]]]}`, "{\"where\":\"\x00\"}", strings.Repeat("[", 200), `{"a":` + strings.Repeat(`{"a":`, 100),
		`{"limit":1e400,"offset":-0,"order_by":"\"id\" desc","params":"{\"1\":\"\\u0000\"}"}`, `{"where":"name = 'x' -- '","table":"boats; drop table boats"}`,
	} {
		f.Add("table=boats&offset=-1", body)
		f.Add("table=boats&subset__where=id=$1&subset[where]=1&offset=now", body)
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		r := newRequest("POST", "/v1/shape")
		r.URL.RawQuery = query
		r.Body = io.NopCloser(strings.NewReader(body))
		judge(t, handler, r, query+"\r\n"+body)
	})
}

// endless is a harbour whose subsets have many rows, and that notes how much of
// them was taken.
type endless struct {
	*harbour
	rows, taken int
}

func (e *endless) Subset(_ context.Context, _ *shape.Subset, onStart func(wal.Snapshot) error, onRow func(wal.Tuple) error) error {
	if err := onStart(wal.Snapshot{Xmin: 1, Xmax: 1, Until: 8}); err != nil {
		return err
	}
	row := wal.Tuple{[]byte("7"), bytes.Repeat([]byte("x"), 1000), nil}
	for range e.rows {
		if err := onRow(row); err != nil {
			return err
		}
		e.taken++
	}
	return nil
}

// pieces notes the largest piece of a body.
type pieces struct {
	*httptest.ResponseRecorder
	largest int
	most    int // bytes, then the connection breaks
}

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	if p.Body.Len() > p.most {
		return 0, io.ErrClosedPipe
	}
	return p.ResponseRecorder.Write(b)
}

// TestLargeSubset is sent while it is read, in pieces, and read no further than
// the client takes it.
func TestLargeSubset(t *testing.T) {
	h := &endless{harbour: newHarbour(t), rows: 10_000}
	handler := serve(insecure(), h)
	w := &pieces{ResponseRecorder: httptest.NewRecorder(), most: 1 << 30}
	handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&offset=-1&subset__where="))
	var body struct {
		Metadata struct {
			Mark int `json:"snapshot_mark"`
		}
		Data []struct {
			Headers struct {
				Mark int `json:"snapshot_mark"`
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Data) != h.rows {
		t.Fatal(len(body.Data), err)
	}
	for _, row := range body.Data {
		if row.Headers.Mark != body.Metadata.Mark {
			t.Fatalf("mark %d, in the metadata %d", row.Headers.Mark, body.Metadata.Mark)
		}
	}
	if w.largest > pieceBytes+2000 {
		t.Errorf("a piece of %d bytes", w.largest)
	}

	h.taken = 0
	w = &pieces{ResponseRecorder: httptest.NewRecorder(), most: 1 << 20}
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("not cut off: %v", v)
			}
		}()
		handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&offset=-1&subset__where="))
	}()
	if h.taken > 3000 {
		t.Errorf("%d rows were read for a client that took 1 MiB", h.taken)
	}
}

// randomBody is the body of a POST put together from likely pieces.
func randomBody(rng *rand.Rand) string {
	values := []any{nil, true, false, 1, -1, 2.5, "", " ", "id", "crew > $1", "id = 1 OR", "now", "-1", "0_0", []any{"id"}, []any{1}, map[string]any{"1": 2}, map[string]any{"x": []any{}}}
	names := []string{"where", "params", "order_by", "limit", "offset", "table", "handle", "columns", "live", "replica", "subset", "where_expr"}
	object := func() map[string]any {
		m := map[string]any{}
		for range rng.IntN(5) {
			m[names[rng.IntN(len(names))]] = values[rng.IntN(len(values))]
		}
		return m
	}
	body := object()
	if rng.IntN(3) == 0 {
		body["subset"] = object()
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestRandomBodies(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	cfg := insecure()
	cfg.LongPollTimeout, cfg.StreamTime = 0, 0
	handler := serve(cfg, newHarbour(t))
	for range 3000 {
		body := randomBody(rng)
		r := newRequest("POST", "/v1/shape?table=boats&offset=-1")
		r.Body = io.NopCloser(strings.NewReader(body))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s: status %d: %s", body, w.Code, w.Body)
		}
	}
}
