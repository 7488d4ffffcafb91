package api

import (
	"bufio"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// TestStreamArrives: headers come at once, and each batch when it happens.
func TestStreamArrives(t *testing.T) {
	h := newHarbour(t)
	handler := serve(insecure(), h)
	addr := listen(t, handler)
	res, err := http.Get("http://" + addr + "/v1/shape?table=boats&offset=0_inf&live=true&live_sse=true&handle=" + handleOf(t, handler))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" || res.ContentLength != -1 {
		t.Errorf("content type %q, length %d", got, res.ContentLength)
	}
	lines := bufio.NewScanner(res.Body)
	for tx := wal.LSN(100); tx < 110; tx += 2 {
		if err := h.append(tx, 1); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() && !strings.Contains(lines.Text(), `"up-to-date"`) {
		}
		if want := strconv.Itoa(int(tx) + 1); !strings.Contains(lines.Text(), want) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
	}
	handler.Stop()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("at the end %q, %v", rest, err)
	}
}

// TestStreamClientThatDoesNotRead is cut off after the write timeout.
func TestStreamClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		handler := serve(insecure(), h)
		target := "/v1/shape?table=boats&offset=0_inf&live=true&live_sse=true&handle=" + handleOf(t, handler)
		ended := make(chan time.Duration, 1)
		began := time.Now()
		p := pipe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { ended <- time.Since(began) }()
			handler.ServeHTTP(w, r)
		}))
		conn, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := h.append(100, 50); err != nil {
			t.Fatal(err)
		}
		if got := <-ended; got != insecure().WriteTimeout {
			t.Errorf("held for %v", got)
		}
	})
}

// TestStreamNeitherLosesNorRepeats: a client that is cut off at any byte, and
// goes on from where the protocol says, sees every change exactly once.
func TestStreamNeitherLosesNorRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		cfg := insecure()
		cfg.StreamTime = 3 * time.Second
		handler := serve(cfg, h)
		target := "/v1/shape?table=boats&live=true&live_sse=true&handle=" + handleOf(t, handler) + "&offset="
		rng := rand.New(rand.NewPCG(1, 2))
		var want []string
		go func() {
			for tx := wal.LSN(100); tx < 300; tx += 2 {
				if err := h.append(tx, 1+int(tx%7), 0, 2); err != nil {
					t.Error(err)
				}
				time.Sleep(200 * time.Millisecond)
			}
		}()
		for tx := 100; tx < 300; tx += 2 {
			for i := range 1 + tx%7 {
				want = append(want, strconv.Itoa(tx)+"_"+strconv.Itoa(2*i))
			}
		}
		var seen []string
		offset := "0_inf"
		for tries := 0; len(seen) < len(want) && tries < 10_000; tries++ {
			got, next := readStream(t, handler, target+offset, rng.IntN(3000))
			seen = append(seen, got...)
			offset = next
		}
		if strings.Join(seen, " ") != strings.Join(want, " ") {
			t.Errorf("saw %v\nwant %v", seen, want)
		}
	})
}

// limited is a connection that breaks after some bytes of the body.
type limited struct {
	header http.Header
	body   strings.Builder
	most   int
}

func (l *limited) Header() http.Header { return l.header }

func (l *limited) WriteHeader(int) {}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.most-l.body.Len())
	l.body.Write(p[:n])
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// readStream reads a stream as the TypeScript client does: messages count when
// their up-to-date comes, and that makes the next offset.
func readStream(t *testing.T, handler *Handler, target string, most int) (seen []string, next string) {
	w := &limited{header: http.Header{}, most: most}
	func() {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		handler.ServeHTTP(w, newRequest("GET", target))
	}()
	next = w.header.Get(hOffset)
	if next == "" {
		t.Fatal("no offset")
	}
	var batch []string
	events := strings.Split(w.body.String(), "\n\n")
	for _, e := range events[:len(events)-1] { // the last is not whole
		data, ok := strings.CutPrefix(e, "data: ")
		if !ok {
			continue
		}
		var m struct {
			Headers struct {
				Control string
				LSN     string
				Op      int    `json:"op_position"`
				Seen    string `json:"global_last_seen_lsn"`
			}
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if m.Headers.Control == "up-to-date" {
			seen, batch, next = append(seen, batch...), nil, m.Headers.Seen+"_0"
			continue
		}
		batch = append(batch, m.Headers.LSN+"_"+strconv.Itoa(m.Headers.Op))
	}
	return seen, next
}

// TestFramer: whatever the pieces, one event for each message.
func TestFramer(t *testing.T) {
	const messages = `{"a":"},{\"\\","b":[{},[]]},{"headers":{"x":["{"]}},{}`
	const want = `data: {"a":"},{\"\\","b":[{},[]]}` + "\n\n" + `data: {"headers":{"x":["{"]}}` + "\n\n" + `data: {}` + "\n\n"
	for cut := range len(messages) {
		w := &limited{header: http.Header{}, most: 1000}
		f := &framer{to: w}
		for _, piece := range []string{messages[:cut], messages[cut:]} {
			if n, err := f.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := w.body.String(); got != want {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

// TestManyStreamsOneBatch: what many streams are sent is read once, piece by piece;
// a piece with a huge entry is not kept.
func TestManyStreamsOneBatch(t *testing.T) {
	for _, c := range []struct{ entries, padding, kept int }{
		{2, 0, 1}, {3000, 0, 5}, {3, 300 << 10, 0}, {4, 100 << 10, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarbour(t)
			h.padding = c.padding
			cfg := insecure()
			cfg.StreamTime = 2 * time.Second
			handler := serve(cfg, h)
			target := "/v1/shape?table=boats&offset=0_inf&live=true&live_sse=true&handle=" + handleOf(t, handler)
			var all sync.WaitGroup
			bodies := make([]string, 20)
			for i := range bodies {
				all.Go(func() {
					w := &limited{header: http.Header{}, most: 1 << 30}
					handler.ServeHTTP(w, newRequest("GET", target))
					bodies[i] = w.body.String()
				})
			}
			synctest.Wait()
			if err := h.append(100, c.entries); err != nil {
				t.Fatal(err)
			}
			all.Wait()
			if n := strings.Count(bodies[0], "data: "); n != c.entries+1 {
				t.Errorf("%d messages of %d", n, c.entries+1)
			}
			for _, b := range bodies {
				if b != bodies[0] {
					t.Errorf("%d bytes, and %d", len(b), len(bodies[0]))
				}
			}
			if n := len(handler.pages.order); n != c.kept || n != len(handler.pages.byKey) {
				t.Errorf("%d pieces are kept, want %d", n, c.kept)
			}
		})
	}
}
