package engine

import (
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// Life is what happened to a shape, Event one thing of it.
type (
	Life  = registry.Life
	Event = registry.Event
)

// Life tells what happened to a shape that lives here or did. ok is false if
// nothing is known of that handle.
func (e *Engine) Life(h shape.Handle) (l Life, ok bool, err error) { return e.registry.Life(h) }
