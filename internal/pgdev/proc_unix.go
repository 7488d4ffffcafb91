//go:build unix

package pgdev

import (
	"io/fs"
	"os/exec"
	"syscall"
)

const sigstop = syscall.SIGSTOP

// setOwner makes cmd run as the server's user, in a process group of its own so
// that an interrupt typed at a terminal does not reach it before us.
func setOwner(cmd *exec.Cmd, o *owner) {
	setGroup(cmd)
	if o != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
}

func setGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func ownedBy(fi fs.FileInfo, uid int) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}

// awaitEnd reaps the server. How it ended does not matter: who stopped it knows,
// and the log tells the rest.
func awaitEnd(cmd *exec.Cmd, p *process) {
	_ = cmd.Wait()
	close(p.done)
}
