package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// TestMemoryOfRows: a million rows go through without being held (case 222), and a
// hundred clients that leave a large chunk unread do not each hold it (351).
func TestMemoryOfRows(t *testing.T) {
	t.Parallel()
	const (
		rows    = 1_000_000
		readers = 100
		limit   = 128 << 20 // the process at its most; the rows are more
		each    = 128 << 10 // what a client may hold in the process
	)
	db := pgtest.New(t)
	db.Exec(fmt.Sprintf("CREATE TABLE large (id int PRIMARY KEY, body text); INSERT INTO large SELECT i, repeat('x', 60) FROM generate_series(1, %d) i", rows))
	s := newService(t, db.URL, "SPILLWAY_WRITE_TIMEOUT=5m")
	q := url.Values{"table": {"large"}, "offset": {"-1"}}
	total, first := int64(0), int64(0)
	for done := false; !done; {
		resp, err := http.Get(s.url + "?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		resp.Body.Close()
		if first == 0 {
			first = n
		}
		total += n
		q.Set("offset", resp.Header.Get("electric-offset"))
		q.Set("handle", resp.Header.Get("electric-handle"))
		_, done = resp.Header["Electric-Up-To-Date"]
	}
	p := peak(t, s.cmd.Process.Pid)
	t.Logf("%d MiB of rows, the process had %d MiB at the most", total>>20, p>>20)
	if p > limit || total < limit {
		t.Errorf("%d MiB; the limit is %d", p>>20, limit>>20)
	}

	before := inUse(t, s)
	for range readers {
		conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/v1/shape"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET /v1/shape?table=large&offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 30*time.Second, "all to be stuck", func() error {
		_, stacks := get(t, s.admin+"/debug/pprof/goroutine?debug=2")
		if n := strings.Count(stacks, "(*visit).serveChunk("); n != readers {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	if cost := (inUse(t, s) - before) / readers; cost > each {
		t.Errorf("a client that does not read %d bytes costs %d; the budget is %d", first, cost, each)
	} else {
		t.Logf("a client that does not read %d bytes costs %d", first, cost)
	}
}
