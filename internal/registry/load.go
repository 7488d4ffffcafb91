package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// loading is what Open needs besides the registry itself.
type loading struct {
	r       *Registry
	log     *slog.Logger
	told    func(shapes int) error
	read    int   // shapes
	now     int64 // µs since 1970
	tables  map[uint64]*loadedTable
	zones   map[string]*loadedZone // by sum
	bury    []Tombstone
	orphans [][]byte          // keys that belong to nothing
	heirs   []*Shape          // successors that are live
	lost    map[shape.ID]bool // whose successor was not finished
	rewrite [][2][]byte       // keys and what they are to hold
}

type loadedTable struct {
	*table
	cols []expr.Column // for expr.Compile
}

// load fills the registry from the catalogue and the shape logs.
func (r *Registry) load(o *Options) error {
	l := &loading{
		r: r, log: o.Logger, told: o.Progress, now: time.Now().UnixMicro(),
		tables: map[uint64]*loadedTable{}, zones: map[string]*loadedZone{}, lost: map[shape.ID]bool{},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	for _, step := range []func() error{
		r.checkVersion, l.facts, l.readTables, l.readZones, l.tombstones, l.shapes, l.ill, l.promote, l.clean, l.tails, l.order,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := r.trimTombstones(); err != nil {
		return err
	}
	err := r.log.Sweep(func(id shape.ID) bool { return r.shapes.get(id) != nil })
	if err != nil {
		return fmt.Errorf("open catalogue: %w", err)
	}
	return nil
}

// checkVersion refuses a catalogue of a format that is not known, and marks a new one.
// So it does one of the older format, which a program of that time must not read again.
func (r *Registry) checkVersion() error {
	v, err := r.version()
	if err != nil || v == formatVersion {
		return err
	}
	return r.commit("begin", func(b *pebble.Batch) error {
		return b.Set([]byte{kindVersion}, []byte(formatVersion), nil)
	})
}

// version is that of the format, empty for a new catalogue.
func (r *Registry) version() (string, error) {
	v, closer, err := r.db.Get([]byte{kindVersion})
	if errors.Is(err, pebble.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("catalogue: read version: %w", err)
	}
	version := string(v)
	if version != formatVersion && version != olderFormat {
		err = fmt.Errorf("catalogue: its format is %q, this program knows %q and %q", version, olderFormat, formatVersion)
	}
	return version, errors.Join(err, closer.Close())
}

// scan hands all keys of one kind, without the kind, and their values to f; or
// those from one up to another.
func (r *Registry) scan(kind byte, f func(k, v []byte) error, bounds ...[]byte) (err error) {
	lower, upper := []byte{kind}, []byte{kind + 1}
	if len(bounds) == 2 {
		lower, upper = append([]byte{kind}, bounds[0]...), append([]byte{kind}, bounds[1]...)
	}
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read catalogue: %w", err)
	}
	defer func() {
		if cerr := it.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("read catalogue: %w", cerr))
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read catalogue: %w", err)
		}
		if err := f(it.Key()[1:], v); err != nil {
			return err
		}
	}
	return nil
}

// scanNumbers is scan for the kinds whose keys are numbers.
func (r *Registry) scanNumbers(kind byte, f func(n uint64, v []byte) error) error {
	return r.scan(kind, func(k, v []byte) error {
		n, ok := readNumber(k)
		if !ok {
			return fmt.Errorf("catalogue: key %q%x is damaged", kind, k)
		}
		return f(n, v)
	})
}

func (l *loading) facts() error {
	return l.r.scan(kindFact, func(k, v []byte) error {
		l.r.facts[string(k)] = append([]byte{}, v...)
		return nil
	})
}

func (l *loading) readTables() error {
	return l.r.scanNumbers(kindTable, func(n uint64, v []byte) error {
		var rec tableRecord
		if err := decode("table", v, &rec); err != nil {
			return err
		}
		t := &loadedTable{table: &table{number: n, t: rec.table(), durable: true}}
		for i := range t.t.Columns {
			t.cols = append(t.cols, t.t.Columns[i].Column)
		}
		// Encoded anew: this program may write a field that the record lacks.
		encoded, err := encodeTable(t.t)
		if err != nil {
			return err
		}
		l.tables[n] = t
		t.encoded = string(encoded)
		l.r.tables.add(t.table)
		return nil
	})
}

func (l *loading) tombstones() error {
	return l.r.scanNumbers(kindTomb, func(n uint64, _ []byte) error {
		l.r.nTombs++
		l.r.nextID = max(l.r.nextID, shape.ID(n)+1)
		return nil
	})
}

// shapes walks over shape records and live records side by side.
func (l *loading) shapes() (err error) {
	live, err := l.r.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindLive}, UpperBound: []byte{kindLive + 1}})
	if err != nil {
		return fmt.Errorf("read catalogue: %w", err)
	}
	defer func() {
		if cerr := live.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("read catalogue: %w", cerr))
		}
	}()
	live.First()
	// next returns the live record of shape n; those before it have no shape.
	next := func(n uint64) (rec []byte, err error) {
		for ; live.Valid(); live.Next() {
			m, ok := readNumber(live.Key()[1:])
			if ok && m > n {
				break
			}
			if ok && m == n {
				return live.ValueAndErr()
			}
			l.orphan(live.Key())
		}
		return nil, live.Error()
	}
	err = l.r.scanNumbers(kindShape, func(n uint64, v []byte) error {
		if l.read++; l.read%256 == 0 && l.told != nil {
			if err := l.told(l.read); err != nil {
				return fmt.Errorf("read catalogue: %w", err)
			}
		}
		l.r.nextID = max(l.r.nextID, shape.ID(n)+1)
		rec, err := next(n)
		if err != nil {
			return fmt.Errorf("read catalogue: %w", err)
		}
		if err := l.shape(shape.ID(n), v, rec); err != nil {
			return err
		}
		if rec != nil { // valid up to here
			live.Next()
		}
		return nil
	})
	if err != nil {
		return err
	}
	for ; live.Valid(); live.Next() {
		l.orphan(live.Key())
	}
	return live.Error()
}

// orphan notes the live record at k, and what goes with it, for deletion.
func (l *loading) orphan(k []byte) {
	rows := append([]byte{kindRows}, k[1:]...)
	l.orphans = append(l.orphans, append([]byte{}, k...), rows)
}

// shape loads one shape; live is nil if its first rows were not complete.
func (l *loading) shape(id shape.ID, rec, live []byte) error {
	var sr shapeRecord
	if err := decode("shape", rec, &sr); err != nil {
		return err
	}
	t := l.tables[sr.Table]
	if t == nil {
		return fmt.Errorf("catalogue: shape %d is on table %d, which is missing", id, sr.Table)
	}
	reason := shape.ReasonRestart
	if live == nil && sr.HeirOf != 0 {
		l.lost[sr.HeirOf] = true
	}
	if live != nil {
		var lr liveRecord
		if err := decode("live shape", live, &lr); err != nil {
			return err
		}
		def, err := l.def(&sr, t)
		if err == nil {
			l.add(id, &sr, &lr, &def)
			t.users++
			return nil
		}
		l.log.Warn("shape's definition cannot be read any more", "handle", string(sr.Handle), "err", err)
		reason = shape.ReasonEvaluation
	}
	l.bury = append(l.bury, Tombstone{
		ID: id, Handle: sr.Handle, Schema: t.t.Schema, Table: t.t.Name, Where: sr.Where,
		Reason: reason, Created: sr.Created, Removed: l.now,
	})
	return nil
}

func (l *loading) def(sr *shapeRecord, t *loadedTable) (shape.Def, error) {
	d := shape.Def{
		Table: t.t, Columns: sr.Columns, AllColumns: sr.AllColumns,
		Replica: sr.Replica, Log: sr.Log,
	}
	for _, c := range d.Columns {
		if c < 0 || c >= len(t.cols) {
			return d, fmt.Errorf("column %d of %d", c, len(t.cols))
		}
	}
	d.Columns = t.share(d.Columns)
	if sr.Where != "" {
		zones, err := l.zonesOf(sr)
		if err != nil {
			return d, err
		}
		where, err := zones.Reload(sr.Where, t.cols)
		if err != nil {
			return d, err
		}
		d.Where = where
	}
	return d, nil
}

func (l *loading) add(id shape.ID, sr *shapeRecord, lr *liveRecord, def *shape.Def) {
	s := &Shape{
		reg: l.r, def: *def, id: id,
		start: sr.Start, created: sr.Created,
		state: Live, chunks: int32(lr.Chunks), tail: wal.AfterSnapshot,
		sees: wal.Snapshot{Xmin: lr.Xmin, Xmax: lr.Xmax, Xip: lr.Xip, Until: lr.Until}, seesAny: true,
	}
	s.setHandle(sr.Handle)
	s.used.Store(l.now)
	s.heirOf = sr.HeirOf
	s.failures.Store(int32(sr.Failures))
	l.r.shapes.add(s)
	if s.heirOf != 0 {
		l.heirs = append(l.heirs, s)
	} else {
		l.r.byKey.put(s)
	}
	l.r.nLive++
	t := l.r.tables.byTable[def.Table]
	t.live = max(t.live, id)
}

// ill reads what says that shapes are not well, or are again.
func (l *loading) ill() error {
	err := l.r.scanNumbers(kindForgiven, func(n uint64, _ []byte) error {
		if s := l.r.shapes.get(shape.ID(n)); s != nil {
			s.failures.Store(0)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.r.scanNumbers(kindIll, func(n uint64, v []byte) error { return l.illness(shape.ID(n), v) })
}

// clean removes what must not live on, in one batch.
func (l *loading) clean() error {
	var drop [][]byte
	drop = append(drop, l.orphans...)
	for n, t := range l.tables {
		if t.users == 0 {
			drop = append(drop, key(kindTable, n))
			l.r.tables.leave(t.table)
		}
	}
	for sum, z := range l.zones {
		if z.used {
			l.r.zones[sum] = true
		} else {
			drop = append(drop, zoneKey(sum))
		}
	}
	if len(drop)+len(l.bury)+len(l.rewrite) == 0 {
		return nil
	}
	l.r.nTombs += len(l.bury)
	return l.r.commit("clean up", func(b *pebble.Batch) error {
		for _, k := range drop {
			if err := b.Delete(k, nil); err != nil {
				return err
			}
		}
		for _, kv := range l.rewrite {
			if err := b.Set(kv[0], kv[1], nil); err != nil {
				return err
			}
		}
		for _, t := range l.bury {
			if err := bury(b, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// tails asks the shape logs how far each shape has come.
func (l *loading) tails() error {
	err := l.r.log.Cursors(func(id shape.ID, _ shape.Epoch, c shape.Cursor) error {
		if s := l.r.shapes.get(id); s != nil {
			s.Publish(c.Tail, max(c.Pos, 1)-1)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open catalogue: %w", err)
	}
	return nil
}

// order puts the shapes in the order of their IDs: nothing is known of their use.
func (l *loading) order() error {
	for s := range l.r.All() {
		l.r.recency.enter(s)
	}
	return nil
}
