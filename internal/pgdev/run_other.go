//go:build !unix

package pgdev

import (
	"errors"
	"io/fs"
	"os/exec"
	"syscall"
)

const (
	needGuard = false
	sigstop   = syscall.SIGKILL
)

func children(int) ([]int, error) { return nil, nil }

func run(*exec.Cmd) (*process, error) {
	return nil, errors.New("a private Postgres is not supported on this system: start one yourself and give its URL")
}

func setOwner(*exec.Cmd, *owner) {}

func setGroup(*exec.Cmd) {}

func ownedBy(fs.FileInfo, int) bool { return true }
