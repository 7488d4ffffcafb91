package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/spillway-sync/spillway/internal/wal"
)

func TestAccepted(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  encoding
	}{
		{nil, identity},
		{[]string{""}, identity},
		{[]string{"gzip"}, gzipped},
		{[]string{"x-gzip"}, gzipped},
		{[]string{"GZIP ; Q=0.5"}, gzipped},
		{[]string{"gzip, deflate, br, zstd"}, zstandard},
		{[]string{"gzip", "zstd"}, zstandard},
		{[]string{"gzip, zstd;q=0.9"}, gzipped},
		{[]string{"zstd;q=0, gzip;q=0.1"}, gzipped},
		{[]string{"gzip;q=0"}, identity},
		{[]string{"gzip;q=0.000"}, identity},
		{[]string{"gzip;q=0.2, identity;q=0.8"}, identity},
		{[]string{"*"}, gzipped},
		{[]string{"*, gzip;q=0"}, identity},
		{[]string{"gzip;q=0, *"}, identity},
		{[]string{"identity"}, identity},
		{[]string{"br"}, identity},
		{[]string{"gzip;q=x"}, identity},
		{[]string{"gzip;q=NaN"}, identity},
		{[]string{"gzip;q=-1"}, identity},
		{[]string{"zstd;q=7"}, zstandard},
		{[]string{",;,=;q,q=1"}, identity},
	} {
		if got := accepted(c.lines, true); got != c.want {
			t.Errorf("%q: %d; want %d", c.lines, got, c.want)
		}
	}
}

// decode is a body as the client sees it.
func decode(t *testing.T, res *http.Response) string {
	t.Helper()
	var r io.Reader = res.Body
	var err error
	switch res.Header.Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(res.Body)
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(res.Body, zstd.WithDecoderMaxWindow(zstdWindow)); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEncodings: chunks, small and large pages of the log have the same content
// in every coding, a tag of their own that revalidates, and the same headers
// for HEAD.
func TestEncodings(t *testing.T) {
	h := newHarbour(t)
	h.rows = nil
	for i := range 2000 {
		h.rows = append(h.rows, rowOf(i, strings.Repeat("x", i%50)))
	}
	handler := serve(insecure(), h)
	handle := handleOf(t, handler)
	if err := h.append(771, 20); err != nil {
		t.Fatal(err)
	}
	if err := h.append(800, 4000); err != nil {
		t.Fatal(err)
	}
	const shape = "/v1/shape?table=boats&offset="
	for target, pieces := range map[string]bool{
		shape + "-1":                                  true,
		shape + "0_inf&handle=" + handle:              true,  // large: out of the log
		shape + "0_inf&live=true&handle=" + handle:    true,  // the same, live
		shape + "800_7900&handle=" + handle:           false, // of one piece
		shape + "800_7900&live=true&handle=" + handle: false, // shared
	} {
		plain := askFor(handler, "GET", target, "", "")
		want := decode(t, plain)
		if plain.Header.Get("Content-Encoding") != "" || len(want) < leastEncoded || !strings.HasSuffix(want, "]") {
			t.Fatalf("%s: %d bytes", target, len(want))
		}
		// In pieces there is no zstd: who wants nothing else is sent them as they are.
		if got := askFor(handler, "GET", target, "zstd", "").Header.Get("Content-Encoding"); (got == "") != pieces {
			t.Errorf("%s in zstd is sent in %q", target, got)
		}
		for _, coding := range []string{"gzip", "zstd"} {
			if coding == "zstd" && pieces {
				continue
			}
			for range 2 { // made, then repeated
				res := askFor(handler, "GET", target, coding, "")
				if res.Header.Get("Content-Encoding") != coding || res.Header.Get("Vary") != "accept-encoding" {
					t.Errorf("%s in %s: %v", target, coding, res.Header)
				}
				tag := res.Header.Get("Etag")
				if tag != strings.TrimSuffix(plain.Header.Get("Etag"), `"`)+"+"+coding+`"` {
					t.Errorf("%s in %s: tag %s", target, coding, tag)
				}
				length := res.Header.Get("Content-Length")
				if n := res.Body.(*counter).Len(); length != "" && length != strconv.Itoa(n) {
					t.Errorf("%s in %s: %d bytes, announced as %s", target, coding, n, length)
				}
				if got := decode(t, res); got != want {
					t.Errorf("%s in %s: %d bytes; want %d", target, coding, len(got), len(want))
				}
				for _, accept := range []string{"", "gzip", "zstd"} {
					again := askFor(handler, "GET", target, accept, tag)
					if again.StatusCode != http.StatusNotModified || again.Header.Get("Etag") != tag {
						t.Errorf("%s: tag %s is not known again: %d %s", target, tag, again.StatusCode, again.Header.Get("Etag"))
					}
				}
				if again := askFor(handler, "GET", target, coding, `"x+`+coding+`"`); again.StatusCode != http.StatusOK {
					t.Errorf("%s: %d for another's tag", target, again.StatusCode)
				}
				head := askFor(handler, "HEAD", target, coding, "")
				for _, name := range []string{"Etag", "Content-Encoding", "Content-Length", "Vary", "Electric-Offset"} {
					if head.Header.Get(name) != res.Header.Get(name) {
						t.Errorf("HEAD %s: %s is %q; GET has %q", target, name, head.Header.Get(name), res.Header.Get(name))
					}
				}
			}
		}
	}
}

// counter is a body that knows its length.
type counter struct{ *bytes.Reader }

func (counter) Close() error { return nil }

func askFor(handler http.Handler, method, target, accept, tag string) *http.Response {
	r := newRequest(method, target)
	if accept != "" {
		r.Header.Set("Accept-Encoding", accept)
	}
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	res := w.Result()
	res.Body = &counter{bytes.NewReader(w.Body.Bytes())}
	return res
}

// TestEncodedWhileWritten: what is there of a snapshot reaches the client in any
// coding that is sent in pieces before the snapshot goes on.
func TestEncodedWhileWritten(t *testing.T) {
	for _, coding := range []string{"gzip", "identity"} {
		h := newHarbour(t)
		h.slow = true
		addr := listen(t, serve(insecure(), h))
		tr := &http.Transport{DisableCompression: true}
		t.Cleanup(tr.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/shape?table=boats&offset=-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", coding)
		var begun sync.WaitGroup
		begun.Go(func() {
			waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.snaps) == 1 })
			if err := h.snaps[0].Append([]byte(rowOf(1, "first"))); err != nil {
				t.Error(err)
			}
		})
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		begun.Wait()
		var body io.Reader = res.Body
		if coding == "gzip" {
			if body, err = gzip.NewReader(res.Body); err != nil {
				t.Fatal(err)
			}
		}
		part := make([]byte, 1+len(rowOf(1, "first")))
		if _, err := io.ReadFull(body, part); err != nil || string(part[1:]) != rowOf(1, "first") {
			t.Errorf("%s: %q, %v", coding, part, err)
		}
		if err := h.snaps[0].Finish([]byte(snapshotEnd)); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(body)
		if err != nil || !strings.HasSuffix(string(rest), snapshotEnd+"]") {
			t.Errorf("%s: %q, %v", coding, rest, err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOneReadForAll: a page that many wait for is read and encoded once.
func TestOneReadForAll(t *testing.T) {
	h := newHarbour(t)
	handler := serve(insecure(), h)
	handle := handleOf(t, handler)
	if err := h.append(771, 50); err != nil {
		t.Fatal(err)
	}
	target := "/v1/shape?table=boats&offset=0_inf&live=true&handle=" + handle
	first := map[*byte]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			r := newRequest("GET", target)
			r.Header.Set("Accept-Encoding", "gzip")
			handler.ServeHTTP(&spy{header: http.Header{}, wrote: func(p []byte) {
				mu.Lock()
				defer mu.Unlock()
				first[&p[0]] = true
			}}, r)
		})
	}
	all.Wait()
	if len(first) != 1 {
		t.Errorf("%d bodies were made", len(first))
	}
	if len(handler.pages.byKey) != 1 {
		t.Errorf("%d pages", len(handler.pages.byKey))
	}
	// What is kept has a limit.
	for tx := range 2 * sharedPages {
		if err := h.append(wal.LSN(1000+8*tx), 1); err != nil {
			t.Fatal(err)
		}
		askFor(handler, "GET", target, "", "")
	}
	if n := len(handler.pages.byKey); n != sharedPages || len(handler.pages.order) != n {
		t.Errorf("%d pages are kept, %d in order", n, len(handler.pages.order))
	}
}

// spy sees the slices that are written.
type spy struct {
	header http.Header
	wrote  func([]byte)
}

func (s *spy) Header() http.Header { return s.header }
func (s *spy) WriteHeader(int)     {}
func (s *spy) Write(p []byte) (int, error) {
	s.wrote(p)
	return len(p), nil
}
