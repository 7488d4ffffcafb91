package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-sync/spillway/client"
)

// isTerminal reports whether somebody looks at a file.
func isTerminal(f *os.File) bool {
	_, _, ok := terminalSize(f)
	return ok
}

// terminalSize returns columns and lines.
func terminalSize(f *os.File) (width, height int, ok bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	width, height = int(size.Col), int(size.Row)
	if width == 0 || height == 0 {
		width, height = 80, 24 // a terminal that does not know
	}
	return width, height, true
}

// counter counts the bytes of answers.
type counter struct {
	next  http.RoundTripper
	bytes atomic.Int64
}

// RoundTrip makes a request.
func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err == nil {
		resp.Body = &countedBody{resp.Body, c}
	}
	return resp, err
}

type countedBody struct {
	io.ReadCloser
	c *counter
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.bytes.Add(int64(n))
	return n, err
}

// syncProgress is a line on a terminal about the first sync, which goes away at its
// end, and a line for each kind of fault that is retried.
type syncProgress struct {
	to      *os.File
	traffic *counter
	began   time.Time
	rows    atomic.Int64

	end     chan struct{}
	once    sync.Once
	drawing sync.WaitGroup

	mu    sync.Mutex // guards shown and said; held while a line is written
	shown bool
	said  string
}

func startProgress(to *os.File, traffic *counter) *syncProgress {
	p := &syncProgress{to: to, traffic: traffic, began: time.Now(), end: make(chan struct{})}
	if isTerminal(to) {
		p.drawing.Go(p.draw)
	}
	return p
}

func (p *syncProgress) draw() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.mu.Lock()
			p.shown = true
			fmt.Fprintf(p.to, "\r\x1b[K%s", progressText(p.rows.Load(), p.traffic.bytes.Load(), time.Since(p.began)))
			p.mu.Unlock()
		case <-p.end:
			return
		}
	}
}

// progressText is for example "1,250,000 rows  98.5 MB  24.6 MB/s".
func progressText(rows, bytes int64, took time.Duration) string {
	mb := float64(bytes) / 1e6
	return fmt.Sprintf("%s rows  %.1f MB  %.1f MB/s", grouped(rows), mb, mb/max(took.Seconds(), 0.001))
}

// grouped writes 1250000 as 1,250,000.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// add counts the rows of a batch. The first up-to-date message ends the line.
func (p *syncProgress) add(batch []client.Message) {
	for i := range batch {
		if batch[i].IsChange() {
			p.rows.Add(1)
		}
	}
	if n := len(batch); n > 0 && batch[n-1].IsUpToDate() {
		p.stop()
	}
	p.mu.Lock()
	p.said = "" // the next fault is news
	p.mu.Unlock()
}

// stop removes the line.
func (p *syncProgress) stop() {
	p.once.Do(func() {
		close(p.end)
		p.drawing.Wait()
		p.clear()
	})
}

func (p *syncProgress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprintf(p.to, "\r\x1b[K")
		p.shown = false
	}
}

// retrying tells of a fault, once as long as it is the same.
func (p *syncProgress) retrying(err error, _ time.Duration) {
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := err.Error(); text != p.said {
		p.said = text
		fmt.Fprintln(p.to, "spillway: trying again:", text)
	}
}
