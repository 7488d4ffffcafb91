package shapelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// chunksOf cuts messages as http-protocol §10.3 says.
func chunksOf(rows []string, end string, threshold int) (chunks []string) {
	var open []string
	sum := 0
	for _, r := range rows {
		open = append(open, r)
		if sum += len(r) + 1; sum >= threshold {
			chunks = append(chunks, strings.Join(open, ","))
			open, sum = nil, 0
		}
	}
	return append(chunks, strings.Join(append(open, end), ","))
}

func readAll(ctx context.Context, s *Snapshot) (chunks []string, err error) {
	for k := 0; ; k++ {
		exists, err := s.WaitChunk(ctx, k)
		if err != nil || !exists {
			return chunks, err
		}
		var b bytes.Buffer
		n, err := s.Chunk(k).WriteTo(ctx, &b, func() {})
		if err != nil {
			return chunks, err
		}
		if n != int64(b.Len()) {
			return chunks, fmt.Errorf("chunk %d: says %d bytes, wrote %d", k, n, b.Len())
		}
		chunks = append(chunks, b.String())
	}
}

func randomRows(rng *rand.Rand, n, most int) (rows []string) {
	for i := range n {
		rows = append(rows, fmt.Sprintf("{%d:%s}", i, strings.Repeat("x", rng.IntN(most))))
	}
	return rows
}

// Readers that come at any time, while the snapshot is written, when it is
// complete and after a restart, see the same chunks, whatever the threshold and
// whether it makes files or not.
func TestSnapshotReadersAgree(t *testing.T) {
	for _, c := range []struct {
		rows, most, threshold int
		inline                bool
	}{
		{0, 1, 10, true},
		{1, 1, 10, true},
		{100, 20, 10, true},
		{100, 20, 1 << 20, true},
		{3000, 100, 10, false},
		{3000, 100, 5000, false},
		{20000, 100, 300_000, false},
		{20000, 100, 10 << 20, false},
		{5, 200_000, 10 << 20, false},
	} {
		t.Run(fmt.Sprintf("%d×%d/%d", c.rows, c.most, c.threshold), func(t *testing.T) {
			fs := vfs.NewMem()
			l := open(t, fs)
			rng := rand.New(rand.NewPCG(1, uint64(c.rows)))
			rows := randomRows(rng, c.rows, c.most)
			want := chunksOf(rows, "END", c.threshold)
			s := l.NewSnapshot(4, int64(c.threshold))

			var readers sync.WaitGroup
			read := func() {
				got, err := readAll(t.Context(), s)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("reader: %d chunks, want %d as written; %v", len(got), len(want), err)
				}
			}
			for range 4 {
				readers.Go(read)
			}
			for i, r := range rows {
				check(t, s.Append([]byte(r)))
				if i == len(rows)/2 {
					readers.Go(read)
				}
			}
			check(t, s.Finish([]byte("END")))
			readers.Go(read)
			readers.Wait()

			n, complete := s.Chunks()
			if n != len(want) || !complete {
				t.Fatalf("%d chunks (%v), want %d", n, complete, len(want))
			}
			blob, inline := s.Inline()
			if inline != c.inline {
				t.Fatalf("inline %v, want %v", inline, c.inline)
			}
			check(t, l.Close())
			l = open(t, fs)
			defer func() { check(t, l.Close()) }()
			again := l.OpenSnapshot(4, n)
			if inline {
				var err error
				again, err = DecodeInline(4, blob)
				check(t, err)
			}
			got, err := readAll(t.Context(), again)
			check(t, err)
			if !slices.Equal(got, want) {
				t.Errorf("after a restart: %d chunks, want %d as written", len(got), len(want))
			}
			for k, w := range want {
				size, closed, err := again.Chunk(k).Size()
				if err != nil || !closed || size != int64(len(w)) {
					t.Errorf("chunk %d: size %d (%v, %v), want %d", k, size, closed, err, len(w))
				}
			}
			if _, err := again.Chunk(n).WriteTo(t.Context(), &bytes.Buffer{}, nil); !errors.Is(err, ErrNoChunk) {
				t.Errorf("chunk %d: %v", n, err)
			}
		})
	}
}

func TestSnapshotEndAloneInItsChunk(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { check(t, l.Close()) }()
	s := l.NewSnapshot(1, 6)
	check(t, s.Append([]byte("12345"))) // 5+1 reaches 6
	check(t, s.Finish([]byte("E")))
	got, err := readAll(t.Context(), s)
	check(t, err)
	if !slices.Equal(got, []string{"12345", "E"}) {
		t.Fatalf("%q", got)
	}
}

// A finished snapshot in files survives a power cut, an unfinished one need not.
func TestFinishedSnapshotIsDurable(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := open(t, fs)
	rows := randomRows(rand.New(rand.NewPCG(1, 1)), 2000, 100)
	s := l.NewSnapshot(4, 30_000)
	for _, r := range rows {
		check(t, s.Append([]byte(r)))
	}
	check(t, s.Finish([]byte("END")))
	n, _ := s.Chunks()
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	check(t, l.Close())
	l = open(t, crashed)
	defer func() { check(t, l.Close()) }()
	got, err := readAll(t.Context(), l.OpenSnapshot(4, n))
	check(t, err)
	if want := chunksOf(rows, "END", 30_000); !slices.Equal(got, want) {
		t.Fatalf("%d chunks, want %d as written", len(got), len(want))
	}
}

var errBoom = errors.New("boom")

func TestAbortEndsReaders(t *testing.T) {
	for _, rows := range []int{0, 3, 3000} {
		t.Run(fmt.Sprint(rows), func(t *testing.T) {
			l := open(t, vfs.NewMem())
			defer func() { check(t, l.Close()) }()
			s := l.NewSnapshot(1, 50_000)
			for range rows {
				check(t, s.Append(make([]byte, 100)))
			}
			ended := make(chan error)
			for range 3 {
				go func() {
					_, err := readAll(context.Background(), s)
					ended <- err
				}()
			}
			go s.Abort(errBoom)
			for range 3 {
				if err := <-ended; !errors.Is(err, errBoom) {
					t.Errorf("reader ended with %v", err)
				}
			}
			if err := s.Append([]byte("x")); !errors.Is(err, errBoom) {
				t.Errorf("append: %v", err)
			}
			if err := s.Finish([]byte("x")); !errors.Is(err, errBoom) {
				t.Errorf("finish: %v", err)
			}
			if s.file != nil {
				t.Error("the chunk's file is still open")
			}
			check(t, l.Delete(1))
		})
	}
}

// A disk that fails, at any write or sync of the snapshot's files, ends writer
// and readers with the fault: nobody takes the torso for the whole.
func TestDiskFaultFailsTheSnapshot(t *testing.T) {
	for at := int64(1); ; at++ {
		var n atomic.Int64
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			writes := op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, "snap/4")
			if writes && n.Add(1) == at {
				return errBoom
			}
			return nil
		}))
		l := open(t, fs)
		s := l.NewSnapshot(4, 50_000)
		ended := make(chan error)
		go func() {
			_, err := readAll(context.Background(), s)
			ended <- err
		}()
		var err error
		for range 2000 {
			if err = s.Append(make([]byte, 100)); err != nil {
				break
			}
		}
		if err == nil {
			err = s.Finish([]byte("END"))
		}
		faulty := n.Load() >= at
		if readErr := <-ended; faulty && err == nil || !faulty && (err != nil || readErr != nil) {
			t.Fatalf("fault at write %d: writer %v, reader %v", at, err, readErr)
		}
		if faulty && (!errors.Is(err, errBoom) || !errors.Is(s.Err(), errBoom)) {
			t.Fatalf("fault at write %d: writer %v, snapshot %v", at, err, s.Err())
		}
		check(t, l.Close())
		if !faulty {
			if at < 10 {
				t.Fatalf("only %d writes seen", at)
			}
			return
		}
	}
}

func TestReaderLeavesWithItsContext(t *testing.T) {
	l := open(t, vfs.NewMem())
	defer func() { check(t, l.Close()) }()
	s := l.NewSnapshot(1, 1000)
	check(t, s.Append([]byte("row")))
	ctx, cancel := context.WithCancel(t.Context())
	flushed := make(chan struct{})
	ended := make(chan error)
	var b bytes.Buffer
	go func() {
		_, err := s.Chunk(0).WriteTo(ctx, &b, sync.OnceFunc(func() { close(flushed) }))
		ended <- err
	}()
	<-flushed
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if b.String() != "row" {
		t.Errorf("%q arrived before the end", b.String())
	}
	if err := s.Chunk(1).WaitStarted(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestDeleteRemovesFiles(t *testing.T) {
	fs := vfs.NewMem()
	l := open(t, fs)
	defer func() { check(t, l.Close()) }()
	s := l.NewSnapshot(1, 1000)
	check(t, s.Append(make([]byte, 100_000)))
	check(t, s.Finish([]byte("END")))
	check(t, l.Delete(1))
	names, err := fs.List(fs.PathJoin("data", "snap"))
	check(t, err)
	if len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if _, err := l.OpenSnapshot(1, 2).Chunk(0).WriteTo(t.Context(), &bytes.Buffer{}, nil); err == nil {
		t.Error("a deleted snapshot can be read")
	}
}

func FuzzDecodeInline(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 2, 'a', 'b'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeInline(1, b)
		if err != nil {
			return
		}
		if _, err := readAll(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
}
