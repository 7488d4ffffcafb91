package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// roomWait is how long a new shape waits for older ones to go.
const roomWait = 10 * time.Second

// ErrNoRoom: the limit of shapes is reached and none went in time.
var ErrNoRoom = errors.New("the limit of shapes is reached")

// createWithin makes a shape without exceeding Config.MaxShapes: others go
// first, those nobody waits on before those somebody does, the least recently
// used before the others. One shape is made at a time then; that is what keeps
// the limit.
func (e *Engine) createWithin(ctx context.Context, def *shape.Def) (*registry.Shape, error) {
	ctx, cancel := context.WithTimeout(ctx, roomWait)
	defer cancel()
	select {
	case e.door <- struct{}{}:
		defer func() { <-e.door }()
	case <-ctx.Done():
		return nil, noRoom(ctx)
	}
	if sp := e.Find(def); sp != nil { // made meanwhile
		return sp, nil
	}
	for _, sp := range e.registry.Expendable(e.registry.Len() + 1 - e.cfg.MaxShapes) {
		detail := fmt.Sprintf("SPILLWAY_MAX_SHAPES is %d; last used %s", e.cfg.MaxShapes, sp.LastUsed().UTC().Format(time.RFC3339))
		e.stream.Load().ingest.Remove(sp, shape.ReasonMaxShapes, detail)
		if err := awaitRemoval(ctx, sp); err != nil {
			return nil, err
		}
	}
	return e.creator.Create(def)
}

func awaitRemoval(ctx context.Context, sp *registry.Shape) error {
	for {
		changed := sp.Changed()
		if _, gone := sp.Removed(); gone {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return noRoom(ctx)
		}
	}
}

func noRoom(ctx context.Context) error { return fmt.Errorf("%w: %w", ErrNoRoom, context.Cause(ctx)) }
