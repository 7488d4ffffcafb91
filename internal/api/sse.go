package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// keepAlive is the longest silence on a stream: proxies cut connections on
	// which nothing happens.
	keepAlive = 21 * time.Second
	// eventBytes is how much of a batch is read before it is sent, in bytes: with its
	// last entry a piece is nearly always small enough to be kept for others.
	eventBytes = pieceBytes / 2
)

// A stream announces its position in up-to-date messages, and there only as a
// number L, of which clients make the offset L_0. If L were the transaction they
// have read, that offset would lie inside of it, and what follows its first
// change would be sent again. So L is the number behind it: commit positions are
// multiples of 4 at least, and an odd one is no transaction's.

// markBehind is what a stream announces when all up to tail was sent.
func markBehind(tail wal.Offset) wal.LSN { return tail.Tx + 1 }

// readMark turns an offset made of a stream's announcement into the place that
// was meant; any other it leaves alone.
func readMark(at wal.Offset) wal.Offset {
	if at.Op == 0 && at.Tx%2 == 1 {
		return wal.Offset{Tx: at.Tx - 1, Op: wal.Inf}
	}
	return at
}

// stream answers with events (http-protocol §11.1): first what there is behind
// after, then what happens, until the time is up, the shape goes or the server
// stops. Every batch of messages ends with up-to-date, wherever chunks end:
// clients keep what they were sent without it to themselves, and lose it when
// the stream ends.
//
// The response's offset is the request's: a client whose stream breaks before
// the first batch is whole goes on from there.
func (v *visit) stream(after wal.Offset) error {
	v.beginStream()
	if v.head {
		return nil
	}
	v.flush()
	over := time.Now().Add(v.cfg.StreamTime)
	return v.aside(func() error { return v.events(after, over) })
}

func (v *visit) beginStream() {
	h := v.w.Header()
	h["Content-Type"] = []string{typeEvents}
	h["Connection"] = []string{"keep-alive"}
	h["X-Accel-Buffering"] = []string{"no"} // nginx would wait for a full buffer
	h[hHandle] = []string{string(v.sh.Handle())}
	h[hOffset] = []string{v.req.offsetText()}
	h[hHasData] = []string{"true"}
	h[hCursor] = []string{strconv.FormatInt(nextCursor(time.Now(), v.cfg.LongPollTimeout, v.req.cursor), 10)}
	age := max(1, int64(v.cfg.StreamTime/time.Second)-1)
	h[hCacheControl] = []string{"public, max-age=" + strconv.FormatInt(age, 10)}
	v.begin(http.StatusOK, -1)
}

// events sends batches until the stream is over. A removed shape ends it without
// a word: the next request is told.
func (v *visit) events(at wal.Offset, over time.Time) error {
	for {
		_, tail, end, err := v.await(min(keepAlive, time.Until(over)), at.Less)
		if p, ok := errors.AsType[*problem](err); ok && p.status == http.StatusConflict {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case at.Less(tail):
			if gone, err := v.sendBatch(at, tail); gone || err != nil {
				return err
			}
			at = tail
		case end == stopped || time.Until(over) <= 0:
			return nil
		default:
			v.mustWrite([]byte(": keep-alive\n\n"))
		}
		v.flush()
		if time.Until(over) <= 0 {
			return nil
		}
	}
}

// sendBatch sends the entries after the one at after, up to tail, and that the
// client is then up to date. What it sends is shared with all who are at the same
// place, piece by piece: it holds one of them at a time.
func (v *visit) sendBatch(after, tail wal.Offset) (gone bool, err error) {
	for at := after; at.Less(tail); {
		piece, err := v.liveEvents(at, tail)
		if errors.Is(err, registry.ErrRemoved) {
			return true, nil
		} else if err != nil {
			if v.r.Context().Err() == nil {
				v.src.Damaged(v.sh, err)
			}
			return false, fmt.Errorf("stream the log of shape %s: %w", v.sh.Handle(), err)
		}
		v.mustWrite(piece.body)
		at = piece.end
	}
	v.sendUpToDate(tail)
	return false, nil
}

func (v *visit) sendUpToDate(tail wal.Offset) {
	b := consume.AppendUpToDate([]byte("data: "), markBehind(tail))
	v.mustWrite(append(b, "\n\n"...))
}

// streamChunks streams the snapshot's chunks behind k, and then the log. It has
// not begun (false) if there are none.
func (v *visit) streamChunks(k uint64) (served bool, err error) {
	snap, err := v.sh.Snapshot()
	if err != nil {
		return false, v.snapshotFailed(err)
	}
	over := time.Now().Add(v.cfg.StreamTime)
	for next := chunkNumber(k + 1); ; next++ {
		chunk := snap.Chunk(next)
		err := v.awaitChunk(chunk)
		switch {
		case errors.Is(err, shapelog.ErrNoChunk) && !v.began:
			return false, nil
		case errors.Is(err, shapelog.ErrNoChunk):
			v.sendUpToDate(wal.AfterSnapshot)
			v.flush()
			return true, v.aside(func() error { return v.events(wal.AfterSnapshot, over) })
		case err != nil:
			return false, err
		}
		if !v.began {
			v.beginStream()
			if v.head {
				return true, nil
			}
		}
		if err := v.copyChunk(&framer{to: v.exchange}, chunk); err != nil {
			return false, fmt.Errorf("stream snapshot chunk %d of shape %s: %w", next, v.sh.Handle(), err)
		}
	}
}

// framer turns messages joined by commas into events, in whatever pieces they
// come.
type framer struct {
	to      io.Writer
	depth   int // of braces and brackets
	quoted  bool
	escaped bool
	out     []byte
}

func (f *framer) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += pieceBytes {
		f.out = f.out[:0]
		for _, c := range p[n:min(n+pieceBytes, len(p))] {
			f.put(c)
		}
		if _, err := f.to.Write(f.out); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func (f *framer) put(c byte) {
	if f.depth == 0 {
		if c != '{' {
			return // the comma between two
		}
		f.out = append(f.out, "data: "...)
	}
	f.out = append(f.out, c)
	switch {
	case f.escaped:
		f.escaped = false
	case f.quoted:
		f.escaped = c == '\\'
		f.quoted = c != '"'
	case c == '"':
		f.quoted = true
	case c == '{', c == '[':
		f.depth++
	case c == '}', c == ']':
		if f.depth--; f.depth == 0 {
			f.out = append(f.out, "\n\n"...)
		}
	}
}
