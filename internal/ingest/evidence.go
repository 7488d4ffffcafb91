package ingest

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// stallOf gathers what a worker's pulse tells, without its stack.
func (in *Ingest) stallOf(shard int, p *pulse, at wal.LSN, cause string) *Stall {
	s := &Stall{
		Shard: shard, Shape: shape.ID(p.current.Load()), Place: wal.LSN(p.place.Load()), At: at,
		Queued: int(p.posted.Load() - p.taken.Load()), Cause: cause, When: time.Now(), goroutine: p.goroutine.Load(),
	}
	if wrote := p.wrote.Load(); wrote != 0 {
		s.Wrote = in.now() - time.Duration(wrote)
	}
	return s
}

// describe is the evidence in one line.
func (s *Stall) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at the transaction that committed at %s", s.Cause, s.Place)
	if s.For > 0 {
		fmt.Fprintf(&b, ", for %s", s.For.Round(time.Millisecond))
	}
	if w := waitsOn(s.Stack); w != "" {
		fmt.Fprintf(&b, ", goroutine state %q", w)
	}
	fmt.Fprintf(&b, ", %d messages queued", s.Queued)
	if s.Wrote > 0 {
		fmt.Fprintf(&b, ", last write %s before", s.Wrote.Round(time.Millisecond))
	}
	if s.Strikes > 0 {
		fmt.Fprintf(&b, ", strike %d of %d", s.Strikes, patience)
	}
	return b.String()
}

// waitsOn reads from a stack's first line what the goroutine waits for.
func waitsOn(stack string) string {
	head, _, _ := strings.Cut(stack, "\n")
	_, state, ok := strings.Cut(head, "[")
	if !ok {
		return ""
	}
	state, _, _ = strings.Cut(state, "]")
	return state
}

// collecting says whether a stack is of a goroutine that works or waits for the garbage
// collector, as who allocates has to: by its state, or because it gave its processor up
// in the runtime, which nothing of ours does by itself.
func collecting(stack string) bool {
	state, calls := waitsOn(stack), ""
	if _, rest, ok := strings.Cut(stack, "\n"); ok {
		calls, _, _ = strings.Cut(rest, "\n")
	}
	return strings.HasPrefix(state, "GC ") || strings.HasPrefix(calls, "runtime.Gosched(")
}

// goroutineID reads the number by which stack traces name this goroutine. The
// runtime tells it nowhere else; it is used for evidence only.
func goroutineID() int64 {
	var buf [64]byte
	f := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// stackBytes is how much of all stacks is looked through for one: the world
// stands still meanwhile.
const stackBytes = 16 << 20

// stackOf finds one goroutine's stack among all, "" if there is none, or too many.
func stackOf(id int64) string {
	head := []byte("goroutine " + strconv.FormatInt(id, 10) + " ")
	for size := 1 << 20; size <= stackBytes; size *= 4 {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		for s := range bytes.SplitSeq(buf[:n], []byte("\n\n")) {
			if bytes.HasPrefix(s, head) {
				return string(s)
			}
		}
		if n < size {
			break
		}
	}
	return ""
}
