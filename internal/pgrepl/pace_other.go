//go:build !linux

package pgrepl

import (
	"errors"
	"syscall"
)

// setLowat does nothing here: only Linux was measured.
func setLowat(syscall.RawConn, int) error { return errors.ErrUnsupported }

func await(syscall.RawConn, int) error { return errors.ErrUnsupported }
