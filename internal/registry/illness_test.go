package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

var later = time.UnixMicro(1_900_000_000_000_000)

// ill makes a live shape and quarantines it.
func ill(t *testing.T, h *house, sql string) *Shape {
	t.Helper()
	s := create(t, h, where(t, sql), 5)
	live(t, h, s, 0)
	check(t, h.Quarantine(s, shape.ReasonStalled, "it hangs", false, later))
	return s
}

// However far a shape's way to its successor had come when the power went: one
// shape owns the definition, and what the way had cost is remembered.
func TestCrashOnTheWayToASuccessor(t *testing.T) {
	steps := []struct {
		what     string
		do       func(h *house, old *Shape) *Shape
		promoted bool
		failures int // of the ill one
	}{
		{"quarantined", func(*house, *Shape) *Shape { return nil }, false, 0},
		{"begun", func(h *house, old *Shape) *Shape {
			s, err := h.Successor(old, 9)
			check(t, err)
			return s
		}, false, 1},
		{"failed", func(h *house, old *Shape) *Shape {
			s, err := h.Successor(old, 9)
			check(t, err)
			check(t, h.Remove(s, shape.ReasonSnapshot))
			check(t, h.Quarantine(old, shape.ReasonStalled, "again", false, later))
			return s
		}, false, 1},
		{"live", func(h *house, old *Shape) *Shape {
			s, err := h.Successor(old, 9)
			check(t, err)
			live(t, h, s, 0)
			return s
		}, true, 0},
		{"promoted", func(h *house, old *Shape) *Shape {
			s, err := h.Successor(old, 9)
			check(t, err)
			live(t, h, s, 0)
			check(t, h.Promote(s))
			return s
		}, true, 0},
	}
	for _, step := range steps {
		t.Run(step.what, func(t *testing.T) {
			h := open(t, vfs.NewCrashableMem())
			old := ill(t, h, "crew > 3")
			heir := step.do(h, old)
			for range 2 { // what the first start mends stays mended
				h = h.crash(t)
				owner := h.Find(old.Key())
				if step.promoted {
					tomb, ok, err := h.Tombstone(old.Handle())
					if err != nil || !ok || tomb.Reason != shape.ReasonStalled || h.ByHandle(old.Handle()) != nil {
						t.Errorf("the old one: %+v %v %v", tomb, ok, err)
					}
					if owner == nil || owner.Handle() != heir.Handle() || owner.State() != Live || owner.Failures() != 1 {
						t.Fatalf("owner %+v", owner)
					}
					if c := h.Counts(); c != (Counts{Live: 1, Tombstones: 1}) {
						t.Errorf("%+v", c)
					}
					continue
				}
				if owner == nil || owner.Handle() != old.Handle() || owner.State() != Quarantined {
					t.Fatalf("owner %+v", owner)
				}
				ill, ok := owner.Illness()
				if !ok || ill.Reason != shape.ReasonStalled || ill.Failures != step.failures || !ill.Until.Equal(later) {
					t.Errorf("illness %+v", ill)
				}
				if c := h.Counts(); c.Quarantined != 1 || c.Live != 0 || c.Snapshotting != 0 {
					t.Errorf("%+v", c)
				}
			}
			h.close(t)
		})
	}
}

func TestSuccessorTakesThePlace(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	old := ill(t, h, "crew > 3")
	heir, err := h.Successor(old, 9)
	check(t, err)
	if _, err := h.Successor(old, 9); err == nil {
		t.Error("two successors at once")
	}
	if h.Find(old.Key()) != old || h.ByHandle(heir.Handle()) != heir || heir.Failures() != 1 {
		t.Errorf("found %v", h.Find(old.Key()))
	}
	if err := h.Promote(heir); err == nil || h.Find(old.Key()) != old {
		t.Errorf("promoted before it was live: %v", err)
	}
	changed := old.Changed()
	live(t, h, heir, 0)
	check(t, h.Promote(heir))
	<-changed
	if reason, gone := old.Removed(); !gone || reason != shape.ReasonStalled || h.Find(old.Key()) != heir {
		t.Errorf("the old one: %q %v; found %v", reason, gone, h.Find(old.Key()))
	}
	if len(h.Ill()) != 0 {
		t.Errorf("ill: %v", h.Ill())
	}
	check(t, h.Quarantine(heir, shape.ReasonBudget, "", true, later))
	if ill, _ := heir.Illness(); ill.Failures != 1 || heir.State() != Parked {
		t.Errorf("%s, %+v", heir.State(), ill)
	}
	check(t, h.Forgive(heir))
	if heir.Failures() != 0 {
		t.Error("not forgiven")
	}
}

// An ill shape may be removed for another reason; its successor is found at once.
func TestOldOneGoesFirst(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	old := ill(t, h, "crew > 3")
	heir, err := h.Successor(old, 9)
	check(t, err)
	check(t, h.Remove(old, shape.ReasonTruncate))
	if h.Find(old.Key()) != heir {
		t.Error("the successor is not found")
	}
	live(t, h, heir, 0)
	check(t, h.Promote(heir))
	if h.Find(old.Key()) != heir {
		t.Error("the successor is not found any more")
	}
	if err := h.Quarantine(old, shape.ReasonStalled, "", false, later); !errors.Is(err, ErrRemoved) {
		t.Errorf("a removed shape: %v", err)
	}
	if _, err := h.Successor(old, 1); !errors.Is(err, ErrRemoved) {
		t.Errorf("a successor of a removed shape: %v", err)
	}
}

func TestSnapshottingIsNotQuarantined(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	if err := h.Quarantine(s, shape.ReasonStalled, "", false, later); err == nil {
		t.Error("first rows that are not complete cannot be served")
	}
}

func TestStrikesAreKept(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	s := create(t, h, where(t, ""), 5)
	live(t, h, s, 0)
	check(t, h.SetStrike(s.ID(), 77, 2))
	check(t, h.SetStrike(999, 77, 2)) // of nobody
	h = h.crash(t)
	defer func() { h.close(t) }()
	all, err := h.Strikes()
	if err != nil || len(all) != 1 || all[s.ID()] != (Strike{77, 2}) {
		t.Errorf("%v %v", all, err)
	}
	check(t, h.Remove(h.ByID(s.ID()), shape.ReasonDeleted))
	if all, err := h.Strikes(); err != nil || len(all) != 0 {
		t.Errorf("after its removal: %v %v", all, err)
	}
}

func TestLife(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	other := create(t, h, where(t, ""), 5)
	check(t, h.Note(other.ID(), Event{What: "not ours"}))
	s := create(t, h, where(t, "crew > 3"), 5)
	live(t, h, s, 0)
	at := time.Unix(5, 0).UTC()
	for i := range keepEvents + 7 {
		check(t, h.Note(s.ID(), Event{At: at, What: "suspect", Detail: fmt.Sprint(i), Evidence: strings.Repeat("x", 2*evidenceBytes)}))
	}
	h = h.reopen(t)
	l, ok, err := h.Life(s.Handle())
	if err != nil || !ok || l.State != "live" || l.Table != "boats" || !strings.Contains(l.Where, "crew") || len(l.Events) != keepEvents+1 {
		t.Fatalf("%d events, %v %v: %+v", len(l.Events), ok, err, l)
	}
	if e := l.Events[0]; e.What != "created" || !e.At.Equal(s.Created()) {
		t.Errorf("first %+v", e)
	}
	if e := l.Events[1]; e.What != "suspect" || e.Detail != "7" || !e.At.Equal(at) || len(e.Evidence) > evidenceBytes+8 {
		t.Errorf("second %+v", e)
	}
	check(t, h.Quarantine(h.ByID(s.ID()), shape.ReasonStalled, "", false, later))
	if l, _, err := h.Life(s.Handle()); err != nil || l.State != "quarantined" || l.Reason != shape.ReasonStalled {
		t.Errorf("%+v %v", l, err)
	}
	check(t, h.Remove(h.ByID(s.ID()), shape.ReasonTruncate))
	l, ok, err = h.Life(s.Handle())
	if err != nil || !ok || l.State != "removed" || l.Reason != shape.ReasonTruncate || len(l.Events) != keepEvents+2 || l.Events[keepEvents+1].What != "removed" {
		t.Errorf("after its removal: %d events %v %v %+v", len(l.Events), ok, err, l)
	}
	for _, h2 := range []shape.Handle{"", "zz", "zz-1-2"} {
		if _, ok, err := h.Life(h2); ok || err != nil {
			t.Errorf("%q: %v %v", h2, ok, err)
		}
	}
}
