package registry

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// TestRecency compares the order with that of a list that is searched from end to
// end, also over restarts.
func TestRecency(t *testing.T) {
	type entry struct {
		s        *Shape
		watchers int
		used     int
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	var all []*entry
	now := 1
	compare := func() {
		t.Helper()
		var want []shape.ID
		for _, watched := range []bool{false, true} {
			var some []*entry
			for _, e := range all {
				if e.watchers > 0 == watched {
					some = append(some, e)
				}
			}
			slices.SortStableFunc(some, func(a, b *entry) int { return a.used - b.used })
			for _, e := range some {
				want = append(want, e.s.ID())
			}
		}
		n := rng.IntN(len(all) + 2)
		var got []shape.ID
		for _, s := range h.Expendable(n) {
			got = append(got, s.ID())
		}
		if !slices.Equal(got, want[:min(n, len(want))]) {
			t.Fatalf("first %d: %v, want %v", n, got, want)
		}
	}
	for i := range 3000 {
		now++
		at := time.UnixMicro(int64(now))
		switch k := rng.IntN(20); {
		case k == 0 && len(all) < 30:
			all = append(all, &entry{create(t, h, nth(t, i), 1), 0, now})
		case len(all) == 0:
		case k == 1:
			j := rng.IntN(len(all))
			check(t, h.Remove(all[j].s, shape.ReasonDeleted))
			all = slices.Delete(all, j, j+1)
		case k < 12:
			e := all[rng.IntN(len(all))]
			e.s.Watch(at)
			e.watchers, e.used = e.watchers+1, now
		default:
			e := all[rng.IntN(len(all))]
			if e.watchers == 0 {
				continue
			}
			e.s.Unwatch(at)
			e.watchers, e.used = e.watchers-1, now
			if e.s.Watched() != (e.watchers > 0) || !e.s.LastUsed().Equal(at) {
				t.Fatalf("watched %v by %d, used %v", e.s.Watched(), e.watchers, e.s.LastUsed())
			}
		}
		compare()
	}
	for i := range 3 {
		now++
		all = append(all, &entry{create(t, h, nth(t, 10_000+i), 1), 0, now})
	}
	failed := all[len(all)-1]
	failed.s.Fail(errBoom)
	failed.s.Watch(time.UnixMicro(int64(now + 1))) // by one who found it before
	if first := h.Expendable(1); first[0] != failed.s {
		t.Errorf("shape %d goes before one that failed", first[0].ID())
	}
	check(t, h.Remove(failed.s, shape.ReasonSnapshot))
	all = all[:len(all)-1]
	compare()
	gone := all[0].s
	check(t, h.Remove(gone, shape.ReasonDeleted))
	gone.Watch(time.UnixMicro(1)) // by one who still has it
	gone.Unwatch(time.UnixMicro(2))
	all = all[1:]
	compare()
}

// TestRecencyAfterRestart: nothing is known of who was used when.
func TestRecencyAfterRestart(t *testing.T) {
	h := open(t, vfs.NewMem())
	var ids []shape.ID
	for i := range 5 {
		s := create(t, h, nth(t, i), 1)
		live(t, h, s, 10)
		ids = append(ids, s.ID())
	}
	h = h.reopen(t)
	defer h.close(t)
	var got []shape.ID
	for _, s := range h.Expendable(9) {
		got = append(got, s.ID())
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%v, want %v", got, ids)
	}
}

// TestFailedIsNotFound: who asks while a shape that failed is being removed has
// another one made, and only that survives.
func TestFailedIsNotFound(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	defer func() { h.close(t) }()
	failed := create(t, h, where(t, ""), 5)
	failed.Fail(errBoom)
	if h.Find(failed.Key()) != nil || h.ByHandle(failed.Handle()) != failed {
		t.Error("found by its definition, or not by its handle")
	}
	next := create(t, h, where(t, ""), 6)
	if next == failed {
		t.Fatal("the failed one again")
	}
	live(t, h, next, 10)
	h = h.crash(t)
	if s := h.Find(next.Key()); s == nil || s.Handle() != next.Handle() || h.Len() != 1 {
		t.Errorf("after a crash: %v of %d", s, h.Len())
	}

	failed = create(t, h, where(t, "id = 1"), 5)
	failed.Fail(errBoom)
	next = create(t, h, where(t, "id = 1"), 6)
	check(t, h.Remove(failed, shape.ReasonSnapshot))
	if h.Find(next.Key()) != next {
		t.Error("removed with its predecessor")
	}
}
