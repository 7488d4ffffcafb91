package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/chromium"
	"github.com/spillway-sync/spillway/internal/demo"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// binary is built once, where make clean finds it. It is not the one of the
// other tests: they run at the same time.
const binary = "../../bin/test/spillway-console"

func TestMain(m *testing.M) {
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/spillway").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build spillway: %v\n%s", err, out)
		os.Exit(1)
	}
	pgtest.Main(m)
}

// service is a running binary that serves the demo's tables.
type service struct {
	db             *pgtest.DB
	clients, admin string
}

// words keeps what a process says.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(chromium.Patience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited %s for %s: %v", chromium.Patience, what, err)
		}
	}
}

func start(t *testing.T) (*service, func()) {
	t.Helper()
	db := pgtest.New(t)
	if err := demo.Fill(t.Context(), db.URL); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPILLWAY_") && !strings.HasPrefix(v, "ELECTRIC_") && !strings.HasPrefix(v, "DATABASE_URL=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "DATABASE_URL="+db.URL, "SPILLWAY_INSECURE=true", "SPILLWAY_LISTEN_ADDR=127.0.0.1", "SPILLWAY_PORT=0",
		"SPILLWAY_ADMIN_ADDR=127.0.0.1:0", "SPILLWAY_DATA_DIR="+t.TempDir(), "SPILLWAY_STREAM_ID=console")
	var out, log words
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the service: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the service's log:\n%s", &log)
		}
	})
	lines := regexp.MustCompile(`(?m)^spillway: clients on (\S+)\nspillway: operators on (\S+)$`)
	s := &service{db: db}
	eventually(t, "the service's addresses", func() error {
		m := lines.FindStringSubmatch(out.String())
		if m == nil {
			return fmt.Errorf("it said %q", &out)
		}
		s.clients, s.admin = m[1], m[2]
		return nil
	})
	eventually(t, "the service to be active", func() error {
		code, body, err := fetch(s.clients + "/v1/health")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("health %d: %s", code, body)
		}
		return err
	})
	return s, stop
}

func fetch(url string) (int, string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// shape makes one as a client would.
func (s *service) shape(t *testing.T, pairs ...string) string {
	t.Helper()
	q := url.Values{"offset": {"-1"}}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	resp, err := http.Get(s.clients + "/v1/shape?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("shape %v: %s", pairs, resp.Status)
	}
	return resp.Header.Get("electric-handle")
}

// The hostile names are text wherever they are shown.
const hostile = `x"><img src=1 onerror=alert(1)><script>alert(1)</script>`

// The page is live, complains of nothing, fits its window and can be read, at
// the widths of a telephone and a desk, light and dark.
func TestConsole(t *testing.T) {
	s, stop := start(t)
	s.db.Exec(`CREATE TABLE "` + strings.ReplaceAll(hostile, `"`, `""`) + `" (id int PRIMARY KEY)`)
	first := s.shape(t, "table", "issues")
	s.shape(t, "table", "issues", "where", "status = 'open' AND priority <= 2", "columns", "id,title,status,priority")
	s.shape(t, "table", "projects", "where", "name = '<b>&'")
	s.shape(t, "table", `"`+strings.ReplaceAll(hostile, `"`, `""`)+`"`)

	b := chromium.Start(t)
	var p *chromium.Page
	for _, v := range []chromium.View{{Width: 400, Scheme: "light"}, {Width: 400, Scheme: "dark"}, {Width: 1600, Scheme: "light"}, {Width: 1600, Scheme: "dark"}} {
		t.Logf("looking at %s", v)
		if p == nil {
			p = b.Open(t, s.admin+"/", v)
		}
		p.Look(v)
		p.Until("four shapes", "document.querySelectorAll('#shapes tbody tr').length === 4")
		before := p.Eval("document.querySelector('.step .lsn').textContent").(string)
		s.db.Exec("UPDATE issues SET priority = priority + 1 WHERE id = 1")
		p.Until("the positions to move by themselves", fmt.Sprintf("document.querySelector('.step .lsn').textContent !== %q", before))
		fits(t, p)
		keep(t, "console-"+v.String(), p.Picture())
	}
	if n := p.Eval("document.querySelectorAll('main img, main script').length"); n != 0.0 {
		t.Errorf("%v elements came out of a name", n)
	}
	p.Until("the hostile name as text", fmt.Sprintf("document.getElementById('shapes').textContent.includes(%q)", hostile))
	p.Until("a title", "document.title === 'Spillway: active'")

	p.Eval("document.querySelector('#shapes tbody a').click()")
	p.Until("the shape's page", fmt.Sprintf("location.pathname === '/shapes/%s' && document.getElementById('life')", first))
	p.Until("its table", "document.getElementById('life-title').textContent === 'issues'")
	for _, v := range []chromium.View{{Width: 1600, Scheme: "light"}, {Width: 400, Scheme: "dark"}} {
		p.Look(v)
		fits(t, p)
		keep(t, "shape-"+v.String(), p.Picture())
	}
	if f := p.Complaints(); len(f) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(f, "\n"))
	}

	// A service that is gone is told as such, and what was shown stays.
	stop()
	p.Until("the news that nobody answers", "document.getElementById('connection').textContent.startsWith('No answer since')")
	if p.Eval("document.getElementById('life-title').textContent") != "issues" {
		t.Error("what was shown is gone")
	}
}

// Without JavaScript the first page shows everything.
func TestWithoutScript(t *testing.T) {
	s, _ := start(t)
	handle := s.shape(t, "table", "issues")
	b := chromium.Start(t)
	p := b.Open(t, "about:blank", chromium.View{Width: 1600, Scheme: "light"})
	p.Call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	p.Call("Page.navigate", map[string]any{"url": s.admin + "/"}, nil)
	p.Until("the shape", fmt.Sprintf("document.body && document.body.innerText.includes(%q)", handle))
	if f := p.Complaints(); len(f) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(f, "\n"))
	}
}

// The command says what the page says, and its exit code whether all is well.
func TestStatusCommand(t *testing.T) {
	s, stop := start(t)
	addr := strings.TrimPrefix(s.admin, "http://")
	text, err := exec.Command(binary, "status", "--admin-addr", addr).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(text), "active\n") || !strings.Contains(string(text), "spillway_slot_console") {
		t.Errorf("%v\n%s", err, text)
	}
	eventually(t, "a position on the page", func() error {
		cmd := exec.Command(binary, "status", "--json")
		cmd.Env = append(os.Environ(), "SPILLWAY_ADMIN_ADDR="+addr)
		var st engine.Status
		if text, err = cmd.Output(); err != nil || json.Unmarshal(text, &st) != nil || st.Health != engine.HealthActive || st.Positions.Journaled.LSN == 0 {
			return fmt.Errorf("%v\n%s", err, text)
		}
		return nil
	})
	// What answers there, but is no Spillway.
	text, _ = exec.Command(binary, "status", "--admin-addr", strings.TrimPrefix(s.clients, "http://")).CombinedOutput()
	if !strings.Contains(string(text), "404 Not Found") {
		t.Errorf("of another server it says %s", text)
	}
	stop()
	cmd := exec.Command(binary, "status", "--admin-addr", addr)
	text, _ = cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(text), addr) || !strings.Contains(string(text), "SPILLWAY_ADMIN_ADDR") {
		t.Errorf("of a service that is gone: exit code %d, %s", cmd.ProcessState.ExitCode(), text)
	}
}

// fits finds what is wider than the window, or too pale to read. Contrast is
// computed as WCAG 2.2 has it, against the nearest background that is painted.
func fits(t *testing.T, p *chromium.Page) {
	t.Helper()
	if wide := p.Eval("document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide != 0.0 {
		t.Errorf("the page is %v pixels wider than its window", wide)
	}
	faint := p.Eval(`(() => {
		const rgb = s => s.match(/[\d.]+/g).map(Number);
		const light = s => { const [r, g, b] = rgb(s).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126*r + .7152*g + .0722*b };
		const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] !== 0) return c } return 'rgb(255, 255, 255)' };
		const bad = new Set();
		for (const e of document.querySelectorAll('body *')) {
			if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
			const s = getComputedStyle(e);
			const a = light(s.color), b = light(behind(e));
			const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
			if (ratio < 4.5) bad.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
		}
		return [...bad].join('\n');
	})()`)
	if faint != "" {
		t.Errorf("too pale to read:\n%v", faint)
	}
}

// keep leaves a picture where SPILLWAY_PICTURES says, for a person to look at.
func keep(t *testing.T, name string, png []byte) {
	t.Helper()
	if len(png) < 10_000 {
		t.Errorf("picture %s has %d bytes: nothing can be on it", name, len(png))
	}
	dir := os.Getenv("SPILLWAY_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
