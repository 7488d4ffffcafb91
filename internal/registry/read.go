package registry

import (
	"fmt"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Page is the answer to "what comes after this offset".
type Page struct {
	Body []byte     // entries joined by commas, without brackets, behind what dst held
	N    int        // number of entries
	End  wal.Offset // electric-offset: the last entry's, or the tail if nothing is missing
	// UpToDate: End is the tail; Seen may be told to the client.
	UpToDate bool
	Seen     wal.LSN
}

// ReadLog appends one chunk of the log at most to dst: the entries after the
// offset after. A request beyond the tail gets an empty Page with End = after
// that is not up to date: see Tail. ErrRemoved: the shape went meanwhile. Any
// other error is a fault of the storage and the shape has to go.
func (s *Shape) ReadLog(after wal.Offset, dst []byte) (Page, error) {
	p := Page{Body: dst, End: after}
	p.Seen = s.Seen() // before the tail
	tail := s.Tail()
	if tail.Less(after) {
		return p, s.alive()
	}
	if after.Less(wal.AfterSnapshot) {
		after = wal.AfterSnapshot // entries begin behind the snapshot's chunks
	}
	body, end, n, _, err := s.reg.log.ReadInto(dst, s.id, after, tail)
	// The log is deleted behind the removal: what was read is whole if the
	// shape is still there now.
	if gone := s.alive(); gone != nil {
		return p, gone
	}
	if err != nil {
		return p, err
	}
	if n == 0 && after.Less(tail) {
		return p, fmt.Errorf("read log of shape %d: nothing between %v and the tail %v", s.id, after, tail)
	}
	p.Body, p.N, p.End = body, n, end
	p.UpToDate = end == tail
	return p, nil
}

func (s *Shape) alive() error {
	if s.gone.Load() {
		return ErrRemoved
	}
	return nil
}
