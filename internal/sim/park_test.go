package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// A shape that fails wherever it is built anew is parked, through a crash too;
// nobody else notices. When what was wrong with it is mended it comes back by
// itself, and its clients have what the model has.
func TestParkedComesBack(t *testing.T) {
	for name, crash := range map[string]func(*world){"": func(*world) {}, "kill": (*world).kill, "restart": (*world).restart} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { parked(t, crash) })
		})
	}
}

func parked(t *testing.T, crash func(*world)) {
	w := newWorld(t, 5)
	w.conf.Grace = 3 * time.Second
	defer func() {
		if t.Failed() {
			w.tell()
		}
		w.close()
	}()
	w.start()
	w.createOn(w.pg.Table(0), shape.Params{})
	w.createOn(w.pg.Table(0), shape.Params{Where: "i < 20"})
	w.settle()
	c, other := w.peers[0], w.peers[1]
	well := other.Handle
	c.hurt = true
	w.faults.sicken(func(id shape.ID) bool {
		sp := w.engine.Registry.ByID(id)
		return sp != nil && sp.Def().Where == nil
	})
	state := func() registry.State {
		if sp, err := w.engine.Creator.Create(c.def); err == nil {
			return sp.State()
		}
		return registry.Live
	}
	w.until("the shape to be parked", func() bool {
		w.storm()
		w.poll()
		c.hurt = true // whatever takes its place is sick too
		return state() == registry.Parked
	})
	crash(w)
	c.hurt = true
	if got := state(); got != registry.Parked {
		t.Errorf("the shape is %s after the crash", got)
	}
	w.faults.sicken(nil)
	w.settle()
	if got := state(); got != registry.Live {
		t.Errorf("the shape is %s in the end", got)
	}
	if other.Handle != well {
		t.Errorf("the other shape ended: %v", w.ends)
	}
}
