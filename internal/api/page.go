package api

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// keepBuffer is the size up to which a buffer is used again, in bytes. No page
	// that is kept is larger; a single row may be.
	keepBuffer = 2 * pieceBytes
	// sharedPages is how many pages are kept for those who want the same. A page
	// of pieceBytes is the largest that is.
	sharedPages = 64
)

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// logPage is one page of a log, ready to be sent: entries from one place up to
// the tail or the end of a chunk.
type logPage struct {
	after, end wal.Offset
	upToDate   bool
	// body is all of it, nil for a page of JSON that is larger than pieceBytes: then
	// it is read from the log as it is sent, so that a slow client holds no memory.
	body []byte
	// entries is the size of its entries with the commas between them; control
	// is what comes behind them. In bytes.
	entries int64
	control []byte

	encoded [encodings]struct {
		once sync.Once
		body []byte
	}
}

// size is that of the page's body in identity, in bytes.
func (p *logPage) size() int64 { return 1 + p.entries + int64(len(p.control)) }

// in returns a page that has a body in a coding; it is made once.
func (p *logPage) in(e encoding) []byte {
	if e == identity {
		return p.body
	}
	c := &p.encoded[e]
	c.once.Do(func() { c.body = compress(e, p.body) })
	return c.body
}

// readPage reads the page behind after.
func (v *visit) readPage(after wal.Offset) (*logPage, error) {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keepBuffer {
			buffers.Put(buf)
		}
	}()
	read, err := v.sh.ReadLog(after, append((*buf)[:0], '['), pieceBytes)
	*buf = read.Body
	if err != nil {
		return nil, err
	}
	p := &logPage{after: after, end: read.End, upToDate: read.UpToDate, entries: read.Size}
	if p.upToDate {
		lsn := read.End.Tx
		if !v.req.live {
			lsn = max(lsn, read.Seen)
		}
		if read.N > 0 {
			p.control = append(p.control, ',')
		}
		p.control = consume.AppendUpToDate(p.control, lsn)
	}
	p.control = append(p.control, ']')
	if p.size() <= pieceBytes {
		p.body = slices.Concat(read.Body, p.control)
	}
	return p, nil
}

// readEvents reads a piece of a batch of events: the entries behind after, up to
// tail, as many as are sent at once. Its body is whole also where a single entry makes
// it larger than what is kept.
func (v *visit) readEvents(after, tail wal.Offset) (*logPage, error) {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keepBuffer {
			buffers.Put(buf)
		}
	}()
	b := (*buf)[:0]
	end, err := v.sh.ReadEntries(after, tail, func(json []byte) bool {
		b = append(append(append(b, "data: "...), json...), "\n\n"...)
		return len(b) < eventBytes
	})
	*buf = b
	if err != nil {
		return nil, err
	}
	return &logPage{after: after, end: end, body: slices.Clone(b)}, nil
}

// pageKey names a live page: all who wait behind after are given the same when
// the tail has come to tail.
type pageKey struct {
	id          shape.ID
	after, tail wal.Offset
	events      bool // a piece of a batch of events
}

// pending is a page that somebody reads for all who ask for it.
type pending struct {
	done chan struct{} // closed when the rest is set
	page *logPage
	err  error
}

// pages are the live pages of late. When thousands wait for one shape, the first
// to wake reads and encodes what all are sent.
type pages struct {
	mu    sync.Mutex // leaf: held for map operations only
	byKey map[pageKey]*pending
	order []pageKey // oldest first
}

// take returns what is there or coming under a key, or a new one that the caller
// has to fill in.
func (s *pages) take(k pageKey) (p *pending, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byKey[k]; p != nil {
		return p, false
	}
	if s.byKey == nil {
		s.byKey = map[pageKey]*pending{}
	}
	p = &pending{done: make(chan struct{})}
	s.byKey[k] = p
	s.order = append(s.order, k)
	if len(s.order) > sharedPages {
		s.drop(s.order[0])
	}
	return p, true
}

// drop forgets a page; those who have it keep it. mu is held.
func (s *pages) drop(k pageKey) {
	delete(s.byKey, k)
	if i := slices.Index(s.order, k); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// settle ends take: a page that is too large, and an error, is for those only who wait
// for it now.
func (s *pages) settle(k pageKey, p *pending) {
	if p.err != nil || len(p.page.body) > pieceBytes {
		s.mu.Lock()
		if s.byKey[k] == p {
			s.drop(k)
		}
		s.mu.Unlock()
	}
	close(p.done)
}

// shared is what read returns, or has returned to somebody else under that key.
func (v *visit) shared(k pageKey, read func() (*logPage, error)) (*logPage, error) {
	p, mine := v.pages.take(k)
	if mine {
		p.err = errPageLost // unless it is read
		defer v.pages.settle(k, p)
		p.page, p.err = read()
		return p.page, p.err
	}
	select {
	case <-p.done:
		if errors.Is(p.err, errPageLost) {
			return read() // which is no fault of the log
		}
		return p.page, p.err
	case <-v.r.Context().Done():
		return nil, context.Cause(v.r.Context())
	}
}

// livePage is readPage, shared.
func (v *visit) livePage(after wal.Offset) (*logPage, error) {
	return v.shared(pageKey{id: v.sh.ID(), after: after, tail: v.sh.Tail()}, func() (*logPage, error) { return v.readPage(after) })
}

// liveEvents is readEvents, shared.
func (v *visit) liveEvents(after, tail wal.Offset) (*logPage, error) {
	k := pageKey{id: v.sh.ID(), after: after, tail: tail, events: true}
	return v.shared(k, func() (*logPage, error) { return v.readEvents(after, tail) })
}

// errPageLost: the one who read a page for all was interrupted by a panic.
var errPageLost = errors.New("the page was not read to its end")
