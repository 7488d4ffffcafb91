package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

func TestRandomAgainstTwin(t *testing.T) {
	for i := range 60 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d/seed=%d", i, seed), func(t *testing.T) { runTwin(t, seed, 400) })
	}
}

func FuzzTwin(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(2))
	f.Fuzz(func(t *testing.T, seed uint64) { runTwin(t, seed, 300) })
}

// runTwin does random things to a journal and compares with the twin.
func runTwin(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	opts := Options{
		FS:           vfs.NewMem(),
		SegmentBytes: 1 + rng.Int64N(20_000),
		QueueBytes:   1 + rng.Int64N(20_000),
		WindowBytes:  1 + rng.Int64N(30_000),
	}
	s := newStream(seed)
	tw := &twin{}
	j := mustOpen(t, opts)
	trimmed := wal.LSN(0)
	for range steps {
		switch r := rng.IntN(100); {
		case r < 80:
			f := s.next()
			tw.frames = append(tw.frames, f)
			offer(t, j, f)
		case r < 93:
			settle(t, j)
			from := max(trimmed, wal.LSN(rng.Uint64N(uint64(j.Synced())+20)))
			checkReader(t, j, tw, from)
		case r < 97:
			settle(t, j)
			trimmed = max(trimmed, wal.LSN(rng.Uint64N(uint64(j.Synced())+1)))
			if err := j.Trim(trimmed); err != nil {
				t.Fatal(err)
			}
			checkReader(t, j, tw, trimmed)
		default:
			mustClose(t, j)
			j = mustOpen(t, opts)
			if want := tw.states()[len(tw.frames)].pos; j.Synced() != want {
				t.Fatalf("reopened at %s, want %s", j.Synced(), want)
			}
			checkReader(t, j, tw, trimmed)
			f := s.reset()
			tw.frames = append(tw.frames, f)
			offer(t, j, f)
		}
	}
	mustClose(t, j)
}

func checkReader(t *testing.T, j *Journal, tw *twin, from wal.LSN) {
	t.Helper()
	r, err := j.Reader(from)
	if err != nil {
		t.Fatalf("reader from %s: %v", from, err)
	}
	defer mustClose(t, r)
	if _, err := tw.check(r, from, len(tw.frames)); err != nil {
		t.Fatalf("%v\n%+v", err, j.Stats())
	}
}

func TestReaderBelowTheOldest(t *testing.T) {
	j := mustOpen(t, Options{FS: vfs.NewMem(), SegmentBytes: 1})
	defer mustClose(t, j)
	offer(t, j, wal.Frame{Kind: wal.FrameReset})
	for i := range 5 {
		offer(t, j, data("x", wal.LSN(10+10*i)))
		settle(t, j)
	}
	if err := j.Trim(30); err != nil {
		t.Fatal(err)
	}
	if st := j.Stats(); st.Oldest != 30 {
		t.Fatalf("oldest %s, want 0/1E", st.Oldest)
	}
	// The window may reach back further than the files.
	j.mu.Lock()
	j.window = newWindow(1)
	j.mu.Unlock()
	if _, err := j.Reader(29); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("got %v, want ErrTrimmed", err)
	}
	if got := readAll(t, j, 30); len(got) != 2 {
		t.Fatalf("got %d frames, want 2", len(got))
	}
}
