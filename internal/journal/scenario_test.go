package journal

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

var rewrite = flag.Bool("rewrite", false, "write the scenarios' outputs into testdata")

// TestScenarios plays testdata/*.txt: a line is a command, lines that begin
// with "  " are what it printed. Each offered frame is one group commit.
//
//	open [segment=N]            opens the journal, after closing it
//	reset | progress POS        offers a frame
//	data TEXT [POS] [open] [rel=TEXT]
//	reader POS                  prints what a new reader gets
//	from-file POS               the same without the memory window
//	trim POS
//	files                       prints the segments
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *rewrite {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

func play(t *testing.T, text string) string {
	s := &scene{t: t, opts: Options{FS: vfs.NewMem(), SegmentBytes: 100}}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			for l := range strings.Lines(s.run(words[0], words[1:])) {
				out.WriteString("  " + l)
			}
		}
	}
	mustClose(t, s.j)
	return out.String()
}

type scene struct {
	t    *testing.T
	opts Options
	j    *Journal
}

func (s *scene) run(cmd string, args []string) string {
	switch cmd {
	case "open":
		if s.j != nil {
			mustClose(s.t, s.j)
		}
		for _, a := range args {
			s.opts.SegmentBytes = int64(s.number(strings.TrimPrefix(a, "segment=")))
		}
		s.j = mustOpen(s.t, s.opts)
		return fmt.Sprintf("synced %d\n", s.j.Synced())
	case "reset":
		s.offer(wal.Frame{Kind: wal.FrameReset})
	case "progress":
		s.offer(wal.Frame{Kind: wal.FrameProgress, Position: s.number(args[0])})
	case "data":
		s.offer(s.data(args))
	case "reader":
		return s.read(s.number(args[0]))
	case "from-file":
		s.j.mu.Lock()
		kept := s.j.window
		s.j.window = newWindow(1)
		s.j.mu.Unlock()
		out := s.read(s.number(args[0]))
		s.j.mu.Lock()
		s.j.window = kept
		s.j.mu.Unlock()
		return out
	case "trim":
		if err := s.j.Trim(s.number(args[0])); err != nil {
			return err.Error() + "\n"
		}
		settle(s.t, s.j)
	case "files":
		return s.files()
	default:
		s.t.Fatalf("unknown command %q", cmd)
	}
	return ""
}

func (s *scene) number(a string) wal.LSN {
	n, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return wal.LSN(n)
}

func (s *scene) offer(f wal.Frame) {
	offer(s.t, s.j, f)
	settle(s.t, s.j)
}

func (s *scene) data(args []string) wal.Frame {
	f := data(args[0], 0)
	for _, a := range args[1:] {
		if rel, ok := strings.CutPrefix(a, "rel="); ok {
			f.Preamble = wal.AppendMessage(nil, []byte(rel))
		} else if a == "open" {
			f.Open = true
		} else {
			f.Position = s.number(a)
		}
	}
	return f
}

func (s *scene) read(from wal.LSN) string {
	r, err := s.j.Reader(from)
	if err != nil {
		return err.Error() + "\n"
	}
	defer mustClose(s.t, r)
	var words []string
	for _, f := range drain(s.t, r) {
		switch {
		case f.Preamble != nil:
			words = append(words, "("+string(f.Preamble[4:])+")")
		case f.Kind == wal.FrameReset:
			words = append(words, "reset")
		case f.Kind == wal.FrameProgress:
			words = append(words, "progress")
		default:
			words = append(words, string(f.Data[4:]))
		}
	}
	if len(words) == 0 {
		return "nothing\n"
	}
	return strings.Join(words, " ") + "\n"
}

func (s *scene) files() string {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	var out strings.Builder
	for _, seg := range s.j.segments {
		start := "a reader may begin"
		if !seg.start {
			start = "no reader may begin"
		}
		fmt.Fprintf(&out, "%s: from %d, %d bytes, %s\n", filepath.Base(seg.path), seg.pos, seg.end, start)
	}
	return out.String()
}
