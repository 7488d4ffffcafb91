package console

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a Chromium that is told what to do over a pipe: JSON messages of
// its DevTools protocol, each ended by a zero byte.
type browser struct {
	t      *testing.T
	to     *os.File
	stderr bytes.Buffer // read after it has ended

	mu     sync.Mutex
	next   int
	wait   map[int]chan answer
	faults []string // what pages complained of
	ended  bool
}

// answer is a message of the browser: to a call, or an event.
type answer struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// answerTime is how long the browser may think about one call: the machine may
// be busy with other tests.
const answerTime = 60 * time.Second

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("no Chromium is in PATH: sh scripts/chromium.sh installs it")
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as it expects them
	b := &browser{t: t, to: ourOut, wait: map[int]chan answer{}}
	cmd.Stderr = &b.stderr
	cmd.WaitDelay = time.Second // its helpers may keep stderr open
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	theirIn.Close()
	theirOut.Close()
	var reading sync.WaitGroup
	reading.Go(func() { b.read(ourIn) })
	t.Cleanup(func() {
		ourOut.Close() // it ends when nobody steers it
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = cmd.Wait() // how it ends says nothing about the pages
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill() // it may have ended
			<-done
		}
		reading.Wait()
		ourIn.Close()
		if t.Failed() {
			t.Logf("Chromium said:\n%s", &b.stderr)
		}
	})
	return b
}

func (b *browser) read(from *os.File) {
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ended = true
			for id, c := range b.wait {
				close(c)
				delete(b.wait, id)
			}
			return
		}
		var a answer
		if err := json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &a); err != nil {
			b.t.Errorf("Chromium said %.200s: %v", text, err)
			continue
		}
		b.mu.Lock()
		switch {
		case a.ID != 0:
			if c := b.wait[a.ID]; c != nil {
				c <- a // it has room
				delete(b.wait, a.ID)
			}
		case a.Method == "Log.entryAdded" || a.Method == "Runtime.exceptionThrown" || a.Method == "Runtime.consoleAPICalled":
			b.faults = append(b.faults, string(a.Params))
		}
		b.mu.Unlock()
	}
}

// complaints are the errors and messages of pages since the last call.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.faults
	b.faults = nil
	return f
}

// call asks the browser, or one of its pages if session is not empty.
func (b *browser) call(session, method string, params any, result any) {
	b.t.Helper()
	if refusal := b.try(session, method, params, result); refusal != "" {
		b.t.Fatalf("%s: %s", method, refusal)
	}
}

// try is call, but returns why the browser refuses.
func (b *browser) try(session, method string, params any, result any) (refusal string) {
	b.t.Helper()
	c := make(chan answer, 1)
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		b.t.Fatal("Chromium has ended")
	}
	b.next++
	id := b.next
	b.wait[id] = c
	b.mu.Unlock()
	m := map[string]any{"id": id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatalf("tell Chromium: %v", err)
	}
	select {
	case a, ok := <-c:
		if !ok {
			b.t.Fatalf("Chromium ended at %s", method)
		}
		if a.Error != nil {
			return a.Error.Message
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(answerTime):
		b.t.Fatalf("Chromium does not answer %s", method)
	}
	return ""
}

// page is one tab.
type page struct {
	b       *browser
	session string
}

// view is how a page is looked at.
type view struct {
	width  int // CSS pixels
	scheme string
}

func (v view) String() string { return fmt.Sprintf("%d-%s", v.width, v.scheme) }

func (b *browser) open(url string, v view) *page {
	b.t.Helper()
	var target struct {
		TargetID string `json:"targetId"`
	}
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &page{b, attached.SessionID}
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Emulation.setScrollbarsHidden", map[string]any{"hidden": true}, nil)
	p.look(v)
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	p.until("the page to be loaded", fmt.Sprintf("document.readyState === 'complete' && location.href === %q", url))
	return p
}

func (p *page) call(method string, params, result any) {
	p.b.t.Helper()
	p.b.call(p.session, method, params, result)
}

// look sets width and colour scheme.
func (p *page) look(v view) {
	p.b.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": v.width, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": v.scheme}}}, nil)
}

// eval returns the value of an expression in the page, nil if the page is just
// being left for another.
func (p *page) eval(expression string) any {
	p.b.t.Helper()
	var r struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	refusal := p.b.try(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if strings.Contains(refusal, "context") || strings.Contains(refusal, "navigated") {
		return nil
	}
	if refusal != "" {
		p.b.t.Fatalf("%s: %s", expression, refusal)
	}
	if r.Exception != nil {
		p.b.t.Fatalf("%s: %s %s", expression, r.Exception.Text, r.Exception.Exception.Description)
	}
	return r.Result.Value
}

// until waits until a condition in the page is true.
func (p *page) until(what, condition string) {
	p.b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(answerTime)
	for p.eval("!!("+condition+")") != true {
		select {
		case <-tick.C:
		case <-limit:
			p.b.t.Fatalf("waited %s for %s; the page says: %v", answerTime, what, p.eval("document.body.innerText"))
		}
	}
}

// picture returns the whole page as a PNG.
func (p *page) picture() []byte {
	p.b.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	var size struct {
		Content struct{ Width, Height float64 } `json:"cssContentSize"`
	}
	p.call("Page.getLayoutMetrics", nil, &size)
	clip := map[string]any{"x": 0, "y": 0, "width": size.Content.Width, "height": size.Content.Height, "scale": 1}
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": clip}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.b.t.Fatal(err)
	}
	return png
}
