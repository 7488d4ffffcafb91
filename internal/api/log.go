package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/wal"
)

// sendLog answers with the entries behind after, up to the tail or the end of
// a chunk.
func (v *visit) sendLog(after wal.Offset) error {
	read := v.readPage
	if v.req.live {
		read = v.livePage
	}
	pg, err := read(after)
	if err == nil {
		err = v.gone() // a shared page may be older than that
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	} else if errors.Is(err, registry.ErrRemoved) {
		return v.moved()
	} else if err != nil {
		if v.r.Context().Err() != nil {
			return err
		}
		return v.damaged(err)
	}
	p := &page{handle: v.sh.Handle(), offset: pg.end.String(), upToDate: pg.upToDate}
	if v.notModified(v.req, v.def, p) {
		return nil
	}
	v.encode(pg.size(), pg.body == nil)
	v.setPage(v.req, v.def, p, http.StatusOK)
	if pg.body != nil {
		v.send(http.StatusOK, pg.in(v.enc))
		return nil
	}
	return v.sendPieces(pg)
}

// damaged gives up a shape whose log cannot be read: the next request gets a new
// one.
func (v *visit) damaged(err error) error {
	v.log.Error("read a shape's log", "handle", v.sh.Handle(), "err", err)
	v.src.Damaged(v.sh, err)
	return refuse(http.StatusInternalServerError, "Unable to retrieve shape log", 0)
}

// sendPieces sends a large page out of the log. Its entries never change, so
// they are those that were counted; if the log goes meanwhile, the body is cut.
func (v *visit) sendPieces(pg *logPage) error {
	return v.sendArray(pg.size(), func(out *sink) error {
		if err := v.copyEntries(out, pg); err != nil {
			return fmt.Errorf("send the log of shape %s: %w", v.sh.Handle(), err)
		}
		out.mustWrite(pg.control)
		return nil
	})
}

func (v *visit) copyEntries(out *sink, pg *logPage) error {
	var piece []byte
	sent := int64(0)
	for at := pg.after; at.Less(pg.end); {
		piece = piece[:0]
		next, err := v.sh.ReadEntries(at, pg.end, func(json []byte) bool {
			if sent > 0 || len(piece) > 0 {
				piece = append(piece, ',')
			}
			piece = append(piece, json...)
			return len(piece) < sinkBytes
		})
		if err != nil {
			return err
		}
		at = next
		sent += int64(len(piece))
		out.mustWrite(piece)
	}
	if sent != pg.entries {
		return fmt.Errorf("%d bytes of entries; %d were counted", sent, pg.entries)
	}
	return nil
}

// sendNoData answers with nothing but that the client is up to date.
func (v *visit) sendNoData(seen wal.LSN, tail wal.Offset) {
	body := append(consume.AppendUpToDate([]byte{'['}, max(seen, tail.Tx)), ']')
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
