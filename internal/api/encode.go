package api

import (
	"compress/flate"
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
// lines of Accept-Encoding. Among equals it is the one that costs less.
func accepted(lines []string) encoding {
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
				weights[zstandard] = q
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
	Flush() error
	Reset(w io.Writer)
}

// encoders are used again: each has large tables.
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

// encode decides about the body of the response that is about to begin. size is
// what it has in identity, -1 if that is not known.
func (x *exchange) encode(size int64) {
	x.enc = identity
	if size < 0 || size >= leastEncoded {
		x.enc = accepted(x.r.Header["Accept-Encoding"])
	}
	if x.enc != identity {
		x.w.Header()["Content-Encoding"] = []string{encodingNames[x.enc]}
	}
}

// sink is where a body goes that is sent piece by piece. It compresses if that
// was decided; what is written must be finished, or the connection given up.
type sink struct {
	x *exchange
	w encoder // nil: identity
}

func (x *exchange) sink() *sink {
	s := &sink{x: x}
	if x.enc != identity {
		s.w = encoders[x.enc].Get().(encoder)
		s.w.Reset(x)
	}
	return s
}

func (s *sink) Write(p []byte) (int, error) {
	if s.w == nil {
		return s.x.Write(p)
	}
	return s.w.Write(p)
}

func (s *sink) mustWrite(p []byte) {
	if _, err := s.Write(p); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// flush sends what there is, before a pause.
func (s *sink) flush() {
	if s.w != nil {
		// A connection that is gone fails at the next write.
		_ = s.w.Flush()
	}
	s.x.flush()
}

// finish ends the body.
func (s *sink) finish() {
	if s.w == nil {
		return
	}
	if err := s.w.Close(); err != nil {
		panic(http.ErrAbortHandler)
	}
	encoders[s.x.enc].Put(s.w)
}
