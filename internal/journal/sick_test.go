package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// failing returns a hook that fails one kind of operation as long as on is set.
func failing(op string, err error, on *atomic.Bool) func(string, string) error {
	return func(o, path string) error {
		if on.Load() && o == op && strings.HasSuffix(path, fileSuffix) {
			return fmt.Errorf("%s %s: %w", op, path, err)
		}
		return nil
	}
}

func TestDiskFull(t *testing.T) {
	for _, op := range []string{"write", "create"} {
		for _, partial := range []bool{false, true} {
			for _, truncate := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/partial=%v/truncate=%v", op, partial, truncate), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						runDiskFull(t, &sickFS{FS: vfs.NewMem(), partial: partial, truncate: truncate}, op)
					})
				})
			}
		}
	}
}

func runDiskFull(t *testing.T, fs *sickFS, op string) {
	var full atomic.Bool
	var events []string
	fs.set(failing(op, syscall.ENOSPC, &full))
	opts := Options{FS: fs, SegmentBytes: 300, QueueBytes: 2000, Events: Events{
		Full:    func(error) { events = append(events, "full") },
		Resumed: func() { events = append(events, "resumed") },
	}}
	j := mustOpen(t, opts)
	tw := &twin{}
	put := func(n int) (refused bool) {
		for range n {
			f := data("0123456789", wal.LSN(len(tw.frames)+1))
			if !j.Offer(f) {
				return true
			}
			tw.frames = append(tw.frames, f)
		}
		return false
	}
	put(6)
	synctest.Wait()
	synced := j.Synced()
	full.Store(true)
	if !put(100) {
		t.Fatal("the queue has no bound")
	}
	time.Sleep(10 * time.Second)
	if st := j.Stats(); st.State != StateFull || !errors.Is(st.Err, syscall.ENOSPC) || st.Synced < synced || st.Queued > opts.QueueBytes {
		t.Fatalf("stats while full: %+v", st)
	}
	if op == "write" && j.Synced() != synced {
		t.Fatalf("synced went from %s to %s on a full disk", synced, j.Synced())
	}
	if n := len(events); n < 5 || n > 15 {
		t.Fatalf("%d tries in 10 s", n)
	}
	checkReader(t, j, &twin{frames: tw.frames[:j.Synced()]}, 0)
	full.Store(false)
	time.Sleep(2 * fullRetry)
	select {
	case <-j.Space():
	default:
		t.Fatal("Space is silent")
	}
	offer(t, j, data("x", 1000))
	tw.frames = append(tw.frames, data("x", 1000))
	synctest.Wait()
	if st := j.Stats(); st.State != StateOK || st.Synced != 1000 {
		t.Fatalf("stats after the disk has room again: %+v", st)
	}
	if events[len(events)-1] != "resumed" {
		t.Fatalf("events %q", events)
	}
	checkReader(t, j, tw, 0)
	mustClose(t, j)
	j = mustOpen(t, opts)
	checkReader(t, j, tw, 0)
	mustClose(t, j)
}

func TestCloseOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		fs := &sickFS{FS: vfs.NewMem()}
		fs.set(failing("write", syscall.ENOSPC, &full))
		j := mustOpen(t, Options{FS: fs})
		offer(t, j, data("a", 1))
		synctest.Wait()
		full.Store(true)
		offer(t, j, data("b", 2))
		synctest.Wait()
		if err := j.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("close: %v, want ENOSPC", err)
		}
		full.Store(false)
		j = mustOpen(t, Options{FS: fs})
		checkFrames(t, readAll(t, j, 0), []wal.Frame{data("a", 1)})
		mustClose(t, j)
	})
}

func TestFailureIsFinal(t *testing.T) {
	cases := []struct {
		op  string
		err error
	}{
		{"sync", syscall.EIO}, {"sync", syscall.ENOSPC}, {"write", syscall.EIO}, {"create", syscall.EIO},
	}
	for _, c := range cases {
		t.Run(c.op+"/"+c.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sick atomic.Bool
				tries := 0
				fs := &sickFS{FS: vfs.NewMem()}
				fs.set(func(op, path string) error {
					if op == c.op && sick.Load() && strings.HasSuffix(path, fileSuffix) {
						tries++
						return c.err
					}
					return nil
				})
				j := mustOpen(t, Options{FS: fs, SegmentBytes: 1})
				offer(t, j, data("a", 1))
				synctest.Wait()
				sick.Store(true)
				offer(t, j, data("b", 2))
				<-j.Failed()
				sick.Store(false)
				time.Sleep(time.Minute)
				if tries != 1 || !errors.Is(j.Err(), c.err) || j.State() != StateFailed || j.Synced() != 1 {
					t.Fatalf("%d tries, err %v, %+v", tries, j.Err(), j.Stats())
				}
				if j.Offer(data("c", 3)) {
					t.Fatal("a failed journal takes frames")
				}
				checkFrames(t, readAll(t, j, 0), []wal.Frame{data("a", 1)})
				if err := j.Close(); !errors.Is(err, c.err) {
					t.Fatalf("close: %v", err)
				}
			})
		})
	}
}

func TestStuckSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var stuck atomic.Bool
		fs := &sickFS{FS: vfs.NewMem()}
		fs.set(func(op, path string) error {
			if op == "sync" && stuck.Load() && strings.HasSuffix(path, fileSuffix) {
				<-release
			}
			return nil
		})
		j := mustOpen(t, Options{FS: fs, SegmentBytes: 1, QueueBytes: 5000})
		for i := range 5 {
			offer(t, j, data("before", wal.LSN(i+1)))
			synctest.Wait()
		}
		r, err := j.Reader(0)
		if err != nil {
			t.Fatal(err)
		}
		stuck.Store(true)
		n := 0
		for j.Offer(data("after", wal.LSN(10+n))) {
			n++
			synctest.Wait() // the first is with the stuck sync already
		}
		for _, want := range []struct {
			sleep time.Duration
			state State
		}{{0, StateOK}, {time.Second, StateSlow}, {time.Minute, StateStalled}} {
			time.Sleep(want.sleep)
			st := j.Stats()
			if st.State != want.state || st.Op != "sync" || st.OpTook < want.sleep || st.Synced != 5 || st.Written != 10 {
				t.Fatalf("after %s: %+v", want.sleep, st)
			}
		}
		checkFrames(t, drain(t, r), readAll(t, j, 0))
		if err := j.Trim(3); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Reader(4); err != nil {
			t.Fatal(err)
		}
		stuck.Store(false)
		close(release)
		synctest.Wait()
		if st := j.Stats(); st.Synced != wal.LSN(10+n-1) || st.Op != "" || st.State != StateOK {
			t.Fatalf("after the disk came back: %+v", st)
		}
		if got := drain(t, r); len(got) != n {
			t.Fatalf("got %d frames, want %d", len(got), n)
		}
		mustClose(t, r)
		mustClose(t, j)
	})
}

func drain(t *testing.T, r *Reader) []wal.Frame {
	t.Helper()
	var out []wal.Frame
	for {
		f, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		out = append(out, f)
	}
}

func TestCloseWithStuckDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var once sync.Once
		fs := &sickFS{FS: vfs.NewMem()}
		fs.set(func(op, path string) error {
			if op == "sync" && strings.HasSuffix(path, fileSuffix) {
				once.Do(func() { <-release })
			}
			return nil
		})
		j := mustOpen(t, Options{FS: fs})
		offer(t, j, data("a", 1))
		start := time.Now()
		if err := j.Close(); err == nil || time.Since(start) != DefaultCloseTimeout {
			t.Fatalf("close: %v after %s", err, time.Since(start))
		}
		close(release)
		synctest.Wait()
		mustClose(t, j)
		if j.Synced() != 1 {
			t.Fatalf("synced %s", j.Synced())
		}
	})
}

// TestRandomFull fills and frees the disk at random under a random stream.
func TestRandomFull(t *testing.T) {
	for range 30 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runRandomFull(t, seed) })
		})
	}
}

func runRandomFull(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	var full atomic.Bool
	mem := vfs.NewCrashableMem()
	fs := &sickFS{FS: mem, partial: true, truncate: rng.IntN(2) == 0}
	op := []string{"write", "create"}[rng.IntN(2)]
	fs.set(failing(op, syscall.ENOSPC, &full))
	opts := Options{FS: fs, SegmentBytes: 1 + rng.Int64N(9000), QueueBytes: 20_000, WindowBytes: 1 + rng.Int64N(9000)}
	j := mustOpen(t, opts)
	s := newStream(seed)
	tw := &twin{frames: []wal.Frame{{Kind: wal.FrameReset, Position: 1}}}
	offer(t, j, tw.frames[0])
	for range 400 {
		if rng.IntN(20) == 0 {
			full.Store(!full.Load())
		}
		if rng.IntN(10) == 0 {
			synctest.Wait()
		}
		f := s.next()
		if j.Offer(f) {
			tw.frames = append(tw.frames, f)
			continue
		}
		full.Store(false)
		<-j.Space()
		s.reset() // f is lost
		tw.frames = append(tw.frames, wal.Frame{Kind: wal.FrameReset})
		offer(t, j, wal.Frame{Kind: wal.FrameReset})
	}
	// A crash while the disk is full, and one that drops what is not synced.
	synctest.Wait()
	j.mu.Lock()
	survivors := int(j.window.next()) - 1
	j.mu.Unlock()
	clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
	whole := &twin{frames: tw.frames}
	whole.afterCrash(t, clone, Options{}, survivors)
	full.Store(false)
	time.Sleep(2 * fullRetry)
	checkReader(t, j, tw, 0)
	mustClose(t, j)
}
