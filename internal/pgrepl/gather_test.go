package pgrepl

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

var be = binary.BigEndian

// The server's messages, made by hand.

func copyData(body []byte) []byte {
	b := be.AppendUint32([]byte{'d'}, uint32(4+len(body)))
	return append(b, body...)
}

func xlog(msg string) []byte {
	b := append([]byte{'w'}, make([]byte, 24)...)
	return copyData(append(b, msg...))
}

func alive(end wal.LSN, reply byte) []byte {
	b := be.AppendUint64([]byte{'k'}, uint64(end))
	b = be.AppendUint64(b, 0)
	return copyData(append(b, reply))
}

func commitMsg(end wal.LSN) string {
	b := be.AppendUint64([]byte{'C', 0}, uint64(end-8))
	b = be.AppendUint64(b, uint64(end))
	return string(be.AppendUint64(b, 0))
}

func relationMsg(oid uint32, text string) string {
	return string(be.AppendUint32([]byte{'R'}, oid)) + text
}

// tell prints what a frame says, its messages by their first letters.
func tell(f wal.Frame) string {
	letters := func(data []byte) string {
		var out strings.Builder
		for m := range wal.Messages(data) {
			out.WriteByte(m[0])
		}
		return out.String()
	}
	s := fmt.Sprintf("%s at %s", letters(f.Data), f.Position)
	if f.Open {
		s += " open"
	}
	if f.Preamble != nil {
		s += " preamble " + letters(f.Preamble)
	}
	return s
}

func TestFrames(t *testing.T) {
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	steps := []struct {
		what    string
		in      []byte
		want    string // the frame
		vouched wal.LSN
	}{
		{"a transaction", join(xlog("B"), xlog(relationMsg(1, "a")), xlog("I"), xlog(commitMsg(0x100))), "BRIC at 0/100 preamble R", 0},
		{"two, and a begin", join(xlog("B"), xlog("I"), xlog(commitMsg(0x200)), xlog("B"), xlog(commitMsg(0x300)), xlog("B")), "BICBCB at 0/300 open", 0},
		{"inside", xlog("I"), "I at 0/0 open", 0},
		{"a keepalive inside vouches for nothing", join(alive(0x900, 0), xlog("I")), "I at 0/0 open", 0},
		{"a keepalive in front of the commit neither", join(alive(0x900, 1), xlog(commitMsg(0x400))), "C at 0/400", 0},
		{"one after it does", alive(0x480, 0), " at 0/0", 0x480},
		{"another relation, and one again", join(xlog("B"), xlog(relationMsg(2, "b")), xlog(relationMsg(1, "a")), xlog(commitMsg(0x500))), "BRRC at 0/500 preamble RR", 0x480},
		{"changed", join(xlog("B"), xlog(relationMsg(1, "changed")), xlog(commitMsg(0x600))), "BRC at 0/600 preamble RRR", 0x480},
		{"once more: the old ones go", join(xlog("B"), xlog(relationMsg(1, "c")), xlog(commitMsg(0x700))), "BRC at 0/700 preamble RR", 0x480},
	}
	var g gather
	for _, s := range steps {
		f, n, err := g.frame(s.in)
		if err != nil || n != len(s.in) {
			t.Fatalf("%s: took %d of %d bytes, %v", s.what, n, len(s.in), err)
		}
		if got := tell(f); got != s.want || g.vouched != s.vouched {
			t.Errorf("%s: got %q, vouched %s, want %q, %s", s.what, got, g.vouched, s.want, s.vouched)
		}
	}
	if !g.reply || g.position != 0x700 || g.serverEnd != 0x900 {
		t.Errorf("at the end: %+v", g)
	}
	if _, ok := g.progress(); ok {
		t.Error("progress to a position that is old")
	}
	if _, _, err := g.frame(alive(0x900, 0)); err != nil {
		t.Fatal(err)
	}
	if f, ok := g.progress(); !ok || f.Kind != wal.FrameProgress || f.Position != 0x900 {
		t.Errorf("progress %+v, %v", f, ok)
	}
	if _, ok := g.progress(); ok {
		t.Error("the same progress twice")
	}
	if _, _, err := g.frame(slices.Concat(alive(0xA00, 0), xlog("B"))); err != nil {
		t.Fatal(err)
	}
	if _, ok := g.progress(); ok {
		t.Error("progress inside a transaction")
	}
}

func TestFrameLimits(t *testing.T) {
	var g gather
	half := "I" + strings.Repeat("x", bufferBytes/2)
	in := slices.Concat(xlog(half), xlog(half), xlog("I"))
	f, n, err := g.frame(in)
	if err != nil || n != len(xlog(half)) || len(f.Data) != cap(f.Data) {
		t.Errorf("took %d bytes, a frame of %d (capacity %d), %v", n, len(f.Data), cap(f.Data), err)
	}
	huge := "I" + strings.Repeat("x", 3*bufferBytes)
	if f, _, err := g.frame(slices.Concat(xlog(huge), xlog("I"))); err != nil || len(f.Data) != 4+len(huge) {
		t.Errorf("a frame of %d bytes, %v", len(f.Data), err)
	}
	// It stops in front of another kind of message, and of half a one.
	for _, tail := range [][]byte{{'E', 0, 0, 0, 4}, {'d', 0}, xlog("I")[:20]} {
		if _, n, err := g.frame(append(xlog("I"), tail...)); err != nil || n != len(xlog("I")) {
			t.Errorf("before %q: took %d bytes, %v", tail, n, err)
		}
	}
}

func TestFrameErrors(t *testing.T) {
	for what, in := range map[string][]byte{
		"no body":            copyData(nil),
		"unknown":            copyData([]byte("z")),
		"short xlog":         copyData([]byte("w123")),
		"xlog without bytes": xlog(""),
		"short keepalive":    copyData([]byte("k123")),
		"long keepalive":     copyData(make([]byte, 19)),
		"short commit":       xlog("C123"),
		"short relation":     xlog("R12"),
		"tiny length":        {'d', 0, 0, 0, 3},
		"huge length":        {'d', 255, 0, 0, 0},
	} {
		var g gather
		if f, n, err := g.frame(in); err == nil {
			t.Errorf("%s: took %d bytes: %s", what, n, tell(f))
		}
	}
}

// However the bytes are cut, the messages are the same; and nobody's frame is
// changed later.
func TestFramesAnyCut(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 1))
	var in []byte
	var want []string
	end := wal.LSN(100)
	add := func(msg string) {
		in = append(in, xlog(msg)...)
		want = append(want, msg)
	}
	for range 300 {
		add("B")
		for range rnd.IntN(5) {
			if rnd.IntN(3) == 0 {
				add(relationMsg(rnd.Uint32N(20), strings.Repeat("r", rnd.IntN(30))))
			}
			add("I" + strings.Repeat("v", rnd.IntN(100)))
			if rnd.IntN(4) == 0 {
				in = append(in, alive(end, 0)...)
			}
		}
		end += 50
		add(commitMsg(end))
	}
	var g gather
	var frames []wal.Frame
	var sums []string // what the frames said when they were new
	for from, to := 0, 0; from < len(in); {
		to = min(len(in), to+rnd.IntN(400))
		f, n, err := g.frame(in[from:to])
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		from += n
		if f.Kind != 0 {
			frames = append(frames, f)
			sums = append(sums, string(f.Data)+string(f.Preamble))
		}
	}
	var got []string
	for i, f := range frames {
		if string(f.Data)+string(f.Preamble) != sums[i] {
			t.Fatalf("seed %d: frame %d was changed later", seed, i)
		}
		for m := range wal.Messages(f.Data) {
			got = append(got, string(m))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("seed %d: got %d messages, want %d, or others", seed, len(got), len(want))
	}
	checkPreamble(t, frames, want)
}

// checkPreamble: the last message of each table in a preamble is its newest.
func checkPreamble(t *testing.T, frames []wal.Frame, msgs []string) {
	t.Helper()
	newest := map[uint32]string{}
	i := 0
	for n, f := range frames {
		for range wal.Messages(f.Data) {
			if msgs[i][0] == 'R' {
				newest[be.Uint32([]byte(msgs[i][1:]))] = msgs[i]
			}
			i++
		}
		if f.Preamble == nil {
			continue
		}
		got := map[uint32]string{}
		size := 0
		for m := range wal.Messages(f.Preamble) {
			got[be.Uint32(m[1:])] = string(m)
			size += len(m)
		}
		live := 0
		for oid, m := range newest {
			live += len(m)
			if got[oid] != m {
				t.Fatalf("frame %d: table %d is %q, want %q", n, oid, got[oid], m)
			}
		}
		if len(got) != len(newest) || size > 3*live {
			t.Fatalf("frame %d: %d tables in %d bytes, want %d in about %d", n, len(got), size, len(newest), live)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(slices.Concat(xlog("B"), xlog(relationMsg(1, "x")), alive(7, 1), xlog(commitMsg(9))))
	f.Add(copyData(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		var g gather
		for len(in) > 0 {
			fr, n, err := g.frame(in)
			if err != nil || n == 0 {
				return
			}
			if fr.Kind != 0 && len(fr.Data) != cap(fr.Data) {
				t.Fatalf("%d bytes in a frame for %d", len(fr.Data), cap(fr.Data))
			}
			in = in[n:]
		}
	})
}
