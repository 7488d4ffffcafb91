package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a byte position in Postgres's write-ahead log. The zero LSN is
// "unknown" or "from the beginning".
type LSN uint64

// String prints the form Postgres uses, for example 0/1A2B3C8.
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l))
}

// ParseLSN reads the form that String prints (Postgres manual, "pg_lsn Type").
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers joined by '/'", s)
	}
	h, err := strconv.ParseUint(hi, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", s, err)
	}
	l, err := strconv.ParseUint(lo, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", s, err)
	}
	return LSN(h<<32 | l), nil
}

// XID is the 32-bit transaction id that the stream carries, without its epoch.
type XID uint32
