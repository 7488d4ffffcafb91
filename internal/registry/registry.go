package registry

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
)

// keepTombstones is how many removed shapes are remembered. The one with the
// greatest ID is always among them.
const keepTombstones = 10_000

// Options says where the catalogue lives.
type Options struct {
	FS  vfs.FS // nil: the machine's
	Dir string // made if missing
	// Log has the shapes' logs. Open asks it for the tails and sweeps out what
	// the catalogue does not know.
	Log    *shapelog.Log
	Logger *slog.Logger // nil: silent
	// Progress, if not nil, is told now and then how many shapes Open has read:
	// a million take half a minute. Its error ends Open.
	Progress func(shapes int) error
	// Events is what the catalogue's Pebble tells.
	Events shapelog.Events

	readOnly bool // see OpenCatalogue
}

// Registry is the shapes that live here. Its methods may be called from any
// goroutine.
type Registry struct {
	db  *pebble.DB
	log *shapelog.Log

	recency recency

	mu       sync.Mutex // never held across I/O
	shapes   roll
	byKey    directory
	creating map[string]*creation  // by key
	coming   map[shape.ID]struct{} // have a number, and are not in shapes yet
	removing map[shape.ID]*removal // still in shapes
	tables   tables
	zones    map[string]bool // sums of those whose records are durable
	facts    map[string][]byte
	ill      map[shape.ID]*Shape // quarantined and parked ones
	heirs    map[shape.ID]*Shape // the successor of an ill one, nil while it is being made
	nextID   shape.ID
	nLive    int
	nTombs   int
	trimming bool // one goroutine removes old tombstones
}

// creation is one creation that several callers wait for.
type creation struct {
	done  chan struct{} // closed at its end
	shape *Shape        // valid after done, as is err
	err   error
}

// removal is one removal that several callers wait for.
type removal struct {
	done chan struct{} // closed at its end
	err  error         // valid after done
}

// Open loads the catalogue. Shapes whose first rows were not complete, or whose
// definition cannot be read any more, are removed.
func Open(o Options) (*Registry, error) {
	db, err := openCatalogue(&o)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		db: db, log: o.Log,
		shapes:   newRoll(),
		creating: map[string]*creation{},
		coming:   map[shape.ID]struct{}{},
		removing: map[shape.ID]*removal{},
		tables:   newTables(),
		zones:    map[string]bool{},
		facts:    map[string][]byte{},
		ill:      map[shape.ID]*Shape{},
		heirs:    map[shape.ID]*Shape{},
		nextID:   1,
	}
	r.recency.init()
	r.byKey = newDirectory(&r.shapes)
	if err := r.load(&o); err != nil {
		_ = db.Close() // the first error counts
		return nil, err
	}
	return r, nil
}

// Close closes the catalogue. No other call may be running or come after it.
func (r *Registry) Close() error {
	if err := r.db.Close(); err != nil {
		return fmt.Errorf("close catalogue: %w", err)
	}
	return nil
}

// Find returns the shape of a definition (shape.Def.Key), or nil.
func (r *Registry) Find(key string) *Shape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byKey.find(key)
}

// ByID returns the shape of that number, or nil.
func (r *Registry) ByID(id shape.ID) *Shape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shapes.get(id)
}

// ByHandle returns the shape of that handle, or nil.
func (r *Registry) ByHandle(h shape.Handle) *Shape {
	id, ok := handleID(h)
	if !ok {
		return nil
	}
	if s := r.ByID(id); s != nil && s.Named(h) {
		return s
	}
	return nil
}

// Settled is the newest number behind which no shape will come any more that has it or
// a lower one.
func (r *Registry) Settled() shape.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	settled := r.nextID - 1
	for id := range r.coming {
		settled = min(settled, id-1)
	}
	return settled
}

// Len is the number of shapes.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shapes.len()
}

// Counts is the number of shapes in each state, and of removed ones that are
// remembered.
type Counts struct{ Snapshotting, Live, Quarantined, Parked, Tombstones int }

// Counts returns the numbers; it does not visit those that are well.
func (r *Registry) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Counts{Snapshotting: r.shapes.len() - r.nLive - len(r.ill), Live: r.nLive, Tombstones: r.nTombs}
	for _, s := range r.ill {
		if s.State() == Parked {
			c.Parked++
		} else {
			c.Quarantined++
		}
	}
	return c
}
