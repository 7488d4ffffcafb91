package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// binary is built once, where make clean finds it.
const binary = "../../bin/test/spillway"

func TestMain(m *testing.M) {
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/spillway").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build spillway: %v\n%s", err, out)
		os.Exit(1)
	}
	pgtest.Main(m)
}

// service is a running `spillway serve`. It keeps its ports and its data over
// kill and start.
type service struct {
	t     *testing.T
	env   []string
	url   string // of /v1/shape
	admin string
	log   *logBuffer
	cmd   *exec.Cmd
	done  chan error
}

// logBuffer keeps the last of what a process said.
type logBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if n := len(l.b) - 64<<10; n > 0 {
		l.b = l.b[n:]
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// newService starts a service on free ports. More settings come as "NAME=value".
func newService(t *testing.T, dbURL string, settings ...string) *service {
	t.Helper()
	s := prepareService(t, dbURL, settings...)
	s.start()
	return s
}

// prepareService is newService without the start.
func prepareService(t *testing.T, dbURL string, settings ...string) *service {
	t.Helper()
	port, adminPort := freePort(t), freePort(t)
	s := &service{
		t:     t,
		url:   fmt.Sprintf("http://127.0.0.1:%d/v1/shape", port),
		admin: fmt.Sprintf("http://127.0.0.1:%d", adminPort),
		log:   &logBuffer{},
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPILLWAY_") && !strings.HasPrefix(v, "ELECTRIC_") && !strings.HasPrefix(v, "DATABASE_URL=") {
			s.env = append(s.env, v)
		}
	}
	s.env = append(s.env,
		"DATABASE_URL="+dbURL, "SPILLWAY_INSECURE=true", "SPILLWAY_LISTEN_ADDR=127.0.0.1", "SPILLWAY_LONG_POLL_TIMEOUT=1s",
		fmt.Sprintf("SPILLWAY_PORT=%d", port), fmt.Sprintf("SPILLWAY_ADMIN_ADDR=127.0.0.1:%d", adminPort),
		"SPILLWAY_DATA_DIR="+t.TempDir(), "SPILLWAY_STREAM_ID="+streamID(t))
	s.env = append(s.env, settings...)
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if t.Failed() {
			t.Logf("the service's log:\n%s", s.log)
		}
	})
	return s
}

// streamID is unique for each test: slots belong to the whole cluster.
func streamID(t *testing.T) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	return id[:min(len(id), 40)]
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the process and waits until it is active.
func (s *service) start() {
	s.t.Helper()
	s.launch()
	s.waitActive()
}

func (s *service) launch() {
	s.t.Helper()
	s.cmd = exec.Command(binary, "serve")
	s.cmd.Env = s.env
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan error, 1)
	go func(c *exec.Cmd, done chan error) { done <- c.Wait() }(s.cmd, s.done)
}

func (s *service) waitActive() {
	s.t.Helper()
	health := strings.TrimSuffix(s.url, "shape") + "health"
	eventually(s.t, 60*time.Second, "the service to be active", func() error {
		select {
		case err := <-s.done:
			s.done <- err
			s.t.Fatalf("the service ended: %v\n%s", err, s.log)
		default:
		}
		resp, err := http.Get(health)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("health: %s", resp.Status)
		}
		return nil
	})
}

// crash kills the process once all shapes are live: one whose first rows the disk does not
// have yet goes, also if its clients have been told them.
func (s *service) crash() {
	s.t.Helper()
	eventually(s.t, 30*time.Second, "first rows to be durable", func() error {
		if n := s.status()["shapes"].(map[string]any)["snapshotting"]; n != 0.0 {
			return fmt.Errorf("%v shapes have none", n)
		}
		return nil
	})
	s.kill()
}

// kill ends the process as a crash would, at any moment.
func (s *service) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
	<-s.done
	s.cmd = nil
}

// stop asks the process to end and returns its exit code.
func (s *service) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		s.t.Fatal("the service did not end within 10 s of SIGTERM")
	}
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return code
}

// status reads the admin listener's status page.
func (s *service) status() map[string]any {
	s.t.Helper()
	resp, err := http.Get(s.admin + "/status")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// eventually waits until f returns nil.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", limit, what, err)
		}
	}
}

// official is the official client in Node.js, following one shape.
type official struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan []byte
}

func follow(t *testing.T, url string, params map[string]any, flags ...string) *official {
	t.Helper()
	p, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", append([]string{"follow.mjs", url, string(p)}, flags...)...)
	cmd.Dir = "../clients"
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("run the official client (see scripts/node.sh): %v", err)
	}
	o := &official{t: t, in: in, lines: make(chan []byte, 1024)}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(o.lines)
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 256<<20)
		for sc.Scan() {
			if bytes.Contains(sc.Bytes(), []byte(`"upToDate":true`)) {
				continue // progress, for a person who looks
			}
			o.lines <- bytes.Clone(sc.Bytes())
		}
	})
	t.Cleanup(func() {
		in.Close()
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the official client: %v\n%s", err, &stderr)
		}
	})
	return o
}

// holding is what the official client holds.
type holding struct {
	Dump      []map[string]*string `json:"dump"`
	Refetches int                  `json:"refetches"`
	Messages  int                  `json:"messages"`
	Requests  int                  `json:"requests"`
	UpToDates int                  `json:"upToDates"`
	Handle    string               `json:"handle"`
	Error     string               `json:"error"`
}

func (o *official) rows() holding { return o.ask("rows") }

// counts is rows without the rows.
func (o *official) counts() holding { return o.ask("counts") }

func (o *official) ask(command string) holding {
	o.t.Helper()
	if _, err := io.WriteString(o.in, command+"\n"); err != nil {
		o.t.Fatal(err)
	}
	var h holding
	select {
	case line, ok := <-o.lines:
		if !ok {
			o.t.Fatal("the official client has ended")
		}
		if err := json.Unmarshal(line, &h); err != nil {
			o.t.Fatalf("the official client said %.200s: %v", line, err)
		}
	case <-time.After(30 * time.Second):
		o.t.Fatal("the official client does not answer")
	}
	if h.Error != "" {
		o.t.Fatalf("the official client: %s", h.Error)
	}
	return h
}
