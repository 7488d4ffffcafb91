package registry

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Fact returns what the engine once noted under that name (the system
// identifier, the slot, the boundary …), and whether it did. The bytes must not
// be changed.
func (r *Registry) Fact(name string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.facts[name]
	return v, ok
}

// SetFact notes a fact; a nil value forgets it. With sync it is durable when
// SetFact returns; without, it becomes so with the next synced write of any
// kind, and a crash may bring the older value back. One goroutine at a time may
// set the same name.
func (r *Registry) SetFact(name string, value []byte, sync bool) error {
	o := pebble.NoSync
	if sync {
		o = pebble.Sync
	}
	var err error
	if value == nil {
		err = r.db.Delete(factKey(name), o)
	} else {
		err = r.db.Set(factKey(name), value, o)
	}
	if err != nil {
		return fmt.Errorf("note fact %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil {
		delete(r.facts, name)
	} else {
		r.facts[name] = append([]byte{}, value...)
	}
	return nil
}
