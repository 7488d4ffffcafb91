package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	port  = 39300
	admin = 39301
)

// startLimit is for a million shapes.
const startLimit = 3 * time.Minute

// service is the real binary.
type service struct {
	cmd *exec.Cmd
	log *os.File
}

// restart ends the service and starts the stream of a name, with more settings.
func (r *run) restart(ctx context.Context, name string, settings ...string) error {
	if err := r.svc.stop(); err != nil {
		return err
	}
	var err error
	r.svc, err = r.start(ctx, name, settings...)
	return err
}

func (r *run) start(ctx context.Context, name string, settings ...string) (*service, error) {
	return startService(ctx, r.pg.URL("postgres"), filepath.Join(r.dir, name), append(settings, "SPILLWAY_STREAM_ID="+name)...)
}

func startService(ctx context.Context, db, dir string, settings ...string) (*service, error) {
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	s := &service{cmd: exec.Command("bin/spillway", "serve"), log: log}
	s.cmd.Env = append(os.Environ(), "DATABASE_URL="+db, "SPILLWAY_INSECURE=true", "SPILLWAY_LISTEN_ADDR=127.0.0.1",
		fmt.Sprintf("SPILLWAY_PORT=%d", port), fmt.Sprintf("SPILLWAY_ADMIN_ADDR=127.0.0.1:%d", admin), "SPILLWAY_DATA_DIR="+dir)
	s.cmd.Env = append(s.cmd.Env, settings...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start bin/spillway (make build): %w", err)
	}
	for limit := time.Now().Add(startLimit); ; {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v1/health", port))
		if err == nil {
			_ = resp.Body.Close() // nothing of it was read
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		if time.Now().After(limit) {
			return nil, errors.New("the service does not become active; see " + log.Name())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *service) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// status is what we need of the status page.
type status struct {
	Stalls    int `json:"stalls_total"`
	Positions struct{ Applied string }
}

func fetchStatus(ctx context.Context) (st status, err error) {
	b, err := get(ctx, "/status")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(b, &st)
}

// memory is what the process has in memory, in bytes.
func (s *service) memory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("VmRSS:"))
	var kb int64
	_, err = fmt.Sscan(string(rest), &kb)
	return kb << 10, err
}

// cpu is the CPU time of the process so far, user and system.
func (s *service) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	var u, k int64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &u, &k); err != nil {
		return 0
	}
	return time.Duration(u+k) * 10 * time.Millisecond
}

// collect has the service collect its garbage, and returns how much it may allocate before
// it does by itself, in bytes.
func (s *service) collect(ctx context.Context) (room float64, err error) {
	if _, err = get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	next, err := metric(ctx, "go_memstats_next_gc_bytes")
	if err != nil {
		return 0, err
	}
	heap, err := metric(ctx, "go_memstats_heap_alloc_bytes")
	return next - heap, err
}

// metric is the value of one of the service's metrics without labels.
func metric(ctx context.Context, name string) (float64, error) {
	b, err := get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("\n"+name+" "))
	var v float64
	if _, err = fmt.Sscan(string(rest[:min(len(rest), 40)]), &v); err != nil {
		return 0, fmt.Errorf("read metric %s: %w", name, err)
	}
	return v, nil
}

// get asks the operators' address.
func get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", admin, path), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	return b, errors.Join(err, resp.Body.Close())
}

// walker reads a shape's log and counts, without parsing it.
type walker struct {
	params         url.Values
	handle, offset string
	cursor         string
	live           bool
	bytes          int64
	messages       int
	buf            []byte
}

func walk(params ...string) *walker {
	w := &walker{params: url.Values{}, offset: "-1", buf: make([]byte, 256<<10)}
	for i := 0; i < len(params); i += 2 {
		w.params.Set(params[i], params[i+1])
	}
	return w
}

// mark is a text that every change, and nothing else, has once.
var mark = []byte(`"operation"`)

// step makes one request. each is called with the pieces of the body.
func (w *walker) step(ctx context.Context, each func([]byte)) (upToDate bool, err error) {
	q := url.Values{}
	for k, v := range w.params {
		q[k] = v
	}
	q.Set("offset", w.offset)
	if w.handle != "" {
		q.Set("handle", w.handle)
	}
	if w.live {
		q.Set("live", "true")
		q.Set("cursor", w.cursor)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/v1/shape?%s", port, q.Encode()), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept-Encoding", "identity") // as the yardsticks
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return false, fmt.Errorf("%s: %s", resp.Status, b)
	}
	kept := 0 // bytes of the read before: the mark may lie across two
	for {
		n, err := resp.Body.Read(w.buf[kept:])
		w.bytes += int64(n)
		b := w.buf[:kept+n]
		w.messages += bytes.Count(b, mark)
		if each != nil && n > 0 {
			each(b[kept:])
		}
		tail := b[max(0, len(b)-len(mark)+1):]
		kept = copy(w.buf, tail)
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
	}
	w.handle, w.offset = resp.Header.Get("electric-handle"), resp.Header.Get("electric-offset")
	w.cursor = resp.Header.Get("electric-cursor")
	_, upToDate = resp.Header[http.CanonicalHeaderKey("electric-up-to-date")]
	w.live = w.live || upToDate
	return upToDate, nil
}

// all walks until up to date.
func (w *walker) all(ctx context.Context) error {
	for {
		done, err := w.step(ctx, nil)
		if done || err != nil {
			return err
		}
	}
}
