package pgdev

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// The kernel stops the server when we die.
const needGuard = false

// run starts the server. Linux sends Pdeathsig when the *thread* that started
// the process ends, so one thread is kept for as long as the server lives.
func run(cmd *exec.Cmd) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the server
		cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
		err := cmd.Start()
		if err == nil {
			p.pid, p.signal = cmd.Process.Pid, cmd.Process.Signal
		}
		started <- err
		if err == nil {
			awaitEnd(cmd, p)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run postgres: %w", err)
	}
	return p, nil
}

// children lists the processes that pid has started. It reads /proc, since ps is
// often missing in containers.
func children(pid int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var list []int
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid …; the name may hold anything.
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		list = append(list, child)
	}
	return list, nil
}
