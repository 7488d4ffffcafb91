//go:build unix && !linux

package pgdev

import (
	"bytes"
	"fmt"
	"os/exec"
)

// Nothing but a guard notices our end here.
const needGuard = true

func run(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run postgres: %w", err)
	}
	p := &process{pid: cmd.Process.Pid, signal: cmd.Process.Signal, done: make(chan struct{})}
	go awaitEnd(cmd, p)
	return p, nil
}

// children lists the processes that pid has started.
func children(pid int) ([]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=", "-o", "ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var list []int
	for line := range bytes.Lines(out) {
		var child, parent int
		if _, err := fmt.Sscan(string(line), &child, &parent); err == nil && parent == pid {
			list = append(list, child)
		}
	}
	return list, nil
}
