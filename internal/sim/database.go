package sim

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Database is what the snapshot room needs of Postgres, played by the model.
type Database struct {
	PG *Postgres
	// Pause, if set, is called between the parts of a snapshot: others go on.
	Pause func()
	// Fail, if it is above zero, makes so many of the next snapshots fail.
	Fail atomic.Int32
	// Broken counts the connections that were cut: queries under way fail.
	Broken atomic.Int64
}

var _ snapshot.Database = (*Database)(nil)

var errQuery = errors.New("sim: the query failed")

func (d *Database) pause() {
	if d.Pause != nil {
		d.Pause()
	}
}

// Publish implements snapshot.Database.
func (d *Database) Publish(_ context.Context, t *shape.Table) (snapshot.Family, error) {
	d.pause()
	p := d.PG
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.tableOf(t)
	if !m.published {
		m.published = true
		p.lsn += 200
	}
	return nil, nil
}

// WritersGone implements snapshot.Database.
func (d *Database) WritersGone(ctx context.Context, t *shape.Table, _ func(context.Context, time.Duration) error) (wal.LSN, error) {
	d.pause()
	p := d.PG
	m := p.tableOf(t)
	p.mu.Lock()
	at := p.lsn
	waiting := slices.Collect(maps.Keys(m.touching))
	p.mu.Unlock()
	for {
		p.mu.Lock()
		waiting = slices.DeleteFunc(waiting, func(tx *Tx) bool {
			_, there := p.open[tx.xid]
			return !there
		})
		changed := p.changed
		p.mu.Unlock()
		if len(waiting) == 0 {
			return at, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Snapshot implements snapshot.Database.
func (d *Database) Snapshot(ctx context.Context, def *shape.Def, _ snapshot.Family, onSight func(wal.Snapshot) error, onStart func() error, onRow func(wal.Tuple) error) error {
	d.pause()
	p := d.PG
	p.mu.Lock()
	content := maps.Clone(p.tableOf(def.Table).visible)
	sees := wal.Snapshot{Xmin: p.xid, Xmax: p.xid}
	for xid := range p.open {
		sees.Xmin = min(sees.Xmin, xid)
		sees.Xip = append(sees.Xip, xid)
	}
	slices.Sort(sees.Xip)
	p.mu.Unlock()
	d.pause()
	// Read after the snapshot was taken, as pgquery does.
	sees.Until = p.End()
	if err := onSight(sees); err != nil {
		return err
	}
	if err := onStart(); err != nil {
		return err
	}
	d.pause()
	broken := d.Broken.Load()
	for n, key := range slices.Sorted(maps.Keys(content)) {
		row := content[key]
		if def.Where != nil {
			in, err := def.Where.Match(row)
			if err != nil {
				return err
			}
			if !in {
				continue
			}
		}
		if d.Broken.Load() != broken {
			return errQuery
		}
		if err := onRow(row); err != nil {
			return err
		}
		if n%20 == 19 {
			d.pause()
		}
	}
	if d.Fail.Load() > 0 {
		d.Fail.Add(-1)
		return errQuery
	}
	return ctx.Err()
}

// Explain implements snapshot.Database.
func (d *Database) Explain(err error) error {
	return &snapshot.Failure{Message: "the model's query failed", Err: err}
}

// PauseFor returns a Pause that sleeps up to most.
func PauseFor(rng *rand.Rand, most time.Duration) func() {
	var n atomic.Uint64
	seed := rng.Uint64()
	return func() {
		r := rand.New(rand.NewPCG(seed, n.Add(1)))
		time.Sleep(time.Duration(r.Int64N(int64(most))))
	}
}
