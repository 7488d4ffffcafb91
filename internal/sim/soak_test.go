package sim

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestSoak runs one random world after the other until a number of transactions
// is reached: TXNS, a million in a long run, and some thousands always. A bubble
// ends only when all its goroutines have; the live heap must be what it was after
// the first tenth.
func TestSoak(t *testing.T) {
	want := 5_000
	if long {
		want = 1_000_000
	}
	if s := os.Getenv("TXNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		want = n
	}
	began := time.Now()
	_, goroutines := load()
	var heap uint64
	done, worlds := 0, 0
	for done < want {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			w := simulateWith(t, seed, func(w *world) {
				if seed%4 == 0 {
					w.conf.SegmentBytes, w.conf.JournalBudget = 8<<10, 96<<10
				}
			})
			done += len(w.pg.log)
		})
		if t.Failed() {
			t.Fatalf("seed %d, after %d transactions", seed, done)
		}
		if worlds++; heap == 0 && done >= want/10 {
			heap, _ = load()
		}
	}
	now, g := load()
	took := time.Since(began)
	t.Logf("%d transactions in %d worlds in %s, %.0f a second; the heap went from %d to %d KiB, goroutines from %d to %d",
		done, worlds, took.Round(time.Second), float64(done)/took.Seconds(), heap>>10, now>>10, goroutines, g)
	if now > heap+heap/4+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, now)
	}
	if g > goroutines {
		t.Errorf("from %d to %d goroutines", goroutines, g)
	}
}
