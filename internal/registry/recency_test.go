package registry

import (
	"math/rand/v2"
	"slices"
	"sync"
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

// The places against a list for each queue, with one who comes, goes, uses or fails at a
// time; and those that went leave their places to others.
func TestRecencyPlaces(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var r recency
	r.init()
	var here, gone []*Shape
	var twin [queues][]*Shape
	watchers := map[*Shape]int{}
	out := func(s *Shape) {
		for q := range twin {
			twin[q] = slices.DeleteFunc(twin[q], func(other *Shape) bool { return other == s })
		}
	}
	in := func(s *Shape) {
		q := quietQueue
		if watchers[s] > 0 {
			q = busyQueue
		}
		twin[q] = append(twin[q], s)
	}
	now, next, most := time.UnixMicro(1), shape.ID(1), 0
	for round := range 20_000 {
		now = now.Add(time.Microsecond)
		k := rng.IntN(10)
		if k == 0 && len(here) < 40 || len(here) == 0 {
			s := &Shape{id: next}
			next++
			r.enter(s)
			in(s)
			here = append(here, s)
			most = max(most, len(here))
			continue
		}
		i := rng.IntN(len(here))
		s := here[i]
		switch {
		case k == 1:
			r.exit(s)
			r.exit(s) // it is out already
			out(s)
			here, gone = slices.Delete(here, i, i+1), append(gone, s)
		case k == 2 && rng.IntN(4) == 0:
			r.fail(s)
			out(s)
			twin[failedQueue] = append(twin[failedQueue], s)
		default:
			by := int32(1)
			if watchers[s] > 0 && rng.IntN(2) == 0 {
				by = -1
			}
			watchers[s] += int(by)
			r.use(s, by, now)
			if !slices.Contains(twin[failedQueue], s) { // which stay where they are
				out(s)
				in(s)
			}
		}
		if len(gone) > 0 { // by those who still have it
			s := gone[rng.IntN(len(gone))]
			r.use(s, 1, now)
			r.fail(s)
			if r.watched(s) || !s.LastUsed().Equal(now) {
				t.Fatalf("round %d: one that went is watched, or was used at %v", round, s.LastUsed())
			}
		}
		var want []shape.ID
		for _, q := range twin {
			for _, s := range q {
				want = append(want, s.id)
				if r.watched(s) != (watchers[s] > 0) {
					t.Fatalf("round %d: shape %d is watched by %d, not so here", round, s.id, watchers[s])
				}
			}
		}
		n := rng.IntN(len(want) + 2)
		if got := r.first(n); !slices.Equal(got, want[:min(n, len(want))]) {
			t.Fatalf("round %d: the first %d are %v, want %v", round, n, got, want)
		}
	}
	if int(r.taken) != most+int(queues) {
		t.Errorf("%d places for %d shapes at once", r.taken, most)
	}
}

// More shapes than one piece has places for, and what the next ones take.
func TestRecencyPieces(t *testing.T) {
	var r recency
	r.init()
	var all []*Shape
	var want []shape.ID
	for id := shape.ID(1); id <= 3*pieceLen; id++ {
		s := &Shape{id: id}
		r.enter(s)
		all, want = append(all, s), append(want, id)
	}
	if got := r.first(len(want) + 1); !slices.Equal(got, want) {
		t.Errorf("%d shapes in order, want %d", len(got), len(want))
	}
	for _, s := range all[:pieceLen] {
		r.exit(s)
	}
	pieces := len(r.pieces)
	for _, s := range all[:pieceLen] {
		r.enter(s)
	}
	want = append(want[pieceLen:], want[:pieceLen]...)
	if got := r.first(len(want)); !slices.Equal(got, want) || len(r.pieces) != pieces {
		t.Errorf("%d shapes in order, want %d, in %d pieces, before %d", len(got), len(want), len(r.pieces), pieces)
	}
}

// Who asks for those that are to go gets shapes that were there, while others come and
// go.
func TestExpendableMeanwhile(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	var wg sync.WaitGroup
	for k := range 2 {
		wg.Go(func() {
			for i := range 200 {
				s, _, err := h.Create(nth(t, 1000*k+i), 1)
				if err != nil {
					t.Error(err)
					return
				}
				s.Watch(time.Now())
				if i%3 > 0 {
					s.Unwatch(time.Now())
				}
				if err := h.Remove(s, shape.ReasonDeleted); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	for {
		for _, s := range h.Expendable(10) {
			if s == nil || s.ID() == 0 {
				t.Fatal("one that is not there")
			}
		}
		select {
		case <-ended:
			if left := h.Expendable(10); len(left) != 0 {
				t.Errorf("%d are left", len(left))
			}
			return
		default:
		}
	}
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
