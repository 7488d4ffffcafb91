package chaos

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// Kind is what goes wrong.
type Kind string

// The faults. Those of one shape act in its consumer, before it applies a change.
const (
	Block    Kind = "block"     // waits for something that never comes
	Spin     Kind = "spin"      // loops for ever
	Flood    Kind = "flood"     // has 10,000 events a second of its own to handle
	Panic    Kind = "panic"     // panics, once unless Times says more
	PanicRow Kind = "panic-row" // panics at every change of one row
	Drip     Kind = "drip"      // advances one change at a time, slowly

	SnapshotHang Kind = "snapshot-hang" // the query of first rows gets no answer
	JournalFull  Kind = "journal-full"  // no space left on the journal's disk
	FsyncHang    Kind = "fsync-hang"    // an fsync of the journal does not return
	FsyncError   Kind = "fsync-error"   // an fsync of the journal fails
)

// Kinds are all faults.
var Kinds = []Kind{Block, Spin, Flood, Panic, PanicRow, Drip, SnapshotHang, JournalFull, FsyncHang, FsyncError}

// Request asks for a fault.
type Request struct {
	Fault Kind `json:"fault"`
	// Shape is whose consumer fails, for faults of one shape.
	Shape shape.Handle `json:"shape"`
	// For is how long, such as 90s; empty: until it is lifted.
	For string `json:"for"`
	// Key is the row that panic-row is about, as messages name it.
	Key string `json:"key"`
	// Times is how often block, spin or panic strikes; 0: always, but panic once.
	// Whom it struck stays struck until the fault ends.
	Times int `json:"times"`
	// Heirs: the shapes that take the place of Shape are struck too.
	Heirs bool `json:"heirs"`
}

// Active is a fault that is on.
type Active struct {
	ID    string       `json:"id"`
	Fault Kind         `json:"fault"`
	Shape shape.Handle `json:"shape,omitempty"`
	Key   string       `json:"key,omitempty"`
	Until *time.Time   `json:"until,omitempty"` // none: until it is lifted
	Hits  int          `json:"hits"`            // how often it has struck
}

// Target is the shape that a fault is about.
type Target struct {
	ID  shape.ID
	Def *shape.Def
}

// Options says what Faults works with.
type Options struct {
	// Find returns the shape that has a handle.
	Find func(shape.Handle) (Target, bool)
	// Key returns the canonical form of a shape's definition, "" if it is gone.
	Key func(shape.ID) string
	// Drip is how long a dripping consumer takes for one change.
	Drip   time.Duration
	Logger *slog.Logger
}

// Faults are the faults that are on. A nil *Faults has none and takes none.
type Faults struct {
	opts  Options
	heirs atomic.Int64 // faults that are on and strike heirs

	mu     sync.Mutex // leaf lock
	last   int        // number of the newest
	active []*fault   // the newest last
}

// fault is one fault. Fields up to the blank line are fixed.
type fault struct {
	id     string
	req    Request
	target Target
	key    string     // the target's canonical form
	prefix []byte     // of the keys of the target's table
	until  *time.Time // nil: until it is lifted
	ended  chan struct{}

	// Guarded by Faults.mu.
	hits  int
	timer *time.Timer
	since time.Time // flood: until when its events were handled
}

// New returns an empty list of faults.
func New(opts Options) *Faults { return &Faults{opts: opts} }

// Begin switches a fault on. Its error says how to mend the request.
func (c *Faults) Begin(req Request) (Active, error) {
	f, limit, err := c.check(req)
	if err != nil {
		return Active{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	f.id = "c" + strconv.Itoa(c.last)
	f.since = time.Now()
	if limit > 0 {
		until := f.since.Add(limit)
		f.until = &until
		f.timer = time.AfterFunc(limit, func() { c.Lift(f.id) })
	}
	if req.Heirs {
		c.heirs.Add(1)
	}
	c.active = append(c.active, f)
	c.opts.Logger.Warn("chaos: a fault begins", "id", f.id, "fault", req.Fault, "shape", req.Shape, "key", req.Key, "for", limit)
	return f.show(), nil
}

// List returns the faults that are on.
func (c *Faults) List() []Active {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Active, 0, len(c.active))
	for _, f := range c.active {
		out = append(out, f.show())
	}
	return out
}

// Lift ends a fault; all that it held goes on. false: there is none of that ID.
func (c *Faults) Lift(id string) (Active, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.active {
		if f.id == id {
			c.end(f)
			return f.show(), true
		}
	}
	return Active{}, false
}

// end takes a fault off the list. mu is held.
func (c *Faults) end(f *fault) {
	c.active = slices.DeleteFunc(c.active, func(x *fault) bool { return x == f })
	if f.timer != nil {
		f.timer.Stop()
	}
	close(f.ended)
	if f.req.Heirs {
		c.heirs.Add(-1)
	}
	c.opts.Logger.Warn("chaos: a fault has ended", "id", f.id, "fault", f.req.Fault, "hits", f.hits)
}

// show is the fault as others see it. mu is held.
func (f *fault) show() Active {
	return Active{ID: f.id, Fault: f.req.Fault, Shape: f.req.Shape, Key: f.req.Key, Until: f.until, Hits: f.hits}
}

// on returns the newest fault of one of some kinds that is on, nil if there is
// none, and counts it as having struck.
func (c *Faults) on(kinds ...Kind) *fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range slices.Backward(c.active) {
		if slices.Contains(kinds, f.req.Fault) {
			f.hits++
			return f
		}
	}
	return nil
}
