package pgrepl

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setLowat says how many bytes have to be there before a reader is woken.
func setLowat(raw syscall.RawConn, bytes int) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
	}); cerr != nil {
		return cerr
	}
	return err
}

// await sleeps until so many bytes are there, the kernel wakes us for another
// reason (its buffer is full), or the read deadline has passed. A read alone
// would not do: it takes first what is there, however little.
func await(raw syscall.RawConn, bytes int) error {
	woken := false
	return raw.Read(func(fd uintptr) bool {
		if woken {
			return true
		}
		woken = true
		n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		return err != nil || n >= bytes
	})
}
