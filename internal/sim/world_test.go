package sim

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// world is one simulation.
type world struct {
	*testing.T
	rng    *rand.Rand
	n      int // of the step
	notes  []string
	pg     *Postgres
	conf   Config
	engine *Engine
	open   []*Tx // begun, or committed and not visible
	peers  []*client
	faults faults

	connected          bool
	restarts, checks   int
	stalls, stallsHere int // of earlier engines, of the present one
	handles, messages  int // of clients that have left
	ends               map[shape.Reason]int
}

// client is a reader and what may happen to its shape.
type client struct {
	Reader
	def *shape.Def
	// Excuses: since it follows its handle the table was truncated, its consumer
	// was made to fail, its shape was removed, a snapshot was made to fail.
	truncated, hurt, removed, failed bool
}

func newWorld(t *testing.T, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	pg := NewPostgres(
		NewTable(101, "items", []int{0}, "i", "t", "u"),
		NewTable(102, "pairs", []int{1, 0}, "t", "i", "i2"),
		NewTable(103, "bare", nil, "i", "u"),
	)
	pg.Scale(wal.LSN(100 << rng.IntN(12)))
	w := &world{T: t, rng: rng, pg: pg, ends: make(map[shape.Reason]int)}
	w.conf = Config{
		Disk:         NewDisk(),
		Database:     &Database{PG: pg, Pause: PauseFor(rng, time.Second)},
		Shards:       1 + rng.IntN(3),
		Grace:        time.Duration(1+rng.IntN(10)) * time.Second,
		ChunkBytes:   200 << rng.IntN(10),
		SegmentBytes: 1000 << rng.IntN(8),
		WindowBytes:  500 << rng.IntN(12),
		BeforeApply:  w.faults.apply,
		// At each look, or seldom as in production.
		FlushAtLatest: time.Duration(seed%2) * 30 * time.Second,
		// What is written down takes its time, and keeps those waiting who go next.
		BeforeQuarantine: PauseFor(rng, 3*time.Second),
	}
	if testing.Verbose() && os.Getenv("SIM_LOG") != "" {
		w.conf.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil))
	}
	return w
}

func (w *world) note(format string, args ...any) {
	if len(w.notes) == 1000 {
		w.notes = slices.Clone(w.notes[900:])
	}
	w.notes = append(w.notes, fmt.Sprintf("%4d %s ", w.n, time.Now().Format("04:05.000"))+fmt.Sprintf(format, args...))
}

// tell logs the steps before a failure.
func (w *world) tell() {
	for _, s := range w.notes[max(0, len(w.notes)-60):] {
		w.Log(s)
	}
	if w.engine != nil {
		w.Logf("%+v", w.engine.Ingest.Status())
	}
	for _, c := range w.peers {
		where := ""
		if c.def.Where != nil {
			where = c.def.Where.SQL()
		}
		w.Logf("%s of %s where %q: at %s, seen %s", c.Handle, c.def.Table.Name, where, c.after, c.Seen)
		if sp := w.engine.Registry.ByHandle(c.Handle); sp != nil {
			w.Logf("  %s, tail %s, seen %s, sees %+v", sp.State(), sp.Tail(), sp.Seen(), sp.Sees())
		}
	}
}

func (w *world) figures() string {
	snapshots, messages := w.handles, w.messages
	for _, c := range w.peers {
		snapshots += c.Snapshots
		messages += c.Messages
	}
	return fmt.Sprintf("%d steps, %d transactions, %d restarts, %d handles, %d messages, %d comparisons, %d stalls, ends %v",
		w.n+1, w.pg.Committed(), w.restarts, snapshots, messages, w.checks, w.stalls+w.stallsHere, w.ends)
}

func (w *world) start() {
	e, err := Open(w.conf)
	if err != nil {
		w.Fatal(err)
	}
	w.engine = e
	e.Run()
	w.reconnect()
}

func (w *world) close() {
	for _, tx := range w.open {
		w.end(tx)
	}
	w.faults.heal()
	w.conf.Disk.Fill(false)
	w.conf.Disk.Stick(false)
	if w.engine != nil {
		if err := w.engine.Stop(); err != nil {
			w.Error(err)
		}
	}
	// The engine does not wait for a consumer that is slow to stop.
	time.Sleep(w.conf.Grace)
}

// txnMost is what a transaction of the model may have, in bytes. One that is open
// when nobody holds the journal is taken in to its end: nothing else would let go
// of it.
const txnMost = 160 << 10

// look is the oracle after each step.
func (w *world) look() {
	w.stallsHere = w.engine.Ingest.Status().StallsTotal
	oldest := w.engine.Journal.Stats().Oldest
	if b := w.engine.Ingest.Boundary(); oldest > b {
		w.Fatalf("the journal begins at %s, the boundary is %s", oldest, b)
	}
	if budget := w.conf.JournalBudget; budget > 0 {
		// A segment ends up to a quarter late.
		if b := w.engine.Journal.Stats().Bytes; b > budget+w.conf.SegmentBytes*5/4+txnMost {
			w.Fatalf("the journal has %d bytes, its budget is %d", b, budget)
		}
	}
	select {
	case err := <-w.engine.Ended():
		w.Fatalf("the ingest ended: %v", err)
	default:
	}
}

// again opens the disk after a stop or a crash and makes sure that everything
// is as it was told.
func (w *world) again(boundary wal.LSN) {
	w.restarts++
	w.stalls += w.stallsHere
	w.stallsHere = 0
	e, err := Open(w.conf)
	if err != nil {
		w.Fatal(err)
	}
	w.engine = e
	if got, told := e.Journal.Synced(), w.pg.Told(); got < told {
		w.Fatalf("the slot was told %s, the disk has %s", told, got)
	}
	if err := e.Durable(w.pg, boundary); err != nil {
		w.Fatal(err)
	}
	e.Run()
	select {
	case <-e.Ingest.CaughtUp():
	case err := <-e.Ended():
		w.Fatalf("the ingest ended: %v", err)
	case <-time.After(time.Minute):
		w.Fatalf("it does not catch up: %+v, the journal ends at %s", e.Ingest.Status(), e.Journal.Synced())
	}
	for _, c := range w.peers {
		if err := c.Reread(e.Registry); err != nil {
			w.gone(c, err)
		}
	}
	if w.connected {
		w.reconnect()
	}
}

// faults are what consumers suffer.
type faults struct {
	mu  sync.Mutex
	all map[shape.ID]*fault
	// frozen, if set, holds up every consumer until it is closed.
	frozen chan struct{}
	// sick, if set, says which consumers panic.
	sick func(shape.ID) bool
}

type fault struct {
	panics  bool
	left    int
	slow    time.Duration
	release chan struct{}
}

func (f *faults) apply(id shape.ID, _ *wal.Change) {
	f.mu.Lock()
	frozen, sick := f.frozen, f.sick
	f.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	if sick != nil && sick(id) {
		panic("a fault of the simulation")
	}
	f.mu.Lock()
	x := f.all[id]
	if x == nil || x.left == 0 {
		f.mu.Unlock()
		return
	}
	x.left--
	f.mu.Unlock()
	switch {
	case x.panics:
		panic("a fault of the simulation")
	case x.slow > 0:
		time.Sleep(x.slow)
	default:
		<-x.release
	}
}

func (f *faults) add(id shape.ID, x *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = make(map[shape.ID]*fault)
	}
	if f.all[id] == nil {
		x.release = make(chan struct{})
		f.all[id] = x
	}
}

// freeze holds up every consumer until thaw.
func (f *faults) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = make(chan struct{})
}

func (f *faults) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.frozen)
	f.frozen = nil
}

// sicken makes consumers panic, nil: none.
func (f *faults) sicken(sick func(shape.ID) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sick = sick
}

// heal ends all faults.
func (f *faults) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		x.left = 0
		close(x.release)
	}
	clear(f.all)
}
