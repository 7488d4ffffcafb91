package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// speak sends a text to a service as it is and returns the connection.
func speak(t *testing.T, s *service, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // perhaps again
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, text) }() // the service may hang up before it has read all
	return conn, bufio.NewReader(conn)
}

// TestRawRequests: check-list 7 to 11, 208 and 209, and what is no HTTP at all, byte by
// byte against the binary.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key)")
	s := newService(t, pg.URL)
	const query = "?table=boats&offset=-1"
	line := func(n int) string { // of n bytes, without its end
		head := "GET /v1/shape" + query + "&x="
		return head + strings.Repeat("y", n-len(head)-len(" HTTP/1.1")) + " HTTP/1.1"
	}
	headers := func(n int) string { return strings.Repeat("A: b\r\n", n-1) } // and Host
	for _, c := range []struct{ name, text, want string }{
		{"9,900 bytes", line(9_900) + "\r\nHost: x\r\n\r\n", "200"},
		{"as long as may be", line(256<<10) + "\r\nHost: x\r\n\r\n", "200"},
		{"one byte more", line(256<<10+1) + "\r\nHost: x\r\n\r\n", "414"},
		{"50 headers", "GET /v1/shape" + query + " HTTP/1.1\r\nHost: x\r\n" + headers(50) + "\r\n", "200"},
		{"51 headers", "GET /v1/shape" + query + " HTTP/1.1\r\nHost: x\r\n" + headers(51) + "\r\n", "431"},
		{"endless headers", "GET / HTTP/1.1\r\nHost: x\r\n" + headers(1_000_000), "431"},
		{"two slashes", "GET //v1//shape/" + query + " HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
		{"a path in escapes", "GET /v1/%73hape" + query + " HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
		{"an escaped slash", "GET /v1%2Fshape" + query + " HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"an absolute URL", "GET http://x/v1/shape" + query + " HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
		{"malformed escape", "GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"two lengths", "POST /v1/shape" + query + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "400"},
		{"a coding nobody knows", "POST /v1/shape" + query + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
		{"a broken line", "GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n", "400"},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
	} {
		_, in := speak(t, s, c.text)
		status, err := in.ReadString('\n')
		if got := strings.Fields(status); err != nil || len(got) < 2 || got[1] != c.want {
			t.Errorf("%s: %q, %v; want %s", c.name, status, err, c.want)
		}
	}
}

// TestSlowReader: check-list 211: a client that does not read holds nobody up, and
// what it reads at last is whole.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key, name text); insert into boats select i, repeat('x', 1000) from generate_series(1, 20000) i")
	s := newService(t, pg.URL)
	q := url.Values{"table": {"boats"}, "offset": {"-1"}}
	_, header, want := shapeGet(t, s.url, q)
	conn, in := speak(t, s, "GET /v1/shape?"+q.Encode()+" HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	// It stands still now: 10 MiB do not fit into any buffer on the way.
	for range 5 {
		if status, _, body := shapeGet(t, s.url, q); status != http.StatusOK || body != want {
			t.Fatalf("another client: %d, %d bytes of %d", status, len(body), len(want))
		}
	}
	q.Set("offset", "0_inf")
	q.Set("handle", header.Get("electric-handle"))
	q.Set("live", "true")
	pg.Exec("insert into boats values (0, 'new')")
	eventually(t, 20*time.Second, "the new row", func() error {
		if _, _, body := shapeGet(t, s.url, q); !strings.Contains(body, `"new"`) {
			return errors.New(body)
		}
		return nil
	})
	got, err := io.ReadAll(res.Body)
	if err != nil || string(got) != want {
		t.Errorf("the slow one has %d bytes of %d, %v", len(got), len(want), err)
	}
}

// TestSubsetSees: check-list 182: of a change after the subset the metadata say that it
// was not visible, and of one before it, which the log has as well, that it was. (That
// the clients drop the latter is shown in client_test.go and gosubset_test.go.)
func TestSubsetSees(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key, n int); insert into boats values (1, 0)")
	s := newService(t, pg.URL)
	q := url.Values{"table": {"boats"}, "log": {"changes_only"}, "offset": {"now"}}
	_, header, _ := shapeGet(t, s.url, q)
	q.Set("offset", header.Get("electric-offset"))
	q.Set("handle", header.Get("electric-handle"))
	pg.Exec("update boats set n = 1")
	q.Set("subset__where", "id = 1")
	_, header, body := shapeGet(t, s.url, q)
	q.Del("subset__where")
	var subset struct {
		Metadata struct {
			Xmin, Xmax string
			Xips       []string `json:"xip_list"`
			LSN        string   `json:"database_lsn"`
		}
		Data []struct{ Value struct{ N string } }
	}
	if err := json.Unmarshal([]byte(body), &subset); err != nil || len(subset.Data) != 1 || subset.Data[0].Value.N != "1" {
		t.Fatalf("%s: %v", body, err)
	}
	if at := header.Get("electric-offset"); at != q.Get("offset") {
		t.Errorf("the subset moves the place in the log from %s to %s", q.Get("offset"), at)
	}
	pg.Exec("update boats set n = 2")
	number := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sees := func(xid uint64) bool {
		m := subset.Metadata
		return xid < number(m.Xmin) || xid < number(m.Xmax) && !slices.Contains(m.Xips, fmt.Sprint(xid))
	}
	seen := map[string]bool{}
	q.Set("live", "true")
	eventually(t, 20*time.Second, "both changes", func() error {
		_, header, body := shapeGet(t, s.url, q)
		var log []struct {
			Value   struct{ N string }
			Headers struct {
				Operation, LSN string
				Txids          []uint64
			}
		}
		if err := json.Unmarshal([]byte(body), &log); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		for _, m := range log {
			if m.Headers.Operation == "update" {
				seen[m.Value.N] = sees(m.Headers.Txids[0])
				if before := number(m.Headers.LSN) < number(subset.Metadata.LSN); before != seen[m.Value.N] {
					t.Errorf("change %s is at %s, the subset at %s", m.Value.N, m.Headers.LSN, subset.Metadata.LSN)
				}
			}
		}
		q.Set("offset", header.Get("electric-offset"))
		if len(seen) < 2 {
			return fmt.Errorf("so far %v", seen)
		}
		return nil
	})
	if !seen["1"] || seen["2"] {
		t.Errorf("seen by the subset: %v", seen)
	}
}
