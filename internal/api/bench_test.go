package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkChunk reads a closed snapshot chunk of 10 MiB over a socket.
func BenchmarkChunk(b *testing.B) {
	h := newHarbour(b)
	h.chunk = 10 << 20
	row := rowOf(1, strings.Repeat("x", 900))
	h.rows = make([]string, h.chunk/int64(len(row)+1))
	for i := range h.rows {
		h.rows[i] = row
	}
	handler := serve(insecure(), h)
	target := "http://" + listen(b, handler) + "/v1/shape?table=boats&offset=-1"
	for b.Loop() {
		res, err := http.Get(target)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil {
			b.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

// BenchmarkTail is the cost of a request with almost nothing to say, without
// the socket.
func BenchmarkTail(b *testing.B) {
	h := newHarbour(b)
	handler := serve(insecure(), h)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&offset=-1"))
	if err := h.append(771, 3); err != nil {
		b.Fatal(err)
	}
	r := newRequest("GET", "/v1/shape?table=boats&offset=0_inf&live=true&handle="+w.Header().Get(hHandle))
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(&httptest.ResponseRecorder{HeaderMap: http.Header{}}, r)
	}
}
