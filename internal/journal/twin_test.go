package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// patience is how long a test waits for a condition before it gives up.
const patience = 20 * time.Second

// twin is the dumb picture of a journal: all frames ever offered, in order.
type twin struct {
	frames []wal.Frame
}

// stream makes up frames as a replication session would. Each frame's data is
// unique and says its number.
type stream struct {
	rng     *rand.Rand
	n       uint64
	pos     wal.LSN
	open    bool
	rels    []byte // all Relation messages of the session
	maxData int
}

func newStream(seed uint64) *stream {
	return &stream{rng: rand.New(rand.NewPCG(seed, 0)), pos: 100, maxData: 600}
}

func (s *stream) reset() wal.Frame {
	s.open, s.rels = false, nil
	return wal.Frame{Kind: wal.FrameReset}
}

// next returns the next frame: mostly data, with transactions that span frames
// and frames that hold several transactions.
func (s *stream) next() wal.Frame {
	switch r := s.rng.IntN(100); {
	case r < 3:
		// Postgres sends again what was not acknowledged.
		if s.rng.IntN(2) == 0 && s.pos > 150 {
			s.pos -= wal.LSN(s.rng.IntN(50))
		}
		return s.reset()
	case r < 10 && !s.open:
		s.pos += 3
		return wal.Frame{Kind: wal.FrameProgress, Position: s.pos}
	}
	f := wal.Frame{Kind: wal.FrameData, Data: s.data()}
	if s.rng.IntN(10) == 0 {
		s.rels = wal.AppendMessage(s.rels[:len(s.rels):len(s.rels)], f.Data[4:12])
		f.Preamble = s.rels
	}
	if ends := s.rng.IntN(3) > 0; ends {
		s.pos += 10
		f.Position = s.pos
	}
	s.open = s.rng.IntN(3) == 0 || (f.Position == 0 && s.open)
	f.Open = s.open
	return f
}

func (s *stream) data() []byte {
	s.n++
	b := make([]byte, 12+s.rng.IntN(s.maxData))
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	binary.BigEndian.PutUint64(b[4:], s.n)
	for i := 12; i < len(b); i++ {
		b[i] = byte(s.n) + byte(i)
	}
	return b
}

// same compares a frame that was read with one that was offered.
func same(got, want wal.Frame) error {
	if got.Kind != want.Kind || got.Position != want.Position || got.Open != want.Open || !bytes.Equal(got.Data, want.Data) {
		return fmt.Errorf("got kind %d, position %s, open %v, %d bytes %.20x; want kind %d, position %s, open %v, %d bytes %.20x",
			got.Kind, got.Position, got.Open, len(got.Data), got.Data,
			want.Kind, want.Position, want.Open, len(want.Data), want.Data)
	}
	return nil
}

// states returns the state before each frame, and behind the last.
func (tw *twin) states() []state {
	s := state{known: true}
	out := make([]state, 0, len(tw.frames)+1)
	for i := range tw.frames {
		out = append(out, s)
		s = s.after(&tw.frames[i])
	}
	return append(out, s)
}

// latest is the last frame at which a reader from a position on could begin at
// all: later would leave out transactions or show half of one.
func (tw *twin) latest(from wal.LSN) int {
	best := 0
	for i, s := range tw.states() {
		if i < len(tw.frames) {
			s = s.before(&tw.frames[i])
		}
		if !s.open && s.pos <= from {
			best = i
		}
	}
	return best
}

// preamble is what a reader that begins at frame i must be told.
func (tw *twin) preamble(i int) []byte {
	s := tw.states()[i]
	if i < len(tw.frames) {
		s = s.before(&tw.frames[i])
	}
	return s.preamble
}

// check reads everything from a position on and compares with the twin: it must
// begin at a legal place, with the right preamble, and go on without a gap to
// the twin's frame number upTo. It returns where it began.
func (tw *twin) check(r *Reader, from wal.LSN, upTo int) (int, error) {
	var preamble []byte
	var got []wal.Frame
	for {
		f, ok, err := r.Next()
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		if f.Preamble != nil {
			if len(got) > 0 || preamble != nil || len(f.Data) > 0 {
				return 0, errors.New("a preamble that is not alone at the front")
			}
			preamble = f.Preamble
			continue
		}
		got = append(got, f)
	}
	begin := upTo - len(got)
	if latest := tw.latest(from); begin < 0 || begin > latest {
		return 0, fmt.Errorf("reader from %s began at frame %d of %d, it may begin at %d at the latest", from, begin, upTo, latest)
	}
	for i, f := range got {
		if err := same(f, tw.frames[begin+i]); err != nil {
			return 0, fmt.Errorf("frame %d: %w", begin+i, err)
		}
	}
	if want := tw.preamble(begin); !bytes.Equal(preamble, want) {
		return 0, fmt.Errorf("reader that began at frame %d got preamble %x, want %x", begin, preamble, want)
	}
	return begin, nil
}

// readAll reads all there is from a position on, preamble left out.
func readAll(t testing.TB, j *Journal, from wal.LSN) []wal.Frame {
	t.Helper()
	r, err := j.Reader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, r)
	var out []wal.Frame
	for {
		f, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		if f.Preamble == nil {
			out = append(out, f)
		}
	}
}

func mustClose(t testing.TB, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, o Options) *Journal {
	t.Helper()
	if o.Dir == "" {
		o.Dir = "journal"
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// offer queues a frame, waiting for room.
func offer(t testing.TB, j *Journal, f wal.Frame) {
	t.Helper()
	for !j.Offer(f) {
		select {
		case <-j.Space():
		case <-j.Failed():
			t.Fatal(j.Err())
		case <-time.After(patience):
			t.Fatalf("no room for %s: %+v", patience, j.Stats())
		}
	}
}

// settle waits until the writer has nothing to do.
func settle(t testing.TB, j *Journal) {
	t.Helper()
	// An empty journal pokes nobody: a reader tells when it moves.
	r := &Reader{j: j, ready: make(chan struct{}, 1)}
	j.mu.Lock()
	j.readers[r] = struct{}{}
	j.mu.Unlock()
	defer mustClose(t, r)
	deadline := time.After(patience)
	busy := func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.queued > 0 || j.wantSplit && j.tail.start()
	}
	for busy() {
		select {
		case <-r.Ready():
		case <-j.Failed():
			t.Fatal(j.Err())
		case <-deadline:
			t.Fatalf("not settled after %s: %+v", patience, j.Stats())
		}
	}
}

func data(s string, pos wal.LSN) wal.Frame {
	return wal.Frame{Kind: wal.FrameData, Data: wal.AppendMessage(nil, []byte(s)), Position: pos}
}
