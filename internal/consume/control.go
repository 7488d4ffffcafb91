package consume

import (
	"strconv"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// AppendUpToDate appends the message that ends a response which reached the end
// of the log: the client has seen every transaction up to and including lsn.
func AppendUpToDate(dst []byte, lsn wal.LSN) []byte {
	dst = append(dst, `{"headers":{"control":"up-to-date","global_last_seen_lsn":"`...)
	dst = strconv.AppendUint(dst, uint64(lsn), 10)
	return append(dst, `"}}`...)
}

// AppendSnapshotEnd appends the message after the last row of a snapshot. The
// transaction ids are whole, 64 bits, and strings.
func AppendSnapshotEnd(dst []byte, s *wal.Snapshot) []byte {
	dst = append(dst, `{"headers":{"control":"snapshot-end","xmin":"`...)
	dst = strconv.AppendUint(dst, s.Xmin, 10)
	dst = append(dst, `","xmax":"`...)
	dst = strconv.AppendUint(dst, s.Xmax, 10)
	dst = append(dst, `","xip_list":[`...)
	for i, x := range s.Xip {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = strconv.AppendUint(dst, x, 10)
		dst = append(dst, '"')
	}
	return append(dst, `]}}`...)
}

// AppendMustRefetch appends the whole body of a 409. The reason is ours, clients
// pass over it; it is left out if it is empty.
func AppendMustRefetch(dst []byte, reason shape.Reason) []byte {
	dst = append(dst, `[{"headers":{"control":"must-refetch"`...)
	if reason != "" {
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, string(reason))
	}
	return append(dst, `}}]`...)
}
