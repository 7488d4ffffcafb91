package journal

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

// BenchmarkAppend writes to the real disk with fsync, as fast as Offer takes it.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("frame=%d", size), func(b *testing.B) {
			j := mustOpen(b, Options{Dir: b.TempDir()})
			f := wal.Frame{Kind: wal.FrameData, Data: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f.Position++
				offer(b, j, f)
				if f.Position%1000 == 0 {
					if err := j.Trim(j.Synced()); err != nil {
						b.Fatal(err)
					}
				}
			}
			mustClose(b, j)
			b.ReportMetric(float64(j.Stats().Syncs), "fsyncs")
		})
	}
}

// BenchmarkCommit is the time from Offer to Synced for one small frame.
func BenchmarkCommit(b *testing.B) {
	j := mustOpen(b, Options{Dir: b.TempDir()})
	defer mustClose(b, j)
	r, err := j.Reader(0)
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, r)
	f := wal.Frame{Kind: wal.FrameData, Data: make([]byte, 200)}
	for b.Loop() {
		f.Position++
		offer(b, j, f)
		for {
			_, ok, err := r.Next()
			if err != nil {
				b.Fatal(err)
			}
			if ok {
				break
			}
			<-r.Ready()
		}
	}
}

// filled is a journal with about total bytes in frames of a size.
func filled(b *testing.B, o Options, total, size int) *Journal {
	o.Dir = b.TempDir()
	j := mustOpen(b, o)
	for i := 0; i < total; i += size {
		offer(b, j, wal.Frame{Kind: wal.FrameData, Data: make([]byte, size), Position: wal.LSN(i + 1)})
	}
	settle(b, j)
	return j
}

func BenchmarkRead(b *testing.B) {
	const total = 128 << 20
	for _, from := range []string{"window", "file"} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("from=%s/frame=%d", from, size), func(b *testing.B) {
				o := Options{WindowBytes: 1}
				if from == "window" {
					o.WindowBytes = 4 * total
				}
				j := filled(b, o, total, size)
				defer mustClose(b, j)
				var r *Reader
				var err error
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					ok := false
					if r != nil {
						if _, ok, err = r.Next(); err != nil {
							b.Fatal(err)
						}
					}
					if !ok {
						if r, err = j.Reader(0); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// BenchmarkOpen is recovery, out of the page cache.
func BenchmarkOpen(b *testing.B) {
	const total = 256 << 20
	j := filled(b, Options{WindowBytes: 1}, total, 16<<10)
	mustClose(b, j)
	runtime.GC()
	b.SetBytes(total)
	for b.Loop() {
		j, err := Open(j.opts)
		if err != nil {
			b.Fatal(err)
		}
		mustClose(b, j)
	}
}
