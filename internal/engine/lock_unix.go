//go:build unix

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse: a process works in the data directory.
var ErrInUse = errors.New("another process works in it")

// lockDir makes sure that one process only works in a data directory. The lock
// goes with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return flock(f, syscall.LOCK_EX)
}

// LockForReading keeps services out of a data directory until the file is closed;
// others may read it too. It makes nothing. The error is ErrInUse while a service
// works there, fs.ErrNotExist if none ever has.
func LockForReading(dir string) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return flock(f, syscall.LOCK_SH)
}

// flock locks a file, or closes it.
func flock(f *os.File, how int) (*os.File, error) {
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("lock the data directory %s: %w", filepath.Dir(f.Name()), err), f.Close())
	}
	return f, nil
}
