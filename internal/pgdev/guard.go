package pgdev

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
)

// guard is a shell that waits for our end: it reads from a pipe that only we
// hold, so that the kernel tells it also when we are killed. Then it stops the
// server and removes what was temporary.
type guard struct {
	cmd  *exec.Cmd
	pipe io.Writer
}

// The server gets ten seconds to end; then it is killed, and a zombie that
// nobody reaps does not hold the guard for ever.
const guardScript = `
pid=$1; shift
read -r word
if [ "$word" = dismissed ]; then exit 0; fi
kill -QUIT "$pid" 2>/dev/null
n=0
while kill -0 "$pid" 2>/dev/null && [ "$n" -lt 100 ]; do n=$((n+1)); sleep 0.1; done
kill -KILL "$pid" 2>/dev/null
[ "$#" -eq 0 ] || rm -rf -- "$@"
`

func startGuard(pid int, remove []string) (*guard, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", guardScript, "spillway-pg-guard", strconv.Itoa(pid)}, remove...)...)
	cmd.Dir = "/"
	setGroup(cmd) // an interrupt from the terminal must not reach it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{cmd, pipe}, nil
}

// dismiss ends the guard; the server is gone already.
func (g *guard) dismiss() error {
	if _, err := io.WriteString(g.pipe, "dismissed\n"); err != nil {
		return fmt.Errorf("dismiss the guard: %w", err)
	}
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("dismiss the guard: %w", err)
	}
	return nil
}
