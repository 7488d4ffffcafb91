package wal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is what one Postgres snapshot sees (Postgres manual,
// "pg_snapshot Components"), with the position from which on the question need
// not be asked any more.
type Snapshot struct {
	Xmin, Xmax uint64   // 64 bits, epoch included
	Xip        []uint64 // in progress when the snapshot was taken

	// Until is pg_current_wal_insert_lsn() read after the snapshot was taken.
	// A transaction whose commit record starts at or above it cannot be
	// visible. The test by xid must go on until there: stopping at the first
	// xid ≥ Xmax, as others do, is wrong when a commit waits for a synchronous
	// standby while a later asynchronous one is visible already
	// (shape-semantics §4.2).
	Until LSN
}

// Sees reports whether the snapshot contains what transaction tx did.
func (s *Snapshot) Sees(tx Txn) bool {
	if tx.Commit >= s.Until {
		return false
	}
	x := uint32(tx.XID)
	switch {
	case before(x, uint32(s.Xmin)):
		return true
	case !before(x, uint32(s.Xmax)):
		return false
	}
	// Membership too is a comparison modulo 2^32.
	return !slices.ContainsFunc(s.Xip, func(y uint64) bool { return uint32(y) == x })
}

// before compares 32-bit transaction ids modulo 2^32, as Postgres does
// (TransactionIdPrecedes).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// ParseSnapshot reads the text form of pg_snapshot, "xmin:xmax:xip,xip".
func ParseSnapshot(s string) (Snapshot, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("parse snapshot %q: want xmin:xmax:xip_list", s)
	}
	var out Snapshot
	var err error
	if out.Xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return Snapshot{}, fmt.Errorf("parse snapshot %q: xmin: %w", s, err)
	}
	if out.Xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return Snapshot{}, fmt.Errorf("parse snapshot %q: xmax: %w", s, err)
	}
	if parts[2] == "" {
		return out, nil
	}
	for x := range strings.SplitSeq(parts[2], ",") {
		n, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return Snapshot{}, fmt.Errorf("parse snapshot %q: xip: %w", s, err)
		}
		out.Xip = append(out.Xip, n)
	}
	return out, nil
}
