package api

import (
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/wal"
)

// keepBuffer is the size up to which a buffer is used again, in bytes. Most
// pages are far smaller; those of a client catching up are larger and rare.
const keepBuffer = 4 << 20

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// sendLog answers with the entries behind after, up to the tail or the end of
// a chunk.
func (v *visit) sendLog(after wal.Offset) error {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keepBuffer {
			buffers.Put(buf)
		}
	}()
	read, err := v.sh.ReadLog(after, append((*buf)[:0], '['))
	*buf = read.Body
	if errors.Is(err, registry.ErrRemoved) {
		return v.moved()
	} else if err != nil {
		v.log.Error("read a shape's log", "handle", v.sh.Handle(), "err", err)
		// The next request gets a new shape.
		v.src.Damaged(v.sh, err)
		return refuse(http.StatusInternalServerError, "Unable to retrieve shape log", 0)
	}
	p := &page{handle: v.sh.Handle(), offset: read.End.String(), upToDate: read.UpToDate}
	if v.notModified(v.req, v.def, p) {
		return nil
	}
	body := read.Body
	if p.upToDate {
		lsn := read.End.Tx
		if !v.req.live {
			lsn = max(lsn, read.Seen)
		}
		if read.N > 0 {
			body = append(body, ',')
		}
		body = appendUpToDate(body, lsn)
	}
	body = append(body, ']')
	*buf = body
	v.setPage(v.req, v.def, p, http.StatusOK)
	v.send(http.StatusOK, body)
	return nil
}

// sendNoData answers with nothing but that the client is up to date.
func (v *visit) sendNoData(seen wal.LSN, tail wal.Offset) {
	body := append(appendUpToDate([]byte{'['}, max(seen, tail.Tx)), ']')
	v.setPage(v.req, v.def, &page{
		handle:   v.sh.Handle(),
		offset:   tail.String(),
		upToDate: true,
		noData:   true,
	}, http.StatusOK)
	v.send(http.StatusOK, body)
}

// serveNow answers offset=now.
func (v *visit) serveNow() error {
	// Seen comes first: everything up to it is then at or before tail.
	seen := v.sh.Seen()
	tail := v.sh.Tail()
	if err := v.gone(); err != nil {
		return err
	}
	v.sendNoData(seen, tail)
	return nil
}

func appendUpToDate(dst []byte, lsn wal.LSN) []byte {
	dst = append(dst, `{"headers":{"control":"up-to-date","global_last_seen_lsn":"`...)
	dst = strconv.AppendUint(dst, uint64(lsn), 10)
	return append(dst, `"}}`...)
}
