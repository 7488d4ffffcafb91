package chromium

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A Browser is a Chromium that is told what to do over a pipe: JSON messages of
// its DevTools protocol, each ended by a zero byte.
type Browser struct {
	t      *testing.T
	to     *os.File
	stderr bytes.Buffer // read after it has ended

	writing sync.Mutex // keeps messages whole; the pipe is always read

	mu    sync.Mutex
	next  int
	wait  map[int]chan message
	pages map[string]*Page // by session
	ended bool
}

// message is what the browser says: the answer to a call, or an event.
type message struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Patience is how long the browser may think about one call, and a page may
// take to do what is waited for: the machine may be busy with other tests.
const Patience = 60 * time.Second

// Start runs a Chromium for the time of a test and of its subtests, which may
// share it: each page has cookies, cache and connections of its own.
func Start(t *testing.T) *Browser {
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
	b := &Browser{t: t, to: ourOut, wait: map[int]chan message{}, pages: map[string]*Page{}}
	cmd.Stderr = &b.stderr
	cmd.WaitDelay = time.Second // its helpers may keep stderr open
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	if err := errors.Join(theirIn.Close(), theirOut.Close()); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { b.read(ourIn) })
	t.Cleanup(func() {
		if err := ourOut.Close(); err != nil { // it ends when nobody steers it
			t.Error(err)
		}
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
		if err := ourIn.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("Chromium said:\n%s", &b.stderr)
		}
	})
	return b
}

func (b *Browser) read(from *os.File) {
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
		var m message
		if err := json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m); err != nil {
			b.t.Errorf("Chromium said %.200s: %v", text, err)
			continue
		}
		b.mu.Lock()
		page := b.pages[m.Session]
		if c := b.wait[m.ID]; m.ID != 0 && c != nil {
			c <- m // it has room
			delete(b.wait, m.ID)
		}
		b.mu.Unlock()
		if m.ID == 0 && page != nil {
			page.heard(m.Method, m.Params)
		}
	}
}

// call asks the browser, or one of its pages if session is not empty. A refusal
// is what it says instead of an answer.
func (b *Browser) call(session, method string, params any, result any) (refusal string, err error) {
	c := make(chan message, 1)
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return "", fmt.Errorf("%s: Chromium has ended", method)
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
		return "", fmt.Errorf("%s: %w", method, err)
	}
	b.writing.Lock()
	_, err = b.to.Write(append(text, 0))
	b.writing.Unlock()
	if err != nil {
		return "", fmt.Errorf("tell Chromium %s: %w", method, err)
	}
	select {
	case a, ok := <-c:
		switch {
		case !ok:
			return "", fmt.Errorf("Chromium ended at %s", method)
		case a.Error != nil:
			return a.Error.Message, nil
		case result != nil:
			if err := json.Unmarshal(a.Result, result); err != nil {
				return "", fmt.Errorf("%s: %w", method, err)
			}
		}
		return "", nil
	case <-time.After(Patience):
		return "", fmt.Errorf("Chromium does not answer %s", method)
	}
}
