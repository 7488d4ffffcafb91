package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Keys of the catalogue; numbers are 8 bytes, big endian.
//
//	v         version of the format
//	f name    fact
//	t number  tableRecord
//	z sum     zoneRecord
//	s id      shapeRecord
//	l id      liveRecord
//	b id      first rows, if small (shapelog.Snapshot.Inline)
//	x id      Tombstone
//	q id      illRecord, of a shape that is out of the stream
//	g id      nothing: the shape's failures are forgiven
//	k id      Strike
//	e id seq  Event
const (
	kindVersion = 'v'
	kindFact    = 'f'
	kindTable   = 't'
	kindZone    = 'z'
	kindShape   = 's'
	kindLive    = 'l'
	kindRows    = 'b'
	kindTomb    = 'x'
	kindIll     = 'q'

	kindForgiven = 'g'
	kindStrike   = 'k'
	kindEvent    = 'e'

	formatVersion = "2"
	// olderFormat had no cursors in the entries of shape logs (docs/format.md), and is
	// else the same.
	olderFormat = "1"
)

func key(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func factKey(name string) []byte { return append([]byte{kindFact}, name...) }

func readNumber(b []byte) (uint64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

func openCatalogue(o *Options) (*pebble.DB, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if !o.readOnly {
		if err := shapelog.MakeDir(o.FS, o.Dir); err != nil {
			return nil, err
		}
	}
	db, err := pebble.Open(o.Dir, &pebble.Options{
		FS:                 o.FS,
		ReadOnly:           o.readOnly,
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          8 << 20,
		MemTableSize:       4 << 20,
		MaxOpenFiles:       100,
		Logger:             shapelog.PebbleLogger(o.Logger),
		EventListener:      &pebble.EventListener{BackgroundError: o.Events.BackgroundError},
	})
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	return db, nil
}

func encodeTable(t *shape.Table) ([]byte, error) {
	return encode("table "+t.Name, recordTable(t))
}

// commit writes a batch and waits until it is durable.
func (r *Registry) commit(what string, fill func(b *pebble.Batch) error) (err error) {
	b := r.db.NewBatch()
	defer func() {
		if err = errors.Join(err, b.Close()); err != nil {
			err = fmt.Errorf("catalogue: %s: %w", what, err)
		}
	}()
	if err := fill(b); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

func (r *Registry) storeShape(s *Shape, number uint64, encoded []byte, withTable bool) error {
	rec, err := encode("shape", recordShape(s, number))
	if err != nil {
		return err
	}
	zones := r.newZones(s.def.Where)
	err = r.commit("create shape", func(b *pebble.Batch) error {
		for _, z := range zones {
			if err := storeZone(b, z); err != nil {
				return err
			}
		}
		if withTable {
			if err := b.Set(key(kindTable, number), encoded, nil); err != nil {
				return err
			}
		}
		return b.Set(key(kindShape, uint64(s.id)), rec, nil)
	})
	if err == nil {
		r.haveZones(zones)
	}
	return err
}

func (r *Registry) storeLive(s *Shape, sees *wal.Snapshot, chunks int, rows []byte) error {
	rec, err := encode("live shape", liveRecord{
		Xmin: sees.Xmin, Xmax: sees.Xmax, Xip: sees.Xip, Until: sees.Until, Chunks: chunks,
	})
	if err != nil {
		return err
	}
	return r.commit("complete shape", func(b *pebble.Batch) error {
		if rows != nil {
			if err := b.Set(key(kindRows, uint64(s.id)), rows, nil); err != nil {
				return err
			}
		}
		return b.Set(key(kindLive, uint64(s.id)), rec, nil)
	})
}

func (r *Registry) storeTombstone(s *Shape, reason shape.Reason) error {
	return r.commit("remove shape", func(b *pebble.Batch) error { return bury(b, s.tombstone(reason)) })
}

func (s *Shape) tombstone(reason shape.Reason) Tombstone {
	t := Tombstone{
		ID: s.id, Handle: s.Handle(),
		Schema: s.def.Table.Schema, Table: s.def.Table.Name,
		Reason: reason, Created: s.created, Removed: time.Now().UnixMicro(),
	}
	if s.def.Where != nil {
		t.Where = s.def.Where.SQL()
	}
	return t
}

// bury replaces all of a shape's records by a tombstone. A liveRecord that is
// written later by a completion that did not notice stays alone, and the next
// Open removes it.
func bury(b *pebble.Batch, t Tombstone) error {
	rec, err := encode("tombstone", t)
	if err != nil {
		return err
	}
	for _, kind := range []byte{kindShape, kindLive, kindRows, kindIll, kindForgiven, kindStrike} {
		if err := b.Delete(key(kind, uint64(t.ID)), nil); err != nil {
			return err
		}
	}
	return b.Set(key(kindTomb, uint64(t.ID)), rec, nil)
}

// Tombstone tells what became of a handle that is not there any more.
func (r *Registry) Tombstone(h shape.Handle) (t Tombstone, ok bool, err error) {
	id, ok := handleID(h)
	if !ok {
		return t, false, nil
	}
	v, closer, err := r.db.Get(key(kindTomb, uint64(id)))
	if errors.Is(err, pebble.ErrNotFound) {
		return t, false, nil
	}
	if err != nil {
		return t, false, fmt.Errorf("catalogue: read tombstone: %w", err)
	}
	err = decode("tombstone", v, &t)
	if err = errors.Join(err, closer.Close()); err != nil {
		return t, false, err
	}
	return t, t.Handle == h, nil
}

// inlineSnapshot reads the first rows that are in the catalogue.
func (r *Registry) inlineSnapshot(s *Shape) (*shapelog.Snapshot, error) {
	v, closer, err := r.db.Get(key(kindRows, uint64(s.id)))
	if err != nil {
		// Its tombstone may be there already, which is being made durable before anybody
		// is told.
		_, gone, terr := r.Tombstone(s.Handle())
		if gone || s.removed.Load() != nil {
			return nil, ErrRemoved
		}
		return nil, fmt.Errorf("catalogue: read first rows of shape %d: %w", s.id, errors.Join(err, terr))
	}
	own := append([]byte{}, v...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("catalogue: read first rows of shape %d: %w", s.id, err)
	}
	return shapelog.DecodeInline(s.id, own)
}

// trimTombstones forgets the tombstones of the lowest IDs once there are a tenth
// more than are kept. The one with the greatest ID stays: that is how Open knows
// which IDs were used.
func (r *Registry) trimTombstones() error {
	r.mu.Lock()
	n := r.nTombs - keepTombstones
	if n <= keepTombstones/10 || r.trimming {
		r.mu.Unlock()
		return nil
	}
	r.trimming = true
	r.mu.Unlock()

	trimmed, err := r.dropTombstones(n)
	r.mu.Lock()
	r.trimming = false
	r.nTombs -= trimmed
	r.mu.Unlock()
	return err
}

var errEnough = errors.New("enough")

func (r *Registry) dropTombstones(n int) (dropped int, err error) {
	err = r.scanNumbers(kindTomb, func(id uint64, _ []byte) error {
		if dropped == n {
			return errEnough
		}
		dropped++
		return errors.Join(r.db.Delete(key(kindTomb, id), pebble.NoSync),
			r.db.DeleteRange(key(kindEvent, id), key(kindEvent, id+1), pebble.NoSync))
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return dropped, err
}
