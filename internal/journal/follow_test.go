package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// TestFollow has readers follow a fast writer through rotations and trims: each
// sees every frame exactly once.
func TestFollow(t *testing.T) {
	for _, window := range []int64{1, 20_000, 1 << 20} {
		t.Run(fmt.Sprintf("window=%d", window), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			follow(t, seed, window)
		})
	}
}

func follow(t *testing.T, seed uint64, window int64) {
	const nFrames = 3000
	j := mustOpen(t, Options{FS: vfs.NewMem(), SegmentBytes: 10_000, QueueBytes: 30_000, WindowBytes: window})
	s := newStream(seed)
	frames := []wal.Frame{{Kind: wal.FrameReset, Position: 1}}
	for len(frames) < nFrames {
		frames = append(frames, s.next())
	}
	tw := &twin{frames: frames}
	states := tw.states()
	const nReaders = 3
	type progress struct {
		reader int
		pos    wal.LSN
		err    error
	}
	report := make(chan progress, nReaders*nFrames)
	for i := range nReaders {
		r, err := j.Reader(0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close2(r)
			for n := 0; n < nFrames; {
				f, ok, err := r.Next()
				if err == nil && ok && f.Preamble == nil {
					err = same(f, frames[n])
					n++
				}
				report <- progress{i, states[n].pos, err}
				if err != nil {
					return
				}
				if !ok {
					<-r.Ready()
				}
			}
			report <- progress{i, wal.LSN(1 << 62), nil}
		}()
	}
	go func() {
		for _, f := range frames {
			for !j.Offer(f) {
				<-j.Space()
			}
		}
	}()
	at := map[int]wal.LSN{0: 0, 1: 0, 2: 0}
	deadline := time.After(patience)
	for min(at[0], at[1], at[2]) < 1<<62 {
		select {
		case p := <-report:
			if p.err != nil {
				t.Fatalf("reader %d: %v", p.reader, p.err)
			}
			at[p.reader] = p.pos
		case <-deadline:
			t.Fatalf("readers are at %v: %+v", at, j.Stats())
		}
		// One below: at its own position a reader may be overtaken, see
		// TestOvertakenReader.
		if err := j.Trim(max(min(at[0], at[1], at[2]), 1) - 1); err != nil {
			t.Fatal(err)
		}
	}
	if st := j.Stats(); st.Segments > 40 {
		t.Errorf("%d segments left", st.Segments)
	}
	mustClose(t, j)
}

func close2(r *Reader) {
	if err := r.Close(); err != nil {
		panic(err)
	}
}

// TestReaderInTrimmedSegment: a reader that is left behind by Trim reads on in
// the file it has, and then is told.
func TestReaderInTrimmedSegment(t *testing.T) {
	j := mustOpen(t, Options{FS: vfs.NewMem(), SegmentBytes: 60, WindowBytes: 1})
	defer mustClose(t, j)
	for i := range 9 {
		offer(t, j, data("12345678", wal.LSN(10*i+10)))
		settle(t, j)
	}
	inside, err := j.Reader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, inside)
	if _, ok, err := inside.Next(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := j.Trim(90); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		_, ok, err := inside.Next()
		if err != nil {
			if !isTrimmed(err) || n != 1 {
				t.Fatalf("after %d frames: %v", n, err)
			}
			break
		}
		if !ok {
			t.Fatal("a hole")
		}
		n++
	}
}

// TestOvertakenReader: after a restart in the middle of a large transaction, all
// of it is below the position of the next session's segment, and Trim may take
// it away from a reader that is still in it.
func TestOvertakenReader(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, SegmentBytes: 60, WindowBytes: 1}
	j := mustOpen(t, o)
	offer(t, j, wal.Frame{Kind: wal.FrameReset})
	offer(t, j, data("whole", 10))
	settle(t, j)
	for range 5 {
		f := data("a piece of a large transaction", 0)
		f.Open = true
		offer(t, j, f)
		settle(t, j)
	}
	mustClose(t, j)
	j = mustOpen(t, o)
	defer mustClose(t, j)
	r, err := j.Reader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, r)
	for range 3 { // reset, whole, a piece
		if _, ok, err := r.Next(); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	offer(t, j, wal.Frame{Kind: wal.FrameReset})
	again := data("all of the large transaction", 20)
	again.Preamble = wal.AppendMessage(nil, []byte("relation"))
	offer(t, j, again)
	settle(t, j)
	if err := j.Trim(10); err != nil {
		t.Fatal(err)
	}
	got := drain(t, r)
	for len(got) > 0 && got[0].Kind != wal.FrameReset {
		got = got[1:] // what its open file still had
	}
	checkFrames(t, got, []wal.Frame{{Kind: wal.FrameReset}, {Kind: wal.FrameReset}, again})
}

// TestIdleJournalGivesBack: when nobody needs anything, little stays on disk.
func TestIdleJournalGivesBack(t *testing.T) {
	j := mustOpen(t, Options{FS: vfs.NewMem(), SegmentBytes: 1 << 20})
	defer mustClose(t, j)
	offer(t, j, wal.Frame{Kind: wal.FrameReset})
	for i := range 20 {
		f := data(string(make([]byte, 10_000)), wal.LSN(i+1))
		f.Preamble = wal.AppendMessage(nil, []byte("relation"))
		offer(t, j, f)
	}
	settle(t, j)
	before := j.Stats().Bytes
	for range 2 { // the first makes the writer begin a new segment
		if err := j.Trim(20); err != nil {
			t.Fatal(err)
		}
		settle(t, j)
	}
	if st := j.Stats(); st.Segments != 1 || st.Bytes > 1000 || st.Synced != 20 || st.Oldest != 20 {
		t.Fatalf("%d bytes before, now %+v", before, st)
	}
	offer(t, j, data("on it goes", 30))
	settle(t, j)
	j.mu.Lock()
	j.window = newWindow(1) // read the file
	j.tail.open = true      // do not begin at the end
	j.mu.Unlock()
	r, err := j.Reader(20)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, r)
	got := drain(t, r)
	if len(got) != 2 || string(got[0].Preamble[4:]) != "relation" || same(got[1], data("on it goes", 30)) != nil {
		t.Fatalf("got %+v", got)
	}
}

// TestLargeTransaction: memory does not grow with a transaction.
func TestLargeTransaction(t *testing.T) {
	const total, frame = 96 << 20, 64 << 10
	j := mustOpen(t, Options{Dir: t.TempDir(), SegmentBytes: 16 << 20, QueueBytes: 1 << 20, WindowBytes: 1 << 20})
	defer mustClose(t, j)
	r, err := j.Reader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, r)
	go func() {
		for i := 0; i < total; i += frame {
			f := wal.Frame{Kind: wal.FrameData, Data: make([]byte, frame), Open: true}
			if i+frame >= total {
				f.Open, f.Position = false, 10
			}
			for !j.Offer(f) {
				<-j.Space()
			}
		}
	}()
	got, most := 0, uint64(0)
	for got < total {
		f, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			select {
			case <-r.Ready():
			case <-time.After(patience):
				t.Fatalf("at %d: %+v", got, j.Stats())
			}
			continue
		}
		got += len(f.Data)
		if got%(8<<20) == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if most > 16<<20 {
		t.Fatalf("%d bytes of heap", most)
	}
	// From the file, all of it, in one piece.
	again := readAll(t, j, 0)
	if len(again) != total/frame {
		t.Fatalf("%d frames", len(again))
	}
}

func isTrimmed(err error) bool { return errors.Is(err, ErrTrimmed) }
