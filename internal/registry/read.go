package registry

import (
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Page is the answer to "what comes after this offset".
type Page struct {
	Body []byte     // entries joined by commas, without brackets, behind what dst held
	Size int64      // of the entries and commas, in bytes; Body has less if it is above the limit
	N    int        // number of entries
	End  wal.Offset // electric-offset: the last entry's, or the tail if nothing is missing
	// UpToDate: End is the tail; Seen may be told to the client.
	UpToDate bool
	Seen     wal.LSN
}

// ReadLog appends one chunk of the log at most to dst: the entries after the
// offset after. Of a chunk that has more than limit bytes only the beginning is
// kept: ReadEntries hands it out piece by piece. A request beyond the tail gets an empty Page with End = after
// that is not up to date: see Tail. ErrRemoved: the shape went meanwhile. Any
// other error is a fault of the storage and the shape has to go.
func (s *Shape) ReadLog(after wal.Offset, dst []byte, limit int) (Page, error) {
	p := Page{Body: dst, End: after}
	p.Seen = s.Seen() // before the tail
	tail := s.Tail()
	if tail.Less(after) {
		return p, s.alive()
	}
	if after.Less(wal.AfterSnapshot) {
		after = wal.AfterSnapshot // entries begin behind the snapshot's chunks
	}
	e, err := s.reg.log.ReadInto(dst, s.id, after, tail, limit)
	// The log is deleted behind the removal: what was read is whole if the
	// shape is still there now.
	if gone := s.alive(); gone != nil {
		return p, gone
	}
	if err != nil {
		return p, err
	}
	if e.N == 0 && after.Less(tail) {
		return p, fmt.Errorf("read log of shape %d: nothing between %v and the tail %v", s.id, after, tail)
	}
	p.Body, p.Size, p.N, p.End = e.Body, e.Size, e.N, e.End
	p.UpToDate = e.End == tail
	return p, nil
}

// ReadEntries hands the entries after the one at after, up to and including the
// one at upTo, to emit in their order until emit has enough. It passes over the
// ends of chunks. The bytes given to emit are valid during the call only, which
// must not wait: the storage cannot tidy up meanwhile. end is the offset of the
// last entry emitted, or upTo if none is missing. Errors are those of ReadLog;
// what was emitted before one is not to be used.
func (s *Shape) ReadEntries(after, upTo wal.Offset, emit func(json []byte) (more bool)) (end wal.Offset, err error) {
	if after.Less(wal.AfterSnapshot) {
		after = wal.AfterSnapshot
	}
	for end = after; end.Less(upTo); {
		_, boundary, err := s.reg.log.Read(s.id, end, upTo, func(off wal.Offset, json []byte) error {
			end = off
			if !emit(json) {
				return errEnough
			}
			return nil
		})
		if gone := s.alive(); gone != nil {
			return end, gone
		}
		switch {
		case errors.Is(err, errEnough):
			return end, nil
		case err != nil:
			return end, err
		case !boundary && end != upTo:
			return end, fmt.Errorf("read log of shape %d: it ends at %v, before %v", s.id, end, upTo)
		}
	}
	return end, s.alive()
}

func (s *Shape) alive() error {
	if s.removed.Load() != nil {
		return ErrRemoved
	}
	return nil
}
