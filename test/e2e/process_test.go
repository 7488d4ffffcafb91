package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// process is one run of the binary, with stdout and stderr apart.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *logBuffer
	done     chan struct{}
}

// ownEnv is the environment without anything that configures Spillway.
func ownEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SPILLWAY_") && !strings.HasPrefix(v, "ELECTRIC_") && !strings.HasPrefix(v, "DATABASE_URL=") {
			env = append(env, v)
		}
	}
	return env
}

// command prepares the binary with an environment of its own; start runs it.
func command(t *testing.T, args []string, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), out: &logBuffer{}, err: &logBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append(ownEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	p.cmd.WaitDelay = time.Second // a grandchild that keeps stdout open does not keep us
	return p
}

func (p *process) start() *process {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code is in ProcessState
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		if p.t.Failed() {
			p.t.Logf("%v\nstdout:\n%s\nstderr:\n%s", p.cmd.Args, p.out, p.err)
		}
	})
	return p
}

// exit waits for the end of the process and returns its code, -1 for a signal.
func (p *process) exit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%v: still running after %s", p.cmd.Args, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// said waits for a line of stdout and returns what the first group matched.
func (p *process) said(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var m []string
	eventually(p.t, 60*time.Second, pattern, func() error {
		select {
		case <-p.done:
			p.t.Fatalf("the process ended and did not say %s", pattern)
		default:
		}
		if m = re.FindStringSubmatch(p.out.String()); m == nil {
			return fmt.Errorf("stdout is %q", p.out)
		}
		return nil
	})
	return m[1]
}

const clientsLine, operatorsLine = `^spillway: clients on (http://\S+)$`, `^spillway: operators on (http://\S+)$`

// base is a configuration on free ports.
func base(t *testing.T, dbURL string, more ...string) []string {
	return append([]string{
		"DATABASE_URL=" + dbURL, "SPILLWAY_INSECURE=true", "SPILLWAY_LISTEN_ADDR=127.0.0.1", "SPILLWAY_PORT=0",
		"SPILLWAY_ADMIN_ADDR=127.0.0.1:0", "SPILLWAY_DATA_DIR=" + t.TempDir(), "SPILLWAY_STREAM_ID=" + streamID(t),
	}, more...)
}

// get returns status and body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (p *process) awaitActive(clients string) {
	p.t.Helper()
	eventually(p.t, 60*time.Second, "the service to be active", func() error {
		if code, body := get(p.t, clients+"/v1/health"); code != http.StatusOK {
			return fmt.Errorf("health %d: %s", code, body)
		}
		return nil
	})
}

func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q", w)
		}
	}
}

func conceals(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("it tells %q", s)
		}
	}
}
