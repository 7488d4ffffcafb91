package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

var seedFlag = flag.String("seed", "", "replay this seed of the simulation; 0: random ones for a minute")

// fixedSeeds is how many seeds, from 1 on, every run has.
const fixedSeeds = 40

// TestSimulation runs the engine against the model, in steps that a seed
// chooses. The schedule of goroutines is not the seed's, so that a seed that
// failed may have to be run some times: -args -seed=N, or make sim SEED=N.
func TestSimulation(t *testing.T) {
	one := func(seed uint64) bool {
		return t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
	if *seedFlag == "" {
		for seed := range uint64(fixedSeeds) {
			one(seed + 1)
		}
		for range 3 {
			one(rand.Uint64())
		}
		return
	}
	seed, err := strconv.ParseUint(*seedFlag, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if seed != 0 {
		one(seed)
		return
	}
	for began := time.Now(); time.Since(began) < time.Minute; {
		if !one(rand.Uint64()) {
			return
		}
	}
}

// step is one thing that may happen.
type step struct {
	name   string
	weight int
	do     func(*world)
}

func steps() []step {
	return []step{
		{"write", 30, (*world).write},
		{"write much", 4, (*world).writeMuch},
		{"truncate", 1, (*world).truncate},
		{"finish", 12, (*world).finish},
		{"create", 8, (*world).create},
		{"poll", 20, (*world).poll},
		{"wait", 12, (*world).wait},
		{"reconnect", 5, (*world).reconnect},
		{"disconnect", 1, (*world).disconnect},
		{"power cut", 2, (*world).powerCut},
		{"kill", 1, (*world).kill},
		{"restart", 1, (*world).restart},
		{"hurt", 6, (*world).hurt},
		{"storm", 3, (*world).storm},
		{"heal", 4, (*world).heal},
		{"disk", 2, (*world).sicken},
		{"freeze", 1, (*world).freeze},
		{"fail snapshot", 1, (*world).failSnapshot},
		{"remove", 1, (*world).remove},
		{"settle", 2, (*world).settle},
	}
}

// mix is the steps, and how often they come.
type mix struct {
	steps []step
	total int
}

// newMix returns all steps, some of them with other weights.
func newMix(weights map[string]int) mix {
	m := mix{steps: steps()}
	for i := range m.steps {
		s := &m.steps[i]
		if n, other := weights[s.name]; other {
			s.weight = n
		}
		m.total += s.weight
	}
	return m
}

// step does one of them and asks the oracle.
func (m mix) step(w *world) {
	k := w.rng.IntN(m.total)
	for _, s := range m.steps {
		if k -= s.weight; k < 0 {
			w.note("%s", s.name)
			s.do(w)
			break
		}
	}
	w.look()
}

func simulate(t *testing.T, seed uint64) { simulateWith(t, seed, func(*world) {}) }

func simulateWith(t *testing.T, seed uint64, change func(*world)) *world {
	w := newWorld(t, seed)
	change(w)
	mix := newMix(nil)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: step %d; to run it again: make sim SEED=%d", seed, w.n, seed)
			w.tell()
		}
		w.close()
	}()
	w.start()
	for w.n = range 120 + w.rng.IntN(120) {
		mix.step(w)
	}
	w.note("end")
	w.settle()
	t.Logf("%s", w.figures())
	return w
}
