package pgrepl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Sizes on the wire, in bytes.
const (
	headerBytes    = 5             // kind and length of a message
	xlogBytes      = 1 + 8 + 8 + 8 // 'w', start, end of WAL, time
	keepaliveBytes = 1 + 8 + 8 + 1 // 'k', end of WAL, time, reply requested
	statusBytes    = 1 + 4*8 + 1   // 'r', write, flush, apply, time, reply requested
	maxMessage     = 1<<30 + 1<<20 // a message cannot be larger than Postgres's 1 GiB
	bufferBytes    = 256 << 10     // of the read buffer, and of a frame at the most unless one message is larger
)

// message returns the message at the front of in; ok is false if it is not
// complete. size is what it takes (or, if not complete, will take) with its
// header, 0 if not even that is known.
func message(in []byte) (kind byte, body []byte, size int, ok bool, err error) {
	if len(in) < headerBytes {
		return 0, nil, 0, false, nil
	}
	n := binary.BigEndian.Uint32(in[1:5])
	if n < 4 || n > maxMessage {
		return 0, nil, 0, false, fmt.Errorf("message %q has an impossible length of %d bytes", in[0], n)
	}
	size = int(n) + 1
	if len(in) < size {
		return in[0], nil, size, false, nil
	}
	return in[0], in[headerBytes:size], size, true, nil
}

// keepalive is a Primary keepalive message.
type keepalive struct {
	end   wal.LSN
	reply bool // at once, if you please
}

func parseKeepalive(b []byte) (keepalive, error) {
	if len(b) != keepaliveBytes {
		return keepalive{}, fmt.Errorf("keepalive of %d bytes", len(b))
	}
	return keepalive{wal.LSN(binary.BigEndian.Uint64(b[1:])), b[17] != 0}, nil
}

// appendStatus appends a whole Standby status update. Positions here mean
// "everything before it", which is what Postgres means as well ("the last WAL
// byte + 1"). flush 0 says nothing about durability.
func appendStatus(b []byte, write, flush wal.LSN, now time.Time, reply bool) []byte {
	b = append(b, 'd')
	b = binary.BigEndian.AppendUint32(b, 4+statusBytes)
	b = append(b, 'r')
	b = binary.BigEndian.AppendUint64(b, uint64(write))
	b = binary.BigEndian.AppendUint64(b, uint64(flush))
	b = binary.BigEndian.AppendUint64(b, uint64(flush)) // apply
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMicro()-microsTo2000))
	if reply {
		return append(b, 1)
	}
	return append(b, 0)
}

// microsTo2000 is from the Unix epoch to Postgres's, in µs.
const microsTo2000 = 946_684_800_000_000

// Messages of ours without a body.
var (
	copyDone  = []byte{'c', 0, 0, 0, 4}
	terminate = []byte{'X', 0, 0, 0, 4}
)

func appendQuery(b []byte, sql string) []byte {
	b = append(b, 'Q')
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(sql)+1))
	b = append(b, sql...)
	return append(b, 0)
}

// serverError reads an ErrorResponse.
func serverError(body []byte) error {
	var e pgproto3.ErrorResponse
	if err := e.Decode(body); err != nil {
		return fmt.Errorf("read the server's error: %w", err)
	}
	return pgconn.ErrorResponseToPgError(&e)
}

// errEnded says that the server has nothing more to send: it shuts down.
var errEnded = errors.New("the server ended the stream")
