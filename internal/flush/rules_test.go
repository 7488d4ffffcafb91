package flush

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// The rules of docs/ARCHITECTURE.md on the flush tracker, one test each.

const (
	a shape.ID = iota + 1
	b
	c
)

func ids(all ...shape.ID) []shape.ID { return all }

func wantBoundary(t *testing.T, tr *Tracker, want wal.LSN) {
	t.Helper()
	if got := tr.Boundary(); got != want {
		t.Fatalf("boundary %d, want %d", got, want)
	}
	if err := check(tr); err != nil {
		t.Fatal(err)
	}
}

// wantStalled looks who has made no progress since the given time or earlier.
func wantStalled(t *testing.T, tr *Tracker, since time.Duration, want ...shape.ID) {
	t.Helper()
	var got []shape.ID
	for _, s := range tr.Stalled(since+1, 0, nil) {
		got = append(got, s.ID)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("no progress since %d: %v, want %v", since, got, want)
	}
}

func TestCompletionIsAtLeastNotEqual(t *testing.T) {
	for _, upTo := range []wal.LSN{20, 21, 1000} {
		tr := New(10)
		tr.Routed(20, ids(a), 0)
		tr.Durable(a, 0, upTo, 1)
		if tr.Len() != 0 {
			t.Errorf("owed 20, durable %d: still owes", upTo)
		}
		wantBoundary(t, tr, 20)
	}
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Durable(a, 0, 19, 1)
	if tr.Len() != 1 {
		t.Error("owed 20, durable 19: owes nothing")
	}
	wantBoundary(t, tr, 19)
}

func TestRepeatedOrLowerChangesNothing(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Durable(a, 0, 15, 1)
	for _, upTo := range []wal.LSN{15, 14, 10, 0} {
		tr.Durable(a, 0, upTo, 2)
		tr.Applied(a, 0, upTo, 2)
		wantBoundary(t, tr, 15)
		wantStalled(t, tr, 1, a)
	}
}

func TestUnknownShapesAreIgnored(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Durable(b, 0, 20, 1)
	tr.Applied(b, 0, 20, 1)
	tr.SetGoal(b, 30)
	tr.SetEpoch(b, 3)
	tr.Removed(b)
	if tr.Len() != 1 {
		t.Errorf("%d entries, want 1", tr.Len())
	}
	wantBoundary(t, tr, 10)
}

func TestOldEpochIsDropped(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Durable(a, 0, 12, 1) // 0: no epoch known, every word counts
	tr.SetEpoch(a, 2)
	tr.Durable(a, 1, 20, 2)
	tr.Applied(a, 1, 20, 2)
	wantBoundary(t, tr, 12)
	wantStalled(t, tr, 1, a)
	tr.SetEpoch(a, 1) // does not go back
	tr.Durable(a, 1, 20, 2)
	wantBoundary(t, tr, 12)
	tr.Applied(a, 3, 13, 3) // hearing of a higher one is enough
	tr.Durable(a, 2, 20, 4)
	wantBoundary(t, tr, 12)
	tr.Durable(a, 3, 20, 5)
	wantBoundary(t, tr, 20)
}

func TestBoundaryNeverGoesBack(t *testing.T) {
	tr := New(10)
	tr.Routed(20, nil, 0)
	wantBoundary(t, tr, 20)
	tr.Routed(15, ids(a), 0) // a repeat of what everybody has
	if tr.Len() != 0 {
		t.Error("somebody owes what lies below the boundary")
	}
	tr.Pin(b, 1, 5, 0) // a broken promise
	wantBoundary(t, tr, 20)
	tr.Routed(30, ids(a), 0)
	tr.Durable(a, 0, 30, 0)
	wantBoundary(t, tr, 20)
	tr.Removed(b)
	wantBoundary(t, tr, 30)
}

func TestARepeatIsOwedFromTheBoundary(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Routed(30, ids(b), 0)
	tr.Durable(b, 0, 30, 1)
	tr.Routed(30, ids(b), 2) // again, and b must say it again
	id, from, ok := tr.Holder()
	if tr.Len() != 2 || !ok || from != 10 {
		t.Errorf("%d owe, %d holds at %d (%v); want two, both at 10", tr.Len(), id, from, ok)
	}
	tr.Durable(a, 0, 20, 3)
	wantBoundary(t, tr, 10)
	tr.Durable(b, 0, 30, 3)
	wantBoundary(t, tr, 30)
}

func TestPinnedBeforeCompleted(t *testing.T) {
	tr := New(10)
	tr.Pin(a, 1, 10, 0)
	tr.Routed(20, nil, 0)
	tr.Routed(30, ids(a), 0) // already in the index while it is being created
	wantBoundary(t, tr, 10)
	tr.Durable(a, 1, 30, 1)
	if tr.Len() != 1 {
		t.Fatal("a pinned shape completed before it had a goal")
	}
	tr.Routed(40, nil, 1)
	wantBoundary(t, tr, 30)
	tr.SetGoal(a, 40)
	wantBoundary(t, tr, 30)
	tr.Durable(a, 1, 40, 2)
	wantBoundary(t, tr, 40)
}

func TestAGoalThatWasReached(t *testing.T) {
	tr := New(10)
	tr.Pin(a, 1, 10, 0)
	tr.Durable(a, 1, 20, 1)
	tr.SetGoal(a, 15)
	if tr.Len() != 0 {
		t.Error("durable 20, goal 15: still owes")
	}
}

// That a shape's first rows are durable is the shape's word, not a conclusion
// from the goal.
func TestAPinNeedsAWordEvenIfNothingHappened(t *testing.T) {
	tr := New(10)
	tr.Pin(a, 1, 10, 0)
	tr.SetGoal(a, 10)
	tr.Routed(20, nil, 0)
	wantBoundary(t, tr, 10)
	tr.Durable(a, 1, 9, 1) // from before it was created
	wantStalled(t, tr, 0, a)
	tr.Durable(a, 1, 10, 1)
	wantBoundary(t, tr, 20)
}

func TestPinOfAShapeThatOwes(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a, b), 0)
	tr.Durable(a, 0, 18, 1)
	tr.Pin(a, 2, 12, 2)
	wantStalled(t, tr, 1, b, a) // the pin is no progress
	tr.Durable(b, 0, 20, 3)
	wantBoundary(t, tr, 12)
	tr.Durable(a, 1, 20, 3) // the old log's
	tr.SetGoal(a, 20)
	wantBoundary(t, tr, 12)
	tr.Applied(a, 2, 13, 4) // below what the old log had: still progress
	wantStalled(t, tr, 3)
	tr.Durable(a, 2, 20, 5)
	wantBoundary(t, tr, 20)
}

func TestAPinAheadHoldsNothingYet(t *testing.T) {
	tr := New(10)
	tr.Pin(a, 1, 30, 0)
	tr.Routed(20, nil, 0)
	wantBoundary(t, tr, 20)
	tr.Routed(30, nil, 0)
	if id, from, ok := tr.Holder(); ok {
		t.Errorf("shape %d holds at %d, though everything routed may go", id, from)
	}
	tr.Routed(40, nil, 0)
	wantBoundary(t, tr, 30)
	if id, from, ok := tr.Holder(); id != a || from != 30 || !ok {
		t.Errorf("holder %d at %d (%v), want %d at 30", id, from, ok, a)
	}
}

func TestTrafficIsNotProgress(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	for i := range 100 {
		tr.Routed(wal.LSN(21+i), ids(a), time.Duration(i))
	}
	got := tr.Stalled(60, 59, nil)
	if want := []Stall{{ID: a, Owes: 120, From: 10}}; !slices.Equal(got, want) {
		t.Errorf("stalled %v, want %v", got, want)
	}
	wantBoundary(t, tr, 10)
}

func TestAppliedIsProgressOnly(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Applied(a, 0, 20, 5)
	wantStalled(t, tr, 4)
	if tr.Len() != 1 {
		t.Error("applied, and owes nothing though nothing is durable")
	}
	wantBoundary(t, tr, 10)
	tr.Durable(a, 0, 15, 6) // lower than applied, higher than durable
	wantStalled(t, tr, 5)
	tr.Applied(a, 0, 18, 7)
	wantStalled(t, tr, 6, a)
}

func TestRemovalUnpins(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 0)
	tr.Pin(b, 1, 20, 0)
	tr.Routed(30, ids(c), 0)
	tr.Removed(a)
	wantBoundary(t, tr, 20)
	tr.Removed(b)
	wantBoundary(t, tr, 20) // c's: just before its transaction
	tr.Durable(a, 0, 30, 1) // a late word of one that is gone
	if tr.Len() != 1 {
		t.Errorf("%d entries, want 1", tr.Len())
	}
	tr.Removed(c)
	wantBoundary(t, tr, 30)
}

func TestBoundaryIsAnExactTransactionEnd(t *testing.T) {
	ends := []wal.LSN{117, 230, 231, 999, 1500}
	tr := New(100)
	given := []wal.LSN{100}
	for i, end := range ends {
		tr.Routed(end, ids(shape.ID(i)), 0)
		given = append(given, end)
	}
	for i, end := range ends {
		wantBoundary(t, tr, given[i])
		tr.Durable(shape.ID(i), 0, end, 1)
	}
	wantBoundary(t, tr, 1500)
}

func TestIdleMeansLastRouted(t *testing.T) {
	tr := New(10)
	wantBoundary(t, tr, 10)
	for end := wal.LSN(20); end < 100; end += 7 {
		tr.Routed(end, nil, 0)
		wantBoundary(t, tr, end)
	}
	if id, _, ok := tr.Holder(); ok || tr.Len() != 0 {
		t.Errorf("nothing is owed, and %d holds", id)
	}
}

// The boundary follows under a load that never pauses, though there is always
// somebody who owes (a new debt begins just before its transaction, not at the
// boundary of the moment).
func TestBoundaryFollowsUnderLoad(t *testing.T) {
	tr := New(0)
	for end := wal.LSN(1); end < 1000; end++ {
		tr.Routed(end, ids(shape.ID(end%3)), 0)
		if end >= 3 {
			tr.Durable(shape.ID((end-2)%3), 0, end-2, 0)
			wantBoundary(t, tr, end-2)
		}
	}
}

func TestStalledIsStrictAndInOrder(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(c), 1)
	tr.Routed(30, ids(a, b), 2)
	tr.Durable(c, 7, 15, 3)
	if got := tr.Stalled(12, 10, nil); len(got) != 0 {
		t.Errorf("exactly the grace: %v stalled", got)
	}
	want := []Stall{
		{ID: a, Owes: 30, From: 20, Since: 2},
		{ID: b, Owes: 30, From: 20, Since: 2},
		{ID: c, Epoch: 7, Owes: 20, From: 15, Since: 3},
	}
	if got := tr.Stalled(13, 10, nil); !slices.Equal(got, want[:2]) {
		t.Errorf("stalled %v, want %v", got, want[:2])
	}
	kept := []Stall{{ID: 99}}
	if got := tr.Stalled(14, 10, kept); !slices.Equal(got, append(kept, want...)) {
		t.Errorf("stalled %v, want them appended: %v", got, want)
	}
}

// A clock that goes back breaks a promise, but not the order.
func TestAClockThatGoesBack(t *testing.T) {
	tr := New(10)
	tr.Routed(20, ids(a), 100)
	tr.Routed(30, ids(b), 50)
	wantStalled(t, tr, 99)
	wantStalled(t, tr, 100, a, b)
	wantBoundary(t, tr, 10)
}

// The list is read up to the first entry that has not stalled.
func TestStalledCostsTheStalledOnly(t *testing.T) {
	const many, stuck = 100_000, 7
	tr := New(0)
	tr.Routed(1, sequence(many), 0)
	for id := shape.ID(stuck); id < many; id++ {
		tr.Applied(id, 0, 1, 10)
	}
	// What Stalled should not look at is made unreadable.
	n := tr.clock.oldest
	for range stuck + 1 {
		n = tr.table.at(n).newer
	}
	for ; n != none; n = tr.table.at(n).newer {
		tr.table.at(n).since = -1 << 40
	}
	if got := tr.Stalled(10, 9, nil); len(got) != stuck {
		t.Errorf("%d stalled, want %d", len(got), stuck)
	}
}

func sequence(n int) []shape.ID {
	all := make([]shape.ID, n)
	for i := range all {
		all[i] = shape.ID(i)
	}
	return all
}

func TestMemoryIsGivenBack(t *testing.T) {
	const many, left = 100_000, 5
	tr := New(0)
	all := sequence(many)
	tr.Routed(1, all, 0)
	tr.Routed(2, all[:left], 0)
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(many, func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, id := range all {
		tr.Durable(id, 0, 1, time.Duration(i))
		if i%10_000 == 0 {
			wantBoundary(t, tr, 0)
		}
	}
	wantBoundary(t, tr, 1)
	if tr.Len() != left {
		t.Fatalf("%d entries, want %d", tr.Len(), left)
	}
	if got := cap(tr.table.slab) + cap(tr.heap) + cap(tr.table.free); got > 3*shrinkAbove {
		t.Errorf("room for %d entries is kept for %d", got, left)
	}
	for id := range shape.ID(left) {
		tr.Durable(id, 0, 2, many)
	}
	wantBoundary(t, tr, 2)
}
