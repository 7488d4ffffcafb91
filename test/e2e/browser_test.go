package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/chromium"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// The clients of npm in a browser. All tests share one Chromium; each page has
// connections and a cache of its own.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := chromium.Start(t)
	site := serveScript(t, bundle(t, "browser/page.jsx", ""))
	t.Run("clients", func(t *testing.T) { t.Parallel(); testBrowserClients(t, b, site) })
	t.Run("fifty shapes", func(t *testing.T) { t.Parallel(); testFiftyShapes(t, b, site) })
	t.Run("documented component", func(t *testing.T) { t.Parallel(); testReactSnippet(t, b) })
}

// bundle makes one script of a program and what it imports from npm. The program
// is a file of test/clients, or text in TypeScript.
func bundle(t *testing.T, file, text string, flags ...string) []byte {
	t.Helper()
	args := []string{"--bundle", "--jsx=automatic", `--define:process.env.NODE_ENV="production"`, "--log-level=warning"}
	if file != "" {
		args = append(args, file)
	} else {
		args = append(args, "--loader=tsx")
	}
	cmd := exec.Command("node_modules/.bin/esbuild", append(args, flags...)...)
	cmd.Dir = "../clients"
	cmd.Stdin = strings.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	script, err := cmd.Output()
	if err != nil {
		t.Fatalf("bundle %s (see scripts/node.sh): %v\n%s", file, err, &stderr)
	}
	return script
}

// serveScript serves a page that runs a script, and returns its URL.
func serveScript(t *testing.T, script []byte) string {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(path, mime, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mime)
			if _, err := w.Write([]byte(body)); err != nil {
				t.Logf("serve %s: %v", path, err) // a page that is being closed
			}
		})
	}
	answer("/{$}", "text/html", `<!doctype html><title>clients</title><body><div id="root"></div><script src="/page.js"></script>`)
	answer("/page.js", "text/javascript", string(script))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/"
}

// browserClient is a client in a page, and the part of the table that it holds.
type browserClient struct {
	*chromium.Page
	name, where string
}

func (c *browserClient) String() string { return c.name }

// startIn begins to follow items. Options are those of page.jsx.
func startIn(p *chromium.Page, name, kind, url string, o map[string]any) *browserClient {
	o["url"] = url
	if o["params"] == nil {
		o["params"] = map[string]any{"table": "items"}
	}
	text, _ := json.Marshal(o) // texts, booleans and a map of texts
	p.Eval(fmt.Sprintf("start(%q, %q, %s)", name, kind, text))
	return &browserClient{Page: p, name: name}
}

func (c *browserClient) rows(t *testing.T) []map[string]*string {
	t.Helper()
	text := c.Eval(fmt.Sprintf("JSON.stringify(rows(%q))", c.name)).(string)
	var rows []map[string]*string
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func (c *browserClient) holds(t *testing.T, want map[string]string) error {
	t.Helper()
	return sameRows(heldBy(c.rows(t)), want)
}

// The official client, its React hook and TanStack DB in its modes, by polling
// and by events: first sync, changes, a while without network, a restart, a
// rotation. Pages speak HTTP/1.1 here, and so have six connections each.
func testBrowserClients(t *testing.T, b *chromium.Browser, site string) {
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 300))
	s := newService(t, db.URL)
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	network := wireTo(t, u.Host)
	shape := network.url(t, s.url)
	shapes, hooks, collections := b.Open(t, site, chromium.Desk), b.Open(t, site, chromium.Desk), b.Open(t, site, chromium.Desk)
	pages := []*chromium.Page{shapes, hooks, collections}
	type options = map[string]any
	clients := []*browserClient{
		startIn(shapes, "Shape, polling", "shape", shape, options{}),
		startIn(shapes, "Shape, polling the same", "shape", shape, options{}),
		startIn(shapes, "Shape, events", "shape", shape, options{"sse": true}),
		startIn(hooks, "useShape, polling", "react", shape, options{}),
		startIn(hooks, "useShape, events", "react", shape, options{"sse": true}),
	}
	// On demand a collection takes a row that an update brings into its queries
	// only if the update tells the whole row.
	whole := map[string]any{"table": "items", "replica": "full"}
	modes := []*browserClient{
		startIn(collections, "eager", "eager", shape, options{}),
		startIn(collections, "progressive", "progressive", shape, options{"sse": true}),
		startIn(collections, "on-demand, GET", "on-demand", shape, options{"params": whole}),
		// A POST with JSON is asked for first (preflight).
		startIn(collections, "on-demand, POST", "on-demand", shape, options{"params": whole, "sse": true, "method": "POST"}),
	}
	clients = append(clients, modes...)
	for _, c := range modes[2:] {
		if n := len(c.rows(t)); n != 0 {
			t.Errorf("%s: %d rows before any was asked for", c, n)
		}
		c.Eval(fmt.Sprintf("load(%q, 50)", c.name))
		c.where = " WHERE n >= 50"
	}
	equal := func(what string) {
		t.Helper()
		for _, c := range clients {
			eventually(t, 60*time.Second, c.name+": "+what, func() error {
				if trouble := c.Eval("trouble.join()"); trouble != "" {
					t.Fatalf("%s: a client gave up: %s", c, trouble)
				}
				return c.holds(t, itemsOf(db, c.where))
			})
		}
	}
	equal("the first sync")
	xid := db.Value("WITH x AS (UPDATE items SET n = n + 1 WHERE id < 80 RETURNING id) SELECT max(pg_current_xact_id()::text) FROM x")
	for _, c := range modes {
		c.Eval(fmt.Sprintf("awaitTx(%q, %s, 30000)", c.name, xid))
	}
	db.Exec("DELETE FROM items WHERE id = 60;" + fmt.Sprintf(itemsRow, 400, 420))
	equal("changes")

	// Chromium's own switch lets requests end that have begun.
	for _, p := range pages {
		p.Offline(true)
		if p.Eval(fmt.Sprintf("fetch(%q).then(() => true, () => navigator.onLine)", shape)) != false {
			t.Fatal("the page has a network still")
		}
	}
	network.cut()
	network.hangUp()
	before := make(map[*browserClient]map[string]string)
	for _, c := range clients {
		before[c] = heldBy(c.rows(t))
	}
	db.Exec("UPDATE items SET n = n + 3 WHERE id BETWEEN 100 AND 150; DELETE FROM items WHERE id = 160")
	for _, c := range clients {
		if err := c.holds(t, before[c]); err != nil {
			t.Errorf("%s without network: %v", c, err)
		}
	}
	network.mend()
	for _, p := range pages {
		p.Offline(false)
	}
	equal("what was written while there was no network")

	s.stop()
	db.Exec("UPDATE items SET n = n + 5 WHERE id BETWEEN 200 AND 220; DELETE FROM items WHERE id = 230")
	s.start()
	equal("a restart")
	for _, p := range pages {
		if n := statuses(p)[http.StatusConflict]; n != 0 {
			t.Errorf("%d rotations without a reason", n)
		}
	}
	db.Exec("TRUNCATE items;" + fmt.Sprintf(itemsRow, 500, 640))
	equal("a rotation")
	for i, p := range pages {
		if statuses(p)[http.StatusConflict] == 0 {
			t.Errorf("page %d was not told of the rotation", i)
		}
		polls, streams := 0, 0
		for _, r := range p.Responses() {
			switch {
			case strings.Contains(r.URL, "live_sse=true") && r.MIMEType == "text/event-stream":
				streams++
			case strings.Contains(r.URL, "live=true") && r.MIMEType == "application/json":
				polls++
			}
		}
		if polls == 0 || streams == 0 {
			t.Errorf("page %d: %d live answers and %d streams of events", i, polls, streams)
		}
	}
}

func statuses(p *chromium.Page) map[int]int {
	n := make(map[int]int)
	for _, r := range p.Responses() {
		n[r.Status]++
	}
	return n
}

// Fifty live shapes in one page, half of them by events, share one HTTP/2
// connection to `spillway dev --tls`. Live requests are held for twice as long as
// a change is waited for: one that had to wait for another would be noticed.
func testFiftyShapes(t *testing.T, b *chromium.Browser, site string) {
	const shapes = 50
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 485))
	dir := t.TempDir()
	p := command(t, []string{"dev", "--tls"}, "DATABASE_URL="+db.URL, "SPILLWAY_STREAM_ID="+streamID(t), "SPILLWAY_DATA_DIR="+dir,
		"SPILLWAY_PORT=0", "SPILLWAY_ADMIN_ADDR=127.0.0.1:0", "SPILLWAY_LONG_POLL_TIMEOUT=40s", "SPILLWAY_SSE_TIMEOUT=40s").start()
	clients := p.said(strings.Replace(clientsLine, "http:", "https:", 1))
	awaitTrusted(t, clients, filepath.Join(dir, "tls-cert.pem"))

	page := b.Open(t, site, chromium.Desk)
	equal := func(c *browserClient, what string) {
		t.Helper()
		eventually(t, 20*time.Second, c.name+": "+what, func() error { return c.holds(t, itemsOf(db, c.where)) })
	}
	var all []*browserClient
	for i := range shapes {
		c := startIn(page, fmt.Sprint(i), "shape", clients+"/v1/shape", map[string]any{
			"sse": i%2 == 0, "params": map[string]any{"table": "items", "where": fmt.Sprintf("n = %d", i)},
		})
		c.where = fmt.Sprintf(" WHERE n = %d", i)
		all = append(all, c)
		if i == 0 {
			// From its answer Chromium knows that the server speaks HTTP/2. Else it
			// opens some more connections, and uses one.
			equal(c, "the first sync")
		}
	}
	for _, c := range all {
		equal(c, "the first sync")
	}
	for _, c := range all {
		db.Exec("UPDATE items SET body = 'changed'" + c.where)
		equal(c, "a change that only this shape has")
	}
	db.Exec("UPDATE items SET body = 'together'")
	for _, c := range all {
		equal(c, "a change that all have")
	}
	u, err := url.Parse(clients)
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]int)
	for _, r := range page.Responses() {
		if strings.HasPrefix(r.URL, clients) {
			used[fmt.Sprintf("%s on connection %v", r.Protocol, r.Connection)]++
		}
	}
	if len(used) != 1 || !strings.HasPrefix(fmt.Sprint(used), "map[h2 ") {
		t.Errorf("answers came over %v", used)
	}
	if n := established(t, u.Port()); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	if trouble := page.Eval("trouble.join()"); trouble != "" {
		t.Errorf("a client gave up: %s", trouble)
	}
	p.signal(os.Interrupt)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// awaitTrusted waits for a service with a certificate of its own, which is the
// only one that is trusted, to be active.
func awaitTrusted(t *testing.T, clients, certFile string) {
	t.Helper()
	pem, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	eventually(t, 60*time.Second, "the service to be active", func() error {
		resp, err := (&http.Client{Transport: transport}).Get(clients + "/v1/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			return fmt.Errorf("%s %s", resp.Proto, resp.Status)
		}
		return nil
	})
}

// established counts the open connections to a port of this machine, as the
// kernel does (proc(5), /proc/net/tcp: state 01 is TCP_ESTABLISHED).
func established(t *testing.T, port string) (n int) {
	t.Helper()
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // number, local, remote, state …
			if _, local, _ := strings.Cut(f[1], ":"); f[3] == "01" {
				var at int
				if _, err := fmt.Sscanf(local, "%X", &at); err != nil {
					t.Fatalf("%s: %q: %v", file, line, err)
				}
				if fmt.Sprint(at) == port {
					n++
				}
			}
		}
	}
	return n
}
