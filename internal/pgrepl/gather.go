package pgrepl

import (
	"encoding/binary"
	"fmt"

	"github.com/spillway-sync/spillway/internal/wal"
)

// gather cuts the stream into frames and keeps track of what it says about
// positions. It is pure: bytes in, frames out.
type gather struct {
	preamble preamble
	open     bool // a transaction has begun and not ended

	position  wal.LSN // the newest that was handed on, in a frame
	vouched   wal.LSN // the newest from a keepalive while nothing was open
	received  wal.LSN // the newest place that anything spoke of
	serverEnd wal.LSN // from keepalives
	reply     bool    // the server wants a status frame at once
}

// frame takes the complete CopyData messages at the front of in, as many as fit
// into a frame, and returns how many bytes they took. The frame's Kind is 0 if
// there was nothing for the Sink among them. It stops before a message of any
// other kind.
//
// The stream's bytes are copied once, into memory of exactly the right size: it
// will be kept for long, and the read buffer is larger than most frames.
func (g *gather) frame(in []byte) (f wal.Frame, n int, err error) {
	n, size, err := extent(in)
	if err != nil || n == 0 {
		return wal.Frame{}, 0, err
	}
	if size > 0 {
		f = wal.Frame{Kind: wal.FrameData, Data: make([]byte, 0, size)}
	}
	for rest := in[:n]; len(rest) > 0; {
		_, body, took, _, err := message(rest) // complete, as extent saw
		if err != nil {
			return wal.Frame{}, 0, err
		}
		rest = rest[took:]
		if body[0] == 'k' {
			err = g.keepalive(body)
		} else {
			f.Data = wal.AppendMessage(f.Data, body[xlogBytes:])
			err = g.xlog(body, &f)
		}
		if err != nil {
			return wal.Frame{}, 0, err
		}
	}
	f.Open = g.open
	g.position = max(g.position, f.Position)
	return f, n, nil
}

// extent measures what frame will take: n bytes of in, for size bytes of data.
func extent(in []byte) (n, size int, err error) {
	for {
		kind, body, took, ok, err := message(in[n:])
		if err != nil {
			return 0, 0, err
		}
		if !ok || kind != 'd' {
			return n, size, nil
		}
		switch {
		case len(body) == keepaliveBytes && body[0] == 'k':
		case len(body) > xlogBytes && body[0] == 'w':
			add := 4 + len(body) - xlogBytes
			if size > 0 && size+add > bufferBytes {
				return n, size, nil
			}
			size += add
		default:
			return 0, 0, fmt.Errorf("stream message of %d bytes has an unknown form", len(body))
		}
		n += took
	}
}

func (g *gather) keepalive(body []byte) error {
	k, err := parseKeepalive(body)
	if err != nil {
		return err
	}
	g.serverEnd = max(g.serverEnd, k.end)
	g.reply = g.reply || k.reply
	if !g.open {
		g.vouched = max(g.vouched, k.end)
		g.received = max(g.received, k.end)
	}
	return nil
}

// xlog looks at one XLogData message, whose bytes are in the frame already.
func (g *gather) xlog(body []byte, f *wal.Frame) error {
	g.serverEnd = max(g.serverEnd, wal.LSN(binary.BigEndian.Uint64(body[9:])))
	msg := body[xlogBytes:]
	switch msg[0] {
	case 'B':
		g.open = true
	case 'C':
		const endAt = 1 + 1 + 8 // kind, flags, LSN of the commit record
		if len(msg) < endAt+8 {
			return fmt.Errorf("commit message of %d bytes", len(msg))
		}
		g.open = false
		f.Position = wal.LSN(binary.BigEndian.Uint64(msg[endAt:]))
		g.received = max(g.received, f.Position)
	case 'R':
		all, err := g.preamble.add(msg)
		if err != nil {
			return err
		}
		f.Preamble = all
	}
	return nil
}

// progress returns the frame for what keepalives vouched for, if that is news.
func (g *gather) progress() (wal.Frame, bool) {
	if g.open || g.vouched <= g.position {
		return wal.Frame{}, false
	}
	g.position = g.vouched
	return wal.Frame{Kind: wal.FrameProgress, Position: g.vouched}, true
}
