package chaos

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// floodRate is how many events a second a flood has.
	floodRate = 10_000
	// floodBytes is what one event of a flood has to work through, in bytes:
	// some 10 to 30 µs.
	floodBytes = 8 << 10
)

// BeforeApply is called by whoever is about to give a shape's consumer a change.
// It may take for ever, or panic.
func (c *Faults) BeforeApply(id shape.ID, ch *wal.Change) {
	for _, f := range c.strikes(id, c.key(id), ch) {
		switch f.req.Fault {
		case Block:
			f.block()
		case Spin:
			f.spin()
		case Flood:
			c.flood(f)
		case Drip:
			f.drip(c.opts.Drip)
		case Panic, PanicRow:
			panic(fmt.Sprintf("chaos %s: a fault made on purpose", f.id))
		}
	}
}

// key is the definition of a shape, if any fault asks for it.
func (c *Faults) key(id shape.ID) string {
	if c.heirs.Load() == 0 {
		return ""
	}
	return c.opts.Key(id)
}

// strikes are the faults that a change runs into.
func (c *Faults) strikes(id shape.ID, key string, ch *wal.Change) []*fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*fault
	for _, f := range slices.Clone(c.active) {
		switch {
		case f.target.Def == nil:
			continue
		case f.target.ID != id && (!f.req.Heirs || key != f.key):
			continue
		case f.req.Times > 0 && f.hits >= f.req.Times:
			continue
		case f.req.Fault == PanicRow && !f.touches(ch):
			continue
		}
		f.hits++
		out = append(out, f)
		if f.req.Fault == Panic && f.hits == f.req.Times {
			c.end(f) // it holds nobody
		}
	}
	return out
}

// touches reports whether a change is one of the fault's row.
func (f *fault) touches(ch *wal.Change) bool {
	t := f.target.Def.Table
	m, err := shape.Map(t, ch.Rel)
	if err != nil {
		return false
	}
	for _, row := range []wal.Tuple{ch.Old, ch.New} {
		if row == nil {
			continue
		}
		if string(shape.AppendKey(nil, t, m.Row(row, nil))) == f.req.Key {
			return true
		}
	}
	return false
}

// block waits for what never comes.
func (f *fault) block() { <-f.ended }

// spin is a loop whose end was forgotten.
func (f *fault) spin() {
	for {
		select {
		case <-f.ended:
			return
		default:
		}
	}
}

// flood works off the events that have come since the last change.
func (c *Faults) flood(f *fault) {
	c.mu.Lock()
	now := time.Now()
	due := int(min(now.Sub(f.since), time.Second) * floodRate / time.Second)
	f.since = now
	c.mu.Unlock()
	var event [floodBytes]byte
	for range due {
		sum := sha256.Sum256(event[:])
		copy(event[:], sum[:])
	}
}

// drip takes its time.
func (f *fault) drip(each time.Duration) {
	t := time.NewTimer(each)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.ended:
	}
}

// BeforeSnapshot is called before the first rows of a shape are read. A query
// that hangs ends with its connection, so this one heeds ctx.
func (c *Faults) BeforeSnapshot(ctx context.Context) error {
	if c == nil {
		return nil
	}
	f := c.on(SnapshotHang)
	if f == nil {
		return nil
	}
	select {
	case <-f.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
