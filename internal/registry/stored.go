package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Catalogue is a catalogue as it lies on disk, before a start makes of it what it
// must: shapes whose first rows are not complete are still there. Nothing is changed.
type Catalogue struct {
	r       *Registry
	version string // of its format
	tables  map[uint64]tableRecord
}

// Stored is a shape as the catalogue has it.
type Stored struct {
	ID            shape.ID
	Handle        shape.Handle
	Schema, Table string
	Where         string
	Columns       []string // in the order of the table
	Replica       shape.Replica
	Log           shape.LogMode
	Start         wal.LSN
	Created       time.Time
	State         State
	Reason        shape.Reason // why it is ill; "": it is not
	HeirOf        shape.ID     // it is to take the place of that one; 0: of none

	// Of a shape whose first rows are complete:
	Sees   *wal.Snapshot
	Chunks int // files; 0: the rows are in the catalogue
}

// OpenCatalogue opens a catalogue that nobody writes, and changes nothing. Log and
// Events of the options are not used.
func OpenCatalogue(o Options) (*Catalogue, error) {
	o.readOnly = true
	db, err := openCatalogue(&o)
	if err != nil {
		return nil, err
	}
	c := &Catalogue{r: &Registry{db: db}, tables: make(map[uint64]tableRecord)}
	if err := c.begin(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Catalogue) begin() error {
	var err error
	if c.version, err = c.r.version(); err != nil {
		return err
	}
	return c.r.scanNumbers(kindTable, func(n uint64, v []byte) error {
		var rec tableRecord
		if err := decode("table", v, &rec); err != nil {
			return err
		}
		c.tables[n] = rec
		return nil
	})
}

// get returns a copy of a value, nil if there is none.
func (c *Catalogue) get(k []byte) ([]byte, error) {
	v, closer, err := c.r.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	own := append([]byte{}, v...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	return own, nil
}

// Close closes it.
func (c *Catalogue) Close() error { return c.r.Close() }

// Version is that of its format.
func (c *Catalogue) Version() string { return c.version }

// Facts hands out what the engine has noted.
func (c *Catalogue) Facts(yield func(name string, value []byte) error) error {
	return c.r.scan(kindFact, func(k, v []byte) error { return yield(string(k), v) })
}

// Tombstones hands out what remains of removed shapes, the oldest ID first.
func (c *Catalogue) Tombstones(yield func(Tombstone) error) error {
	return c.r.scanNumbers(kindTomb, func(_ uint64, v []byte) error {
		var t Tombstone
		if err := decode("tombstone", v, &t); err != nil {
			return err
		}
		return yield(t)
	})
}

// Shapes hands out the shapes that are not removed, the oldest ID first.
func (c *Catalogue) Shapes(yield func(*Stored) error) error {
	return c.r.scanNumbers(kindShape, func(n uint64, v []byte) error {
		s, err := c.stored(shape.ID(n), v)
		if err != nil {
			return err
		}
		return yield(s)
	})
}

// Shape returns the shape of a handle; nil if there is none.
func (c *Catalogue) Shape(h shape.Handle) (*Stored, error) {
	id, ok := handleID(h)
	if !ok {
		return nil, nil
	}
	v, err := c.get(key(kindShape, uint64(id)))
	if err != nil || v == nil {
		return nil, err
	}
	s, err := c.stored(id, v)
	if err != nil || s.Handle != h {
		return nil, err
	}
	return s, nil
}

// Tombstone returns what remains of a handle's shape.
func (c *Catalogue) Tombstone(h shape.Handle) (t Tombstone, ok bool, err error) {
	return c.r.Tombstone(h)
}

// Rows returns the first rows that are in the catalogue, nil if they are in files.
func (c *Catalogue) Rows(id shape.ID) (*shapelog.Snapshot, error) {
	v, err := c.get(key(kindRows, uint64(id)))
	if err != nil || v == nil {
		return nil, err
	}
	return shapelog.DecodeInline(id, v)
}

func (c *Catalogue) stored(id shape.ID, rec []byte) (*Stored, error) {
	var sr shapeRecord
	if err := decode("shape", rec, &sr); err != nil {
		return nil, err
	}
	t, ok := c.tables[sr.Table]
	if !ok {
		return nil, fmt.Errorf("catalogue: shape %d is on table %d, which is missing", id, sr.Table)
	}
	s := &Stored{
		ID: id, Handle: sr.Handle, Schema: t.Schema, Table: t.Name, Where: sr.Where, Replica: sr.Replica, Log: sr.Log,
		Start: sr.Start, Created: time.UnixMicro(sr.Created), HeirOf: sr.HeirOf,
	}
	for _, i := range sr.Columns {
		if i < 0 || i >= len(t.Columns) {
			return nil, fmt.Errorf("catalogue: shape %d has column %d of %d", id, i, len(t.Columns))
		}
		s.Columns = append(s.Columns, t.Columns[i].Name)
	}
	live, err := c.get(key(kindLive, uint64(id)))
	if err != nil || live == nil {
		return s, err
	}
	var lr liveRecord
	if err := decode("live shape", live, &lr); err != nil {
		return nil, err
	}
	s.State, s.Chunks = Live, lr.Chunks
	s.Sees = &wal.Snapshot{Xmin: lr.Xmin, Xmax: lr.Xmax, Xip: lr.Xip, Until: lr.Until}
	return s, c.addIllness(s)
}

func (c *Catalogue) addIllness(s *Stored) error {
	v, err := c.get(key(kindIll, uint64(s.ID)))
	if err != nil || v == nil {
		return err
	}
	var ill illRecord
	if err := decode("illness", v, &ill); err != nil {
		return err
	}
	s.State, s.Reason = Quarantined, ill.Reason
	if ill.Parked {
		s.State = Parked
	}
	return nil
}
