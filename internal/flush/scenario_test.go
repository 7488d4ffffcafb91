package flush

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios give into testdata")

// A scenario is a text of commands, each followed by what it gives, indented.
// testdata/README says which commands there are.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("got\n%s\nrun with -rewrite and read the difference", got)
			}
		})
	}
}

// play runs the commands of a text and gives it back with their results.
func play(text string) string {
	var out strings.Builder
	var s stage
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || line[0] == '#':
			fmt.Fprintln(&out, line)
		case line[0] != ' ': // the results of before are made anew
			fmt.Fprintln(&out, line)
			result, err := s.do(strings.Fields(line))
			if err != nil {
				result = "error: " + err.Error()
			}
			fmt.Fprintf(&out, "    %s\n", result)
		}
	}
	return out.String()
}

// stage is where a scenario plays.
type stage struct {
	t   *Tracker
	now time.Duration
}

func (s *stage) do(words []string) (string, error) {
	if when, ok := strings.CutPrefix(words[0], "@"); ok {
		now, err := time.ParseDuration(when)
		if err != nil {
			return "", err
		}
		s.now = now
		words = words[1:]
	}
	if len(words) < 2 {
		return "", errors.New("want a command and its arguments")
	}
	if words[0] == "stalled" {
		return s.stalled(words[1])
	}
	// Letters are shapes, numbers are positions, wherever they stand.
	var who []subject
	var at uint64
	for _, w := range words[1:] {
		var err error
		if w[0] >= 'A' {
			var x subject
			x, err = parseSubject(w)
			who = append(who, x)
		} else {
			at, err = strconv.ParseUint(w, 10, 64)
		}
		if err != nil {
			return "", err
		}
	}
	if err := s.call(words[0], who, at); err != nil {
		return "", err
	}
	return s.state(), check(s.t)
}

func (s *stage) call(name string, who []subject, at uint64) error {
	pos := wal.LSN(at)
	switch name {
	case "new":
		s.t = New(pos)
		return nil
	case "routed":
		var to []shape.ID
		for _, x := range who {
			to = append(to, x.id)
		}
		s.t.Routed(pos, to, s.now)
		return nil
	}
	if len(who) != 1 {
		return fmt.Errorf("%s wants one shape", name)
	}
	id, epoch := who[0].id, who[0].epoch
	switch name {
	case "pin":
		s.t.Pin(id, epoch, pos, s.now)
	case "goal":
		s.t.SetGoal(id, pos)
	case "durable":
		s.t.Durable(id, epoch, pos, s.now)
	case "applied":
		s.t.Applied(id, epoch, pos, s.now)
	case "epoch":
		s.t.SetEpoch(id, shape.Epoch(at))
	case "removed":
		s.t.Removed(id)
	default:
		return fmt.Errorf("no command %q", name)
	}
	return nil
}

// subject is a shape, and the epoch of who speaks for it: A or A.2.
type subject struct {
	id    shape.ID
	epoch shape.Epoch
}

func parseSubject(word string) (subject, error) {
	x := subject{id: shape.ID(word[0])}
	if rest, ok := strings.CutPrefix(word[1:], "."); ok {
		n, err := strconv.ParseUint(rest, 10, 64)
		x.epoch = shape.Epoch(n)
		return x, err
	}
	return x, nil
}

// state is the boundary and every debt, oldest progress first.
func (s *stage) state() string {
	var b strings.Builder
	fmt.Fprintf(&b, "boundary %d", s.t.Boundary())
	if id, _, ok := s.t.Holder(); ok {
		fmt.Fprintf(&b, " held by %c", rune(id))
	}
	for i, e := range s.t.Stalled(s.now, -1, nil) { // no grace at all: everybody
		sep := ", "
		if i == 0 {
			sep = " | "
		}
		fmt.Fprintf(&b, "%s%c %d→%d", sep, rune(e.ID), e.From, e.Owes)
		if e.Pinned {
			b.WriteString(" pinned")
		}
	}
	return b.String()
}

func (s *stage) stalled(grace string) (string, error) {
	d, err := time.ParseDuration(grace)
	if err != nil {
		return "", err
	}
	var all []string
	for _, e := range s.t.Stalled(s.now, d, nil) {
		all = append(all, fmt.Sprintf("%c since %v", rune(e.ID), e.Since))
	}
	if all == nil {
		return "nobody", nil
	}
	return strings.Join(all, ", "), nil
}
