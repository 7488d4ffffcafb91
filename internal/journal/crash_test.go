package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// TestPowerLoss cuts the power at random moments: what a reader could see
// survives, what survives is a beginning of what was offered, and nothing else
// comes back.
func TestPowerLoss(t *testing.T) {
	for i := range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d/seed=%d", i, seed), func(t *testing.T) { runPowerLoss(t, seed) })
	}
}

func FuzzPowerLoss(f *testing.F) {
	f.Add(uint64(3))
	f.Fuzz(func(t *testing.T, seed uint64) { runPowerLoss(t, seed) })
}

func runPowerLoss(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	fs := vfs.NewCrashableMem()
	opts := Options{
		SegmentBytes: 1000 + rng.Int64N(40_000),
		QueueBytes:   1 << 20,
		WindowBytes:  1 + rng.Int64N(30_000),
	}
	s := newStream(seed)
	s.maxData = 1 + rng.IntN(6000) // up to more than a page
	tw := &twin{}
	for range 6 {
		opts.FS = fs
		old := fs
		j := mustOpen(t, opts)
		survivors := len(tw.frames)
		checkReader(t, j, tw, 0)
		f := s.reset()
		if len(tw.frames) == 0 {
			// With a position in the very first frame a reader from 0 sees all.
			f.Position = 1
		}
		for range 1 + rng.IntN(120) {
			tw.frames = append(tw.frames, f)
			offer(t, j, f)
			if rng.IntN(30) == 0 {
				settle(t, j)
			}
			f = s.next()
		}
		if rng.IntN(4) == 0 {
			mustClose(t, j)
		}
		// The writer is somewhere in the middle.
		j.mu.Lock()
		survivors += int(j.window.next()) - 1
		j.mu.Unlock()
		fs = old.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 30, 70, 100}[rng.IntN(4)],
			RNG:                 rng,
		})
		mustClose(t, j)
		tw.afterCrash(t, fs, opts, survivors)
	}
}

// afterCrash finds out how many frames survived, at least n, and forgets the others.
func (tw *twin) afterCrash(t *testing.T, fs *vfs.MemFS, opts Options, n int) {
	t.Helper()
	opts.FS = fs
	j := mustOpen(t, opts)
	defer mustClose(t, j)
	got := readAll(t, j, 0)
	if len(got) < n || len(got) > len(tw.frames) {
		t.Fatalf("%d frames survived; %d were fsynced, %d offered", len(got), n, len(tw.frames))
	}
	tw.frames = tw.frames[:len(got)]
	checkReader(t, j, tw, 0)
	if want := tw.states()[len(got)].pos; j.Synced() != want {
		t.Fatalf("synced %s, want %s", j.Synced(), want)
	}
}

// TestKilledThenPowerLoss: a killed process leaves frames in the page cache. The
// next one calls them synced, so a power cut must not take them.
func TestKilledThenPowerLoss(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &sickFS{FS: mem}
	killed := mustOpen(t, Options{FS: fs})
	fs.set(func(op, _ string) error {
		if op == "sync" {
			return errLie
		}
		return nil
	})
	offer(t, killed, data("a", 10))
	settle(t, killed)
	j := mustOpen(t, Options{FS: mem})
	if j.Synced() != 10 {
		t.Fatalf("synced %s", j.Synced())
	}
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, j)
	mustClose(t, killed)
	j = mustOpen(t, Options{FS: clone})
	defer mustClose(t, j)
	checkFrames(t, readAll(t, j, 0), []wal.Frame{data("a", 10)})
}

// image is a journal's files.
type image map[string][]byte

func imageOf(t *testing.T, fs *vfs.MemFS) image {
	t.Helper()
	names, err := fs.List("journal")
	if err != nil {
		t.Fatal(err)
	}
	img := image{}
	for _, name := range names {
		b, err := fs.UnsafeGetFileDataBuffer(path.Join("journal", name))
		if err != nil {
			t.Fatal(err)
		}
		img[name] = append([]byte(nil), b...)
	}
	return img
}

func (img image) mount(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("journal", 0o750); err != nil {
		t.Fatal(err)
	}
	for name, b := range img {
		f, err := fs.Create(path.Join("journal", name), category)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append([]byte(nil), b...)); err != nil {
			t.Fatal(err)
		}
		mustClose(t, f)
	}
	return fs
}

func (img image) with(name string, b []byte) image {
	out := image{}
	for n := range img {
		out[n] = img[n]
	}
	out[name] = b
	return out
}

// example is a journal of two segments. The second has a preamble and three
// group commits: a, then b and c, then d and e.
type example struct {
	img    image
	frames []wal.Frame
	last   string
	ends   []int64 // in the last segment: of the header and of each frame
	batch  []int64 // in the last segment, for each frame: where its commit began
}

func newExample(t *testing.T, closed bool) *example {
	t.Helper()
	mem := vfs.NewMem()
	fs := &sickFS{FS: mem}
	j := mustOpen(t, Options{FS: fs, SegmentBytes: 150})
	ex := &example{last: fileName(2)}
	commits := [][]wal.Frame{
		{{Kind: wal.FrameReset}, {Kind: wal.FrameData, Data: make([]byte, 200), Position: 10, Preamble: wal.AppendMessage(nil, []byte("relation"))}},
		{data("a", 20)},
		{data("bb", 30), {Kind: wal.FrameProgress, Position: 35}},
		{data("ddd", 40), data("eeee", 50)},
	}
	for _, frames := range commits {
		commitTogether(t, j, fs, frames)
		ex.frames = append(ex.frames, frames...)
	}
	j.mu.Lock()
	ex.ends = append(ex.ends, j.last.seg.first)
	j.mu.Unlock()
	for i, c := range commits[1:] {
		at := ex.ends[len(ex.ends)-1]
		if i == 0 {
			at = 0
		}
		for k := range c {
			ex.batch = append(ex.batch, at)
			ex.ends = append(ex.ends, ex.ends[len(ex.ends)-1]+frameSize(&c[k]))
		}
	}
	if !closed {
		ex.img = imageOf(t, mem)
	}
	mustClose(t, j)
	if closed {
		ex.img = imageOf(t, mem)
	}
	if len(ex.img) != 2 {
		t.Fatalf("%d files, want 2", len(ex.img))
	}
	return ex
}

// commitTogether makes one group commit of frames. The first is on its way when
// the others are queued, unless it waits for the disk.
func commitTogether(t *testing.T, j *Journal, fs *sickFS, frames []wal.Frame) {
	t.Helper()
	// The journal's own lock is the simplest way to keep the writer from
	// looking into the queue too early.
	j.mu.Lock()
	for i := range frames {
		j.queue = append(j.queue, frames[i])
		j.queued += queueBytes(&frames[i])
	}
	j.mu.Unlock()
	poke(j.wake)
	settle(t, j)
}

// reopened opens an image and returns what is in it.
func (img image) reopened(t *testing.T) ([]wal.Frame, error) {
	t.Helper()
	sight := img.look(t)
	j, err := Open(Options{FS: img.mount(t), Dir: "journal"})
	if err != nil {
		if len(sight.Damage) == 0 || !strings.HasSuffix(err.Error(), sight.Damage[0].Error()) {
			t.Fatalf("Look saw damage %v, but Open says %v", sight.Damage, err)
		}
		return nil, err
	}
	defer mustClose(t, j)
	frames := readAll(t, j, 0)
	sight.check(t, j, frames)
	return frames, nil
}

// look looks at the files, which must not change them.
func (img image) look(t *testing.T) Sight {
	t.Helper()
	fs := img.mount(t)
	sight, err := Look(fs, "journal")
	if err != nil {
		t.Fatal(err)
	}
	if after := imageOf(t, fs); !maps.EqualFunc(img, after, bytes.Equal) {
		t.Fatal("Look has changed a file")
	}
	return sight
}

// check compares what Look saw with what Open made of it.
func (s *Sight) check(t *testing.T, j *Journal, frames []wal.Frame) {
	t.Helper()
	if len(s.Damage) > 0 {
		t.Fatalf("Look saw damage %v, Open did not", s.Damage)
	}
	n, bytes, to := 0, int64(0), wal.LSN(0)
	for _, seg := range s.Segments {
		n += seg.Frames
		bytes += seg.Bytes + seg.Torn
		if seg.Sealed {
			bytes += frameLen
		}
		to = seg.To
	}
	st := j.Stats()
	if n != len(frames) || bytes != st.Bytes || to != st.Synced {
		t.Fatalf("Look saw %d frames, %d bytes, up to %s; Open has %d, %d, %s", n, bytes, to, len(frames), st.Bytes, st.Synced)
	}
}

func checkFrames(t *testing.T, got, want []wal.Frame) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d frames, want %d", len(got), len(want))
	}
	for i := range got {
		if err := same(got[i], want[i]); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
}

// TestTornTail cuts the last file at every byte, and puts zeros or garbage
// behind the cut: all whole frames before it are there, and the journal goes on.
func TestTornTail(t *testing.T) {
	ex := newExample(t, false)
	whole := ex.img[ex.last]
	rng := rand.New(rand.NewPCG(7, 7))
	for n := range len(whole) {
		for _, tail := range []string{"short", "zeros", "garbage"} {
			b := append([]byte(nil), whole[:n]...)
			for len(b) < len(whole)+30 && tail != "short" {
				c := byte(0)
				if tail == "garbage" {
					c = byte(rng.Uint32())
				}
				b = append(b, c)
			}
			want := ex.frames[:2]
			for i, end := range ex.ends[1:] {
				// Zeros may happen to be what was cut off.
				if int64(len(b)) >= end && bytes.Equal(b[:end], whole[:end]) {
					want = ex.frames[:3+i]
				}
			}
			img := ex.img.with(ex.last, b)
			t.Run(fmt.Sprintf("%d/%s", n, tail), func(t *testing.T) { checkTorn(t, img, want) })
		}
	}
}

func checkTorn(t *testing.T, img image, want []wal.Frame) {
	sight := img.look(t)
	fs := img.mount(t)
	j := mustOpen(t, Options{FS: fs})
	checkFrames(t, readAll(t, j, 0), want)
	sight.check(t, j, want)
	// The torn bytes never come back, whatever is written after them.
	more := []wal.Frame{{Kind: wal.FrameReset}, data("new", 60)}
	for _, f := range more {
		offer(t, j, f)
	}
	settle(t, j)
	all := append(append([]wal.Frame(nil), want...), more...)
	checkFrames(t, readAll(t, j, 0), all)
	mustClose(t, j)
	j = mustOpen(t, Options{FS: fs})
	defer mustClose(t, j)
	checkFrames(t, readAll(t, j, 0), all)
	if j.Synced() != 60 {
		t.Fatalf("synced %s", j.Synced())
	}
	sight = imageOf(t, fs).look(t)
	sight.check(t, j, all)
}

// TestBitFlips flips each bit of the files: what was fsynced is never lost in
// silence.
func TestBitFlips(t *testing.T) {
	for _, closed := range []bool{true, false} {
		ex := newExample(t, closed)
		if s := ex.img.look(t).Segments; s[0].Sealed || s[1].Sealed != closed {
			t.Errorf("closed=%v, but Look saw %+v", closed, s)
		}
		whole, err := ex.img.reopened(t)
		if err != nil {
			t.Fatal(err)
		}
		checkFrames(t, whole, ex.frames)
		for name, whole := range ex.img {
			for at := range len(whole) {
				bit := byte(1) << (at % 8)
				b := append([]byte(nil), whole...)
				b[at] ^= bit
				t.Run(fmt.Sprintf("closed=%v/%s/%d", closed, name, at), func(t *testing.T) {
					ex.checkFlip(t, name, int64(at), closed, ex.img.with(name, b))
				})
			}
		}
	}
}

func (ex *example) checkFlip(t *testing.T, name string, at int64, closed bool, img image) {
	got, err := img.reopened(t)
	var corrupt *CorruptError
	if err != nil && !errors.As(err, &corrupt) {
		t.Fatalf("got error %v, want a CorruptError", err)
	}
	frame := 0 // which frame of the last file, the header being frame 0
	for frame < len(ex.ends) && at >= ex.ends[frame] {
		frame++
	}
	sealed := frame == len(ex.ends) // the flip is in the seal
	// Without a seal nothing vouches for the last commit.
	lastCommit := !closed && frame > 0 && !sealed && ex.batch[frame-1] == ex.batch[len(ex.batch)-1]
	if name == ex.last && (sealed || lastCommit) {
		if err != nil {
			t.Fatal(err)
		}
		checkFrames(t, got, ex.frames[:2+frame-1])
		return
	}
	if corrupt == nil {
		t.Fatalf("not detected: %d frames", len(got))
	}
}

func TestMissingFile(t *testing.T) {
	mem := vfs.NewMem()
	j := mustOpen(t, Options{FS: mem, SegmentBytes: 1})
	for i := range 4 {
		offer(t, j, data("x", wal.LSN(i+1)))
		settle(t, j)
	}
	mustClose(t, j)
	img := imageOf(t, mem)
	delete(img, fileName(3))
	var corrupt *CorruptError
	if _, err := img.reopened(t); !errors.As(err, &corrupt) {
		t.Fatalf("got %v, want a CorruptError", err)
	}
	delete(img, fileName(1))
	delete(img, fileName(2))
	j, err := Open(Options{FS: img.mount(t), Dir: "journal"})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, j)
	if _, err := j.Reader(1); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("got %v, want ErrTrimmed", err)
	}
}
