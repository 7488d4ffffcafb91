package engine

import (
	"time"

	"github.com/spillway-sync/spillway/internal/chaos"
	"github.com/spillway-sync/spillway/internal/shape"
)

// newChaos makes the faults that operators can switch on.
func (e *Engine) newChaos() *chaos.Faults {
	e.log.Warn("chaos is on: whoever reaches the operators' address can make this service fail on purpose (POST /chaos)")
	return chaos.New(chaos.Options{
		Find: func(h shape.Handle) (chaos.Target, bool) {
			sp := e.registry.ByHandle(h)
			if sp == nil {
				return chaos.Target{}, false
			}
			return chaos.Target{ID: sp.ID(), Def: sp.Def()}, true
		},
		Key: func(id shape.ID) string {
			if sp := e.registry.ByID(id); sp != nil {
				return sp.Key()
			}
			return ""
		},
		// Too lively for the watchdog, too slow for any stream.
		Drip:   min(e.cfg.StallGrace/2, time.Minute),
		Logger: e.log,
	})
}

// Chaos returns the faults that can be switched on, nil if Config.Chaos is off.
func (e *Engine) Chaos() *chaos.Faults { return e.chaos }
