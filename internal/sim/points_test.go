package sim

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// long says that tests may take minutes: make test-long.
var long = os.Getenv("SPILLWAY_LONG") != ""

// crashWorlds and crashesEach make a thousand points at which the process dies.
const crashWorlds, crashesEach = 20, 50

// F12, F13: the process is killed, or power is cut and what was not synced is
// lost, at a thousand points under mixed load. What was read is read again byte
// for byte, nothing that was acknowledged is missing, and in the end every client
// has what the model has.
func TestThousandCrashes(t *testing.T) {
	for what, percents := range map[string][]int{"kill": {100}, "power cut": {0, 30, 70}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(crashWorlds) {
				t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { crashes(t, seed+1, percents) })
				})
			}
		})
	}
}

func crashes(t *testing.T, seed uint64, percents []int) {
	w := newWorld(t, seed)
	mixed := []func(*world){(*world).write, (*world).write, (*world).writeMuch, (*world).finish, (*world).create,
		(*world).poll, (*world).poll, (*world).hurt, (*world).storm, (*world).reconnect}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: step %d", seed, w.n)
			w.tell()
		}
		w.close()
	}()
	w.start()
	for w.n = range crashesEach {
		for range w.rng.IntN(6) {
			mixed[w.rng.IntN(len(mixed))](w)
			w.look()
		}
		time.Sleep(time.Duration(w.rng.Int64N(int64(w.conf.Grace) / 4)))
		w.crash(percents[w.rng.IntN(len(percents))])
		w.look()
	}
	w.settle()
}

// F23: with a small budget for the journal, and whatever goes wrong, the journal
// never holds more than a segment beyond it, and the oracle holds at every step.
func TestBudgetIsKept(t *testing.T) {
	for seed := range uint64(fixedSeeds) {
		t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				simulateWith(t, seed+1, func(w *world) {
					w.conf.SegmentBytes = 8 << 10
					w.conf.JournalBudget = 96 << 10
				})
			})
		})
	}
}

// F22: a consumer that has to be restarted three times an hour, for a day, or a
// week in a long run: ghosts, goroutines and memory stay what they were, and its
// clients notice nothing.
func TestRestartsForAWeek(t *testing.T) {
	days := 1
	if long {
		days = 7
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 22)
		defer w.close()
		w.conf.Grace, w.conf.SegmentBytes, w.conf.Shards = 2*time.Second, 64<<10, 2
		w.start()
		for range 4 {
			w.create()
			w.settle()
		}
		handle := w.peers[0].Handle
		var warm load
		var rest wal.LSN // everybody was there a day before
		for n := range days * 24 * 3 {
			sp := w.engine.Registry.ByHandle(handle)
			if sp == nil {
				t.Fatalf("restart %d: the shape is gone", n)
			}
			w.twins(handle, func(c *client) { c.hurt = true })
			w.faults.add(sp.ID(), &fault{left: 1, panics: n%2 == 0})
			before := w.engine.Ingest.Status().Restarts
			for w.engine.Ingest.Status().Restarts == before {
				tx := w.pg.Begin()
				w.change(tx)
				tx.Finish()
				time.Sleep(time.Second)
			}
			w.faults.heal()
			time.Sleep(20 * time.Minute)
			w.poll()
			if st := w.engine.Ingest.Status(); len(st.Ghosts) > 0 {
				t.Fatalf("restart %d: %d ghosts", n, len(st.Ghosts))
			}
			if n == 20 {
				warm = w.load()
			}
			if n%(24*3) == 0 { // the model's own memory is not what is measured
				w.settle()
				w.pg.Forget(min(rest, w.pg.Confirmed()))
				rest = w.pg.End()
			}
		}
		w.settle()
		if now := w.load(); now.over(warm) {
			t.Errorf("from %s to %s", warm, now)
		}
		if w.peers[0].Handle != handle || len(w.ends) != 0 {
			t.Errorf("ends %v", w.ends)
		}
	})
}

// load is what a process needs at one moment.
type load struct {
	heap, disk int64 // live bytes, the disk's aside; in files
	goroutines int
}

func (w *world) load() load {
	l := load{disk: w.conf.Disk.bytes("/"), goroutines: runtime.NumGoroutine()}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	// A disk that can lose power keeps what was synced besides what was written.
	l.heap = int64(m.HeapAlloc) - 2*l.disk
	return l
}

// over says that something grows beyond what comes and goes.
func (l load) over(warm load) bool {
	return l.heap > max(warm.heap, 0)*5/4+8<<20 || l.disk > 2*warm.disk+16<<20 || l.goroutines > warm.goroutines+4
}

func (l load) String() string {
	return fmt.Sprintf("%.1f MiB live, %.1f MiB on disk, %d goroutines", float64(l.heap)/(1<<20), float64(l.disk)/(1<<20), l.goroutines)
}

// bytes is how much there is in a directory.
func (d *Disk) bytes(dir string) (n int64) {
	names, err := d.List(dir)
	if err != nil {
		return 0 // it has gone meanwhile
	}
	for _, name := range names {
		path := d.PathJoin(dir, name)
		info, err := d.Stat(path)
		switch {
		case err != nil: // gone
		case info.IsDir():
			n += d.bytes(path)
		default:
			n += info.Size()
		}
	}
	return n
}

// excusesBudget says that a shape may go for the journal's budget: only with a
// small one, and then whoever is behind when it is reached.
func (w *world) excusesBudget(reason shape.Reason) bool {
	return reason == shape.ReasonBudget && w.conf.JournalBudget > 0
}
