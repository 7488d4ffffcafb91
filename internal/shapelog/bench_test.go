package shapelog

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func openDisk(b *testing.B) *Log {
	l, err := Open(Options{FS: vfs.Default, Dir: b.TempDir()})
	check(b, err)
	b.Cleanup(func() { check(b, l.Close()) })
	return l
}

// message is a change of ordinary size, 270 bytes.
var message = fmt.Appendf(nil, `{"key":"\"public\".\"boats\"/\"7\"","value":{"id":"7","name":"%0120d"},"headers":{"operation":"update","relation":["public","boats"],"txids":[907],"lsn":"33558040","op_position":0,"last":true}}`, 7)

// One entry and the cursor of each of 1,000 shapes, in one batch.
func BenchmarkCommitManyShapes(b *testing.B) {
	l := openDisk(b)
	tx := wal.LSN(0)
	for b.Loop() {
		tx++
		batch := l.NewBatch()
		for id := range shape.ID(1000) {
			off := wal.Offset{Tx: tx}
			check(b, batch.Append(id+1, Entry{Offset: off, JSON: message}))
			check(b, batch.SetCursor(id+1, 1, shape.Cursor{Pos: tx + 1, Tail: off}))
		}
		check(b, batch.Commit())
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// Changes of 100,000 shapes by chance, with a flush for every 20,000, and then the newest
// entry of some: what both cost in CPU, Pebble's compactions included.
func BenchmarkManyLogs(b *testing.B) {
	const shapes, each = 100_000, 20_000
	l := openDisk(b)
	rng := rand.New(rand.NewPCG(1, 1))
	tx := wal.LSN(0)
	tails := make(map[shape.ID]wal.Offset)
	var wrote time.Duration
	for b.Loop() {
		began := cpu(b)
		batch := l.NewBatch()
		for n := range each {
			tx += 100
			id, off := shape.ID(1+rng.IntN(shapes)), wal.Offset{Tx: tx}
			check(b, batch.Append(id, Entry{Offset: off, JSON: message, Pos: tx + 1}))
			tails[id] = off
			if n%500 == 499 {
				check(b, batch.Commit())
				batch = l.NewBatch()
			}
		}
		check(b, batch.Commit())
		check(b, l.Flush())
		for l.db.Metrics().Compact.NumInProgress > 0 {
			time.Sleep(time.Millisecond)
		}
		wrote += cpu(b) - began
	}
	began, reads := cpu(b), 0
	for id, tail := range tails {
		e, err := l.ReadInto(nil, id, wal.Offset{Tx: tail.Tx - 1}, tail, math.MaxInt)
		check(b, err)
		if reads++; e.N != 1 {
			b.Fatal(e.N)
		}
	}
	b.ReportMetric(float64(wrote.Microseconds())/float64(b.N*each), "µs/change")
	b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(reads), "µs/read")
	b.ReportMetric(float64(l.db.Metrics().Levels[0].Sublevels), "tables")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func fillLog(b *testing.B, l *Log, n int) wal.Offset {
	var off wal.Offset
	batch := l.NewBatch()
	for i := range n {
		off = wal.Offset{Tx: wal.LSN(1000 + i)}
		check(b, batch.Append(1, Entry{Offset: off, JSON: message}))
	}
	check(b, batch.Commit())
	check(b, l.Flush())
	return off
}

// The newest entry of a log of 30,000.
func BenchmarkReadTail(b *testing.B) {
	l := openDisk(b)
	tail := fillLog(b, l, 30_000)
	before := wal.Offset{Tx: tail.Tx - 1}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		e, err := l.ReadInto(buf[:0], 1, before, tail, math.MaxInt)
		check(b, err)
		if buf = e.Body; e.N != 1 {
			b.Fatal(e.N)
		}
	}
}

// A chunk of 8 MB.
func BenchmarkReadChunk(b *testing.B) {
	l := openDisk(b)
	tail := fillLog(b, l, 30_000)
	var buf []byte
	for b.Loop() {
		e, err := l.ReadInto(buf[:0], 1, wal.AfterSnapshot, tail, math.MaxInt)
		check(b, err)
		buf = e.Body
		b.SetBytes(e.Size)
	}
}

func BenchmarkSnapshotWrite(b *testing.B) {
	l := openDisk(b)
	const rows = 100_000
	b.SetBytes(rows * int64(len(message)+1))
	for b.Loop() {
		s := l.NewSnapshot(1, 10<<20)
		for range rows {
			check(b, s.Append(message))
		}
		check(b, s.Finish(message))
		check(b, l.Delete(1))
	}
}

// Hides io.Discard's ReadFrom.
type sink struct{ io.Writer }

func BenchmarkSnapshotRead(b *testing.B) {
	l := openDisk(b)
	s := l.NewSnapshot(1, 10<<20)
	for range 38_000 {
		check(b, s.Append(message))
	}
	check(b, s.Finish(message))
	again := l.OpenSnapshot(1, 1)
	size, _, err := again.Chunk(0).Size()
	check(b, err)
	b.SetBytes(size)
	for b.Loop() {
		if _, err := again.Chunk(0).WriteTo(b.Context(), sink{io.Discard}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
