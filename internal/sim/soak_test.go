package sim

import (
	"flag"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

var txnsFlag = flag.Int("txns", 0, "so many transactions in the soak; 0: some thousands, in a long run a hundred thousand")

// TestSoak lets many transactions pass with all that may go wrong, makes everybody
// come to rest now and then, and replaces shapes. Memory and goroutines stay what
// they were, and the oracle holds. make soak runs it with a million.
func TestSoak(t *testing.T) {
	txns := *txnsFlag
	switch {
	case txns > 0:
	case long:
		txns = 100_000
	default:
		txns = 5_000
	}
	seed := uint64(1)
	if *seedFlag != "" {
		n, err := strconv.ParseUint(*seedFlag, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if seed = n; seed == 0 {
			seed = rand.Uint64()
		}
	}
	began := time.Now()
	var restarts int
	synctest.Test(t, func(t *testing.T) { restarts = soak(t, seed, txns) })
	took := time.Since(began)
	t.Logf("seed %d: %d transactions and %d restarts in %s, %.0f transactions/s", seed, txns, restarts,
		took.Round(time.Second), float64(txns)/took.Seconds())
}

// soakSteps are the steps between two rests.
const soakSteps = 60

func soak(t *testing.T, seed uint64, txns int) (restarts int) {
	w := newWorld(t, seed)
	w.conf.SegmentBytes, w.conf.WindowBytes = 64<<10, 256<<10
	w.pg.Scale(500)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: step %d, transaction %d; to run it again: make soak SEED=%d", seed, w.n, w.pg.Committed(), seed)
			w.tell()
		}
		w.close()
	}()
	mix := newMix(map[string]int{"storm": 60, "settle": 0})
	w.start()
	var warm load
	var rest wal.LSN // everybody was there at the rest before
	for tenth := 1; w.pg.Committed() < txns; {
		for range soakSteps {
			mix.step(w)
			w.n++
		}
		w.settle()
		w.pg.Forget(min(rest, w.pg.Confirmed()))
		rest = w.pg.End()
		w.renew()
		if done := w.pg.Committed(); done >= tenth*txns/10 {
			now := w.load()
			if tenth == 1 {
				warm = now
			}
			t.Logf("%s: %s", now, w.figures())
			tenth = done*10/txns + 1
		}
	}
	w.settle()
	if now := w.load(); now.over(warm) {
		t.Errorf("from %s to %s", warm, now)
	}
	return w.restarts
}

// renew removes the shapes of some clients, and the clients, so that no log
// becomes long. All is at rest.
func (w *world) renew() {
	for range 1 + w.rng.IntN(3) {
		if len(w.peers) == 0 {
			return
		}
		h := w.peers[w.rng.IntN(len(w.peers))].Handle
		if sp := w.engine.Registry.ByHandle(h); sp != nil {
			w.engine.Ingest.Remove(sp, shape.ReasonDeleted, "")
			w.until("a removed shape to be gone", func() bool { return w.engine.Registry.ByHandle(h) == nil })
		}
		w.leaveAll(h)
	}
}

// leaveAll takes the clients of a handle out.
func (w *world) leaveAll(h shape.Handle) {
	var left []*client
	for _, c := range w.peers {
		if c.Handle == h {
			w.messages += c.Messages
			w.handles += c.Snapshots
			continue
		}
		left = append(left, c)
	}
	w.peers = left
}
