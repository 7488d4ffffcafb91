package api

import (
	"compress/flate"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is a content-coding that a body may be sent in.
type encoding uint8

const (
	identity encoding = iota
	gzipped
	zstandard
	encodings = 3
)

// names as they are in headers; identity has none.
var encodingNames = [encodings]string{"", "gzip", "zstd"}

// leastEncoded is the size below which a body is sent as it is: the headers
// would outweigh what is saved. In bytes.
const leastEncoded = 1 << 10

// zstdWindow bounds what an encoder, ours and the client's, keeps in memory.
// In bytes.
const zstdWindow = 1 << 20

// accepted returns the coding the client likes best of those we have, from the
// lines of Accept-Encoding; zstd only if it is wanted. Among equals it is the one
// that costs less.
func accepted(lines []string, zstd bool) encoding {
	weights := [encodings]float64{gzipped: -1, zstandard: -1}
	weights[identity] = 0.001 // anything that was asked for is better
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(part, ";")
			q := weight(params)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				weights[gzipped] = q
			case "zstd":
				if zstd {
					weights[zstandard] = q
				}
			case "identity":
				weights[identity] = max(q, weights[identity])
			case "*": // gzip is what everybody who says so has
				if weights[gzipped] < 0 {
					weights[gzipped] = q
				}
			}
		}
	}
	best := identity
	for e := gzipped; e < encodings; e++ {
		if weights[e] >= weights[best] {
			best = e
		}
	}
	return best
}

// weight is the q of a coding, 1 if there is none, 0 if it is not a number.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, text, ok := strings.Cut(strings.TrimSpace(p), "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(q >= 0) {
			return 0
		}
		return min(q, 1)
	}
	return 1
}

// encoder compresses what is written to it.
type encoder interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// encoders are used again: each has large tables. None is held while a client
// takes its time: a thousand slow readers had two thirds of a GiB of tables.
var encoders = [encodings]sync.Pool{
	gzipped: {New: func() any {
		w, err := gzip.NewWriterLevel(nil, flate.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}},
	zstandard: {New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	}},
}

// compress is p in another coding.
func compress(e encoding, p []byte) []byte {
	w := encoders[e].Get().(encoder)
	defer encoders[e].Put(w)
	var out buffer
	w.Reset(&out)
	if _, err := w.Write(p); err != nil {
		panic(err) // a buffer takes all
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out
}

// buffer is a slice that can be written to.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// WriteString is for http.Header, which would copy every text first.
func (b *buffer) WriteString(s string) (int, error) {
	*b = append(*b, s...)
	return len(s), nil
}

// encode decides about the body of the response that is about to begin. size is
// what it has in identity, -1 if that is not known. A body that is sent in pieces
// is not sent in zstd: its encoder cannot be given back between two of them.
func (x *exchange) encode(size int64, pieces bool) {
	x.enc = identity
	if size < 0 || size >= leastEncoded {
		x.enc = accepted(x.r.Header["Accept-Encoding"], !pieces)
	}
	if x.enc != identity {
		x.w.Header()["Content-Encoding"] = []string{encodingNames[x.enc]}
	}
}

// sink is where a body goes that is sent piece by piece. It compresses if that
// was decided; what is written must be finished, or the connection given up.
type sink struct {
	x   *exchange
	w   encoder // nil: identity
	out buffer  // what w made of the last piece
}

// sinkBytes is how much of a body is compressed at once, in bytes.
const sinkBytes = 64 << 10

// sinks are gzip encoders that remember nothing between two pieces. One with
// tables of its own has 0.7 MiB for as long as its client reads.
var sinks = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.StatelessCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

func (x *exchange) sink() *sink {
	s := &sink{x: x}
	if x.enc != identity {
		s.w = sinks.Get().(encoder)
		s.w.Reset(&s.out)
	}
	return s
}

// sendArray sends a JSON array piece by piece: rest writes what follows its opening
// bracket. length is that of the body in identity, -1 if it is not known.
func (x *exchange) sendArray(length int64, rest func(out *sink) error) error {
	if x.enc != identity {
		length = -1
	}
	x.begin(http.StatusOK, length)
	if x.head {
		return nil
	}
	out := x.sink()
	out.mustWrite([]byte{'['})
	if err := rest(out); err != nil {
		return err
	}
	out.finish()
	return nil
}

func (s *sink) Write(p []byte) (n int, err error) {
	if s.w == nil {
		return s.x.Write(p)
	}
	for n < len(p) && err == nil {
		piece := p[n:min(n+sinkBytes, len(p))]
		if _, err = s.w.Write(piece); err == nil {
			err = s.send()
		}
		n += len(piece)
	}
	return n, err
}

// send sends what was compressed.
func (s *sink) send() error {
	_, err := s.x.Write(s.out)
	s.out = s.out[:0]
	return err
}

func (s *sink) mustWrite(p []byte) {
	if _, err := s.Write(p); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// finish ends the body.
func (s *sink) finish() {
	if s.w == nil {
		return
	}
	if err := errors.Join(s.w.Close(), s.send()); err != nil {
		panic(http.ErrAbortHandler)
	}
	sinks.Put(s.w)
}
