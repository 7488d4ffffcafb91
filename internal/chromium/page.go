package chromium

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Page is one tab.
type Page struct {
	t       *testing.T
	b       *Browser
	session string

	mu        sync.Mutex
	faults    []string
	responses []Response
}

// A View is how a page is looked at.
type View struct {
	Width  int    // CSS pixels
	Scheme string // light or dark
}

func (v View) String() string { return fmt.Sprintf("%d-%s", v.Width, v.Scheme) }

// Desk is for pages that nobody looks at.
var Desk = View{Width: 1600, Scheme: "light"}

// A Response is what a page's network stack tells of an answer when its headers
// have come.
type Response struct {
	URL        string
	MIMEType   string `json:"mimeType"`
	Status     int
	Protocol   string  // http/1.1, h2
	Connection float64 `json:"connectionId"` // which of the browser's connections
	FromCache  bool    `json:"fromDiskCache"`
}

// Open shows a URL in a new tab for the time of a test.
func (b *Browser) Open(t *testing.T, url string, v View) *Page {
	t.Helper()
	p := &Page{t: t, b: b}
	var context struct {
		ID string `json:"browserContextId"`
	}
	p.Call("Target.createBrowserContext", nil, &context)
	t.Cleanup(func() {
		// With its pages. The browser may have ended.
		_, _ = b.call("", "Target.disposeBrowserContext", map[string]any{"browserContextId": context.ID}, nil)
	})
	var target struct {
		ID string `json:"targetId"`
	}
	p.Call("Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.ID}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	p.Call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	p.session = attached.Session
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.Call(domain+".enable", nil, nil)
	}
	p.Call("Emulation.setScrollbarsHidden", map[string]any{"hidden": true}, nil)
	// One tab of several counts as hidden, and clients pause in hidden ones.
	p.Call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
	// A self-made certificate is as good as any.
	p.Call("Security.setIgnoreCertificateErrors", map[string]any{"ignore": true}, nil)
	p.Look(v)
	p.Call("Page.navigate", map[string]any{"url": url}, nil)
	p.Until("the page to be loaded", fmt.Sprintf("document.readyState === 'complete' && location.href === %q", url))
	return p
}

// heard keeps what an event tells.
func (p *Page) heard(method string, params json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch method {
	case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
		p.faults = append(p.faults, string(params))
	case "Network.responseReceived":
		var r struct{ Response Response }
		if err := json.Unmarshal(params, &r); err != nil {
			p.t.Errorf("%s: %v", method, err)
		}
		p.responses = append(p.responses, r.Response)
	}
}

// Complaints are the errors and messages of the page since the last call.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults
	p.faults = nil
	return f
}

// Responses are all that the page has got so far.
func (p *Page) Responses() []Response {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.responses)
}

// Call is a command of the DevTools protocol to the page.
func (p *Page) Call(method string, params, result any) {
	p.t.Helper()
	refusal, err := p.b.call(p.session, method, params, result)
	if err != nil {
		p.t.Fatal(err)
	}
	if refusal != "" {
		p.t.Fatalf("%s: %s", method, refusal)
	}
}

// Look sets width and colour scheme.
func (p *Page) Look(v View) {
	p.t.Helper()
	p.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": v.Width, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": v.Scheme}}}, nil)
}

// Offline takes the page's network away, or gives it back.
func (p *Page) Offline(away bool) {
	p.t.Helper()
	p.Call("Network.emulateNetworkConditions", map[string]any{"offline": away, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}, nil)
}

// Eval returns the value of an expression in the page, nil if the page is just
// being left for another. A promise is waited for.
func (p *Page) Eval(expression string) any {
	p.t.Helper()
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
	refusal, err := p.b.call(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	switch {
	case err != nil:
		p.t.Fatal(err)
	case strings.Contains(refusal, "context") || strings.Contains(refusal, "navigated"):
		return nil
	case refusal != "":
		p.t.Fatalf("%s: %s", expression, refusal)
	case r.Exception != nil:
		p.t.Fatalf("%s: %s %s", expression, r.Exception.Text, r.Exception.Exception.Description)
	}
	return r.Result.Value
}

// Until waits until a condition in the page is true.
func (p *Page) Until(what, condition string) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(Patience)
	for p.Eval("!!("+condition+")") != true {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("waited %s for %s; the page says: %v", Patience, what, p.Eval("document.body.innerText"))
		}
	}
}

// Picture returns the whole page as a PNG.
func (p *Page) Picture() []byte {
	p.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	var size struct {
		Content struct{ Width, Height float64 } `json:"cssContentSize"`
	}
	p.Call("Page.getLayoutMetrics", nil, &size)
	clip := map[string]any{"x": 0, "y": 0, "width": size.Content.Width, "height": size.Content.Height, "scale": 1}
	p.Call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": clip}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return png
}
