package pgrepl

import "syscall"

// setLowat says how many bytes have to be there before a reader is woken.
func setLowat(raw syscall.RawConn, bytes int) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
	}); cerr != nil {
		return cerr
	}
	return err
}
