package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// fanoutClients are the numbers of clients that wait on one shape.
var fanoutClients = []int{100, 1_000, 10_000}

// yardstickPort is where the server that does nothing but wake is.
const yardstickPort = 39302

// fanout measures from sending a commit to the last of many waiting
// clients having its answer, and what each costs the server while it waits.
// The yardstick is a Go server that parks as many requests and wakes them with
// the same bytes.
func (r *run) fanout(ctx context.Context) (err error) {
	// A commit that does not wait for its WAL is told to nobody until the WAL writer
	// comes by, up to 200 ms later.
	if err := r.exec(ctx, "SET synchronous_commit = on"); err != nil {
		return err
	}
	defer func() { err = join(err, r.exec(ctx, "RESET synchronous_commit")) }()
	if err := r.exec(ctx, "DROP TABLE IF EXISTS fan; CREATE TABLE fan (id int PRIMARY KEY, v text); INSERT INTO fan VALUES (1, 'x')"); err != nil {
		return err
	}
	stop, err := startYardstick()
	if err != nil {
		return err
	}
	defer func() { err = join(err, stop()) }()
	w := walk("table", "fan")
	for done := false; !done; {
		if done, err = w.step(ctx, func([]byte) {}); err != nil {
			return err
		}
	}
	handle, offset := w.handle, w.offset
	for _, n := range fanoutClients {
		ours, body, next, err := r.fanRound(ctx, n, handle, offset)
		if err != nil {
			return fmt.Errorf("%d clients: %w", n, err)
		}
		offset = next
		theirs, err := yardstickRound(n, body)
		if err != nil {
			return fmt.Errorf("yardstick, %d clients: %w", n, err)
		}
		row(fmt.Sprintf("commit → last of %d waiting clients", n), ours.String(), "bare Go server: "+theirs.String(),
			fmt.Sprintf("%.2f", float64(theirs.last)/float64(ours.last)))
	}
	return nil
}

// fanned is the outcome of one number of clients, of three rounds the best.
type fanned struct {
	last time.Duration
	each int // bytes
}

func (f fanned) String() string {
	return fmt.Sprintf("%.1f ms, %.1f KiB each", float64(f.last.Microseconds())/1000, float64(f.each)/1024)
}

const (
	fanRounds = 3
	settle    = 2 * time.Second
)

func (r *run) fanRound(ctx context.Context, n int, handle, offset string) (f fanned, body []byte, next string, err error) {
	heap := func() (int, error) {
		return memoryOf(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/heap?gc=1&debug=1", admin))
	}
	before, err := heap()
	if err != nil {
		return f, nil, "", err
	}
	cs, err := dialAll(fmt.Sprintf("127.0.0.1:%d", port), n)
	if err != nil {
		return f, nil, "", err
	}
	defer cs.close()
	for round := range fanRounds {
		target := fmt.Sprintf("/v1/shape?table=fan&live=true&handle=%s&offset=%s", handle, offset)
		done, err := cs.ask(target)
		if err != nil {
			return f, nil, "", err
		}
		time.Sleep(settle) // until all are parked; they are held for 20 s
		if round == 0 {
			after, err := heap()
			if err != nil {
				return f, nil, "", err
			}
			f.each = max(0, after-before) / n
		}
		began := time.Now()
		if err := r.exec(ctx, "UPDATE fan SET v = v || 'x' WHERE id = 1"); err != nil {
			return f, nil, "", err
		}
		res, err := done()
		if err != nil {
			return f, nil, "", err
		}
		if took := time.Since(began); round == 0 || took < f.last {
			f.last = took
		}
		body, offset = res.body, res.header.Get("electric-offset")
	}
	return f, body, offset, nil
}

func yardstickRound(n int, body []byte) (f fanned, err error) {
	base := fmt.Sprintf("127.0.0.1:%d", yardstickPort)
	before, err := memoryOf("http://" + base + "/memory")
	if err != nil {
		return f, err
	}
	cs, err := dialAll(base, n)
	if err != nil {
		return f, err
	}
	defer cs.close()
	for round := range fanRounds {
		done, err := cs.ask("/wait")
		if err != nil {
			return f, err
		}
		time.Sleep(settle)
		if round == 0 {
			after, err := memoryOf("http://" + base + "/memory")
			if err != nil {
				return f, err
			}
			f.each = max(0, after-before) / n
		}
		began := time.Now()
		res, err := http.Post("http://"+base+"/wake", "", bytes.NewReader(body))
		if err != nil {
			return f, err
		}
		if err := res.Body.Close(); err != nil {
			return f, err
		}
		if _, err := done(); err != nil {
			return f, err
		}
		if took := time.Since(began); round == 0 || took < f.last {
			f.last = took
		}
	}
	return f, nil
}

// crowd is many connections.
type crowd struct {
	conns   []net.Conn
	readers []*bufio.Reader
}

func dialAll(addr string, n int) (*crowd, error) {
	c := &crowd{}
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
		c.readers = append(c.readers, bufio.NewReaderSize(conn, 2048))
	}
	return c, nil
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // only read from
	}
}

type answer struct {
	header http.Header
	body   []byte
}

// ask sends one request on each connection. What it returns waits for all
// answers, and has the last of them.
func (c *crowd) ask(target string) (done func() (answer, error), err error) {
	text := []byte("GET " + target + " HTTP/1.1\r\nHost: bench\r\n\r\n")
	var all sync.WaitGroup
	var last atomic.Pointer[answer]
	errs := make(chan error, len(c.conns))
	for i, conn := range c.conns {
		if _, err := conn.Write(text); err != nil {
			return nil, err
		}
		all.Go(func() {
			res, err := http.ReadResponse(c.readers[i], nil)
			if err != nil {
				errs <- err
				return
			}
			body, err := io.ReadAll(res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
				errs <- fmt.Errorf("status %d: %s, %w", res.StatusCode, body, err)
				return
			}
			last.Store(&answer{res.Header, body})
		})
	}
	return func() (answer, error) {
		all.Wait()
		select {
		case err := <-errs:
			return answer{}, err
		default:
			return *last.Load(), nil
		}
	}, nil
}

var memoryText = []*regexp.Regexp{regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)`), regexp.MustCompile(`(?m)^# Stack = (\d+) /`)}

// memoryOf is the heap and the stacks of a Go server after a collection.
func memoryOf(url string) (sum int, err error) {
	var text []byte
	for range 3 { // each collection halves the stacks that are too large
		res, err := http.Get(url)
		if err != nil {
			return 0, err
		}
		text, err = io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return 0, err
		}
	}
	for _, re := range memoryText {
		m := re.FindSubmatch(text)
		if m == nil {
			return 0, fmt.Errorf("%s does not tell the memory", url)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// startYardstick starts this program again as the bare server.
func startYardstick() (stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-bare-server")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		return err
	}
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = memoryOf(fmt.Sprintf("http://127.0.0.1:%d/memory", yardstickPort)); err == nil {
			return stop, nil
		} else if time.Now().After(limit) {
			return nil, join(err, stop())
		}
	}
}

// bareServer parks requests at /wait and wakes all at /wake with its body.
func bareServer() error {
	var mu sync.Mutex
	wake, body := make(chan struct{}), []byte(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		c := wake
		mu.Unlock()
		select {
		case <-c:
		case <-r.Context().Done():
			return
		}
		mu.Lock()
		b := body
		mu.Unlock()
		_, _ = w.Write(b) // who has left need not be told
	})
	mux.HandleFunc("/wake", func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		body = b
		close(wake)
		wake = make(chan struct{})
	})
	mux.HandleFunc("/memory", func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "# HeapAlloc = %d\n# Stack = %d / %d\n", m.HeapAlloc, m.StackInuse, m.StackSys)
	})
	return http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", yardstickPort), mux)
}
