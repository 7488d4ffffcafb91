package ingest_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/sim"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestChangesArrive(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		r.put("before", 0, 5)
		_, all := r.follow("")
		_, some := r.follow("i < 3")
		_, none := r.follow("i < 0")
		r.put("after", 2, 8)
		tx := r.pg.Begin()
		if err := tx.Move(r.items, `"public"."items"/"2"`, row(20, "moved")); err != nil {
			r.Fatal(err)
		}
		if err := tx.Delete(r.items, `"public"."items"/"1"`); err != nil {
			r.Fatal(err)
		}
		tx.Finish()
		r.settle(all, some, none)
		if all.Messages == 0 || some.Messages == 0 || none.Messages != 0 {
			r.Errorf("read %d, %d and %d messages", all.Messages, some.Messages, none.Messages)
		}
		r.released()
	})
}

// Both shapes share one shard. A consumer that is held up lets its mailbox run
// full; its shard then reads the journal by itself.
func TestLaggingShardCatchesUp(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		_, a := r.follow("")
		_, b := r.follow("i > 5") // in the other shard
		slow := atomic.Bool{}
		slow.Store(true)
		r.apply(func(id shape.ID, _ *wal.Change) {
			if id == 1 && slow.Load() {
				time.Sleep(grace / 40)
			}
		})
		for i := range 60 {
			r.put("x", i, i+3)
			time.Sleep(20 * time.Millisecond)
		}
		r.settle(b)
		if st := r.engine.Ingest.Status(); st.Lagging != 1 || st.StallsTotal != 0 {
			r.Errorf("want one shard that lags and no stall: %+v", st)
		}
		slow.Store(false)
		r.put("y", 0, 10)
		r.settle(a, b)
		if st := r.engine.Ingest.Status(); st.Lagging != 0 {
			r.Errorf("a shard still lags: %+v", st)
		}
		r.released()
	})
}

func TestBlockedOnceIsReplacedAndZombieRefused(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		_, b := r.follow("i > 5")
		release := make(chan struct{})
		blocked := atomic.Int32{}
		r.apply(func(id shape.ID, _ *wal.Change) {
			if id == 1 && blocked.Add(1) == 1 {
				<-release
			}
		})
		r.put("x", 0, 10)
		r.settle(a, b)
		st := r.engine.Ingest.Status()
		if st.StallsTotal != 1 || len(st.Ghosts) != 1 || st.Ghosts[0].Shape != 1 {
			r.Fatalf("want one stall and one ghost: %+v", st)
		}
		if s := st.Stalls[0]; s.For < grace/20 || !strings.Contains(s.Stack, "BlockedOnce") {
			r.Errorf("the evidence is after %s:\n%s", s.For, s.Stack)
		}
		r.put("y", 5, 15)
		r.settle(a, b)
		close(release)
		r.until("the ghost to end", func() bool { return len(r.engine.Ingest.Status().Ghosts) == 0 })
		r.put("z", 0, 20)
		r.settle(a, b)
		r.reread(a, b)
		r.released()
		r.restart(true)
		r.settle(a, b)
		r.reread(a, b)
	})
}

// A worker that got on just before it was replaced has nothing left to do, and nobody
// to tell it: it must not stay as a ghost, which there may be a few of only.
func TestReplacedWhileIdle(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		r.put("x", 0, 3)
		r.settle(a)
		r.engine.Ingest.ReplaceIdle(0)
		r.until("the worker to be replaced", func() bool { return r.engine.Ingest.Status().StallsTotal == 1 })
		r.until("the ghost to be gone", func() bool { return len(r.engine.Ingest.Status().Ghosts) == 0 })
		r.put("y", 1, 5)
		r.settle(a)
		r.released()
	})
}

func TestBlockedAlwaysIsRotated(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		_, b := r.follow("i > 5")
		release := make(chan struct{})
		r.apply(func(id shape.ID, _ *wal.Change) {
			if id == 1 {
				<-release
			}
		})
		r.put("x", 0, 10)
		began := time.Now()
		r.settle(b)
		if took := time.Since(began); took >= grace {
			r.Errorf("its neighbour waited for %s", took) // the grace is the sick one's
		}
		if reason := r.gone(a); reason != shape.ReasonStalled {
			r.Errorf("rotated for %q", reason)
		}
		st := r.engine.Ingest.Status()
		if st.StallsTotal != 4 || len(st.Ghosts) != 4 || st.Stalls[0].Strikes != 0 || st.Stalls[3].Strikes != 3 {
			r.Errorf("want to see it set aside, and three strikes: %+v", st)
		}
		r.released()
		_, c := r.follow("")
		r.put("y", 0, 10)
		r.settle(b, c)
		close(release)
		r.until("the ghosts to end", func() bool { return len(r.engine.Ingest.Status().Ghosts) == 0 })
		r.settle(b, c)
	})
}

func TestPanic(t *testing.T) {
	for _, tc := range []struct {
		name  string
		times int32
	}{{"once", 1}, {"twice", 2}, {"always", 1 << 30}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 1, func(r *rig) {
				_, a := r.follow("")
				_, b := r.follow("i > 5")
				n := atomic.Int32{}
				r.apply(func(id shape.ID, _ *wal.Change) {
					if id == 1 && n.Add(1) <= tc.times {
						panic(errBoom)
					}
				})
				r.put("x", 0, 10)
				if tc.times < 3 {
					r.settle(a, b)
				} else if reason := r.gone(a); reason != shape.ReasonStalled {
					r.Errorf("rotated for %q", reason)
				}
				r.settle(b)
				r.released()
				st := r.engine.Ingest.Status()
				if st.StallsTotal != min(3, int(tc.times)) || len(st.Ghosts) != 0 {
					r.Errorf("%+v", st)
				}
				if s := st.Stalls[0]; !strings.Contains(s.Cause, "boom") || !strings.Contains(s.Stack, "TestPanic") {
					r.Errorf("the evidence is %s\n%s", s.Cause, s.Stack)
				}
			})
		})
	}
}

// A shape that is created while a transaction that is in the snapshot, one that
// is not, and the stream's own transaction are under way.
// A clause that panics is evaluated by the spine first. It costs its own shape.
func TestPanicInAClause(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		def, err := shape.BuildDef(r.items.Def, shape.Params{Where: "i > 5"})
		if err != nil {
			r.Fatal(err)
		}
		def.Where = new(expr.Expr) // nothing was compiled
		sp, err := r.engine.Creator.Create(def)
		if err != nil {
			r.Fatal(err)
		}
		r.until("the shape to be live", func() bool { return sp.State() == registry.Live })
		r.put("x", 0, 10)
		r.settle(a)
		r.until("the shape to leave the stream", func() bool { return sp.State() != registry.Live })
		r.released()
		if st := r.engine.Ingest.Status(); st.StallsTotal != 3 || !strings.Contains(st.Stalls[0].Cause, "panic") {
			r.Errorf("%+v", st)
		}
	})
}

func TestJoinInsideTransactions(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		r.put("old", 0, 10)
		_, first := r.follow("")
		open := r.pg.Begin()
		r.write(open, "open", 100, 500)
		gap := r.pg.Begin()
		r.write(gap, "gap", 600, 610)
		gap.Log() // in the stream, not visible
		second := r.create("i <> 7")
		reader := new(sim.Reader)
		reader.Follow(second)
		time.Sleep(time.Second)
		r.put("more", 5, 20)
		open.Finish()
		time.Sleep(time.Second)
		gap.Show()
		r.settle(first, reader)
		r.put("after", 0, 30)
		r.settle(first, reader)
		r.released()
	})
}

func TestTruncateRotates(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		r.put("x", 0, 10)
		_, a := r.follow("")
		tx := r.pg.Begin()
		r.write(tx, "y", 5, 12)
		if err := tx.Truncate(r.items); err != nil {
			r.Fatal(err)
		}
		r.write(tx, "z", 3, 4)
		tx.Finish()
		if reason := r.gone(a); reason != shape.ReasonTruncate {
			r.Errorf("rotated for %q", reason)
		}
		r.released()
		_, b := r.follow("")
		r.put("x", 0, 10)
		r.settle(b)
	})
}

// The session drops in the middle of a large transaction, again and again, at
// places that only its seed knows.
func TestResetInsideTransaction(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		_, a := r.follow("")
		_, b := r.follow("t = 'x'")
		for seed := range uint64(20) {
			r.put("x", 0, 300)
			r.put("y", 100, 103)
			r.engine.Connect(seed, seed%2 == 0)
			time.Sleep(time.Duration(seed) * 10 * time.Millisecond)
		}
		r.settle(a, b)
		r.released()
	})
}

func TestRestartReplays(t *testing.T) {
	for _, crash := range []bool{false, true} {
		bubble(t, 2, func(r *rig) {
			r.conf.ChunkBytes = 2000
			r.restart(false)
			_, a := r.follow("")
			_, b := r.follow("t = 'x'")
			for n := range 6 {
				r.put("x", 0, 20)
				r.put("y", n, 15)
				r.settle(a, b)
				if n%2 == 0 {
					time.Sleep(3 * time.Second) // past a flush
				}
				r.restart(crash)
				r.reread(a, b)
			}
			r.settle(a, b)
			r.released()
		})
	}
}

// A shape's log is given up while a transaction that touches it is open in the
// spine: it must not owe again when that ends.
func TestRemovedInsideTransaction(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("t::int4 > 0") // fails
		_, b := r.follow("i < 5")
		frames := r.half()
		if reason := r.gone(a); reason != shape.ReasonEvaluation {
			r.Errorf("rotated for %q", reason)
		}
		time.Sleep(time.Second)
		if !r.engine.Journal.Offer(frames) {
			r.Fatal("the journal is full")
		}
		r.settle(b)
		r.released()
	})
}

// After a restart with nothing to replay, on a database where nothing happens,
// readers are told what they have seen all the same.
func TestRestartOfQuietDatabase(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		_, b := r.follow("i < 0")
		r.put("x", 0, 3)
		r.pg.Begin().Rollback() // a position that no shape has to do with
		r.settle(a, b)
		r.released()
		time.Sleep(5 * time.Second)
		r.restart(false)
		r.settle(a, b)
	})
}

// A shape dies of a TRUNCATE that is replayed in the same batch as what its
// readers have read before the crash: until it is removed they find that.
func TestTruncateReplayed(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		_, a := r.follow("")
		time.Sleep(5 * time.Second)
		r.put("x", 0, 3)
		r.put("y", 0, 3)
		r.settle(a)
		tx := r.pg.Begin()
		if err := tx.Truncate(r.items); err != nil {
			r.Fatal(err)
		}
		tx.Finish()
		r.until("the journal to have it", func() bool { return r.engine.Journal.Synced() >= tx.End })
		r.restart(true)
		if _, err := a.Poll(r.engine.Registry); err != nil && a.Gone == "" && r.engine.Registry.ByHandle(a.Handle) != nil {
			r.Error(err)
		}
		r.released()
	})
}

// One transaction that is larger than what a worker puts into a batch, broken
// off in the middle, with a crash there: all or nothing.
func TestLargeTransaction(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		_, a := r.follow("")
		_, b := r.follow("i < 30")
		r.engine.Disconnect()
		tx := r.pg.Begin()
		r.write(tx, strings.Repeat("x", 200_000), 0, 60)
		tx.Finish()
		offer := func(f wal.Frame) {
			r.until("room in the journal", func() bool { return r.engine.Journal.Offer(f) })
		}
		frames := tx.Frames(55)
		for range 2 { // the session drops once
			offer(frames[0])
			offer(frames[1])
			time.Sleep(time.Second)
			for _, reader := range r.readers {
				if _, err := reader.Poll(r.engine.Registry); err != nil || reader.Messages > 0 {
					r.Fatalf("%d messages of an open transaction, %v", reader.Messages, err)
				}
			}
		}
		time.Sleep(5 * time.Second) // past a flush
		r.restart(true)
		r.settle(a, b)
		if a.Messages != 60 || b.Messages != 30 {
			r.Errorf("read %d and %d messages", a.Messages, b.Messages)
		}
		r.reread(a, b)
		r.released()
	})
}
