package ingest

import (
	"fmt"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// noteQueue is how many notes wait for the catalogue at the most: beyond that the
// oldest are left out, since whoever takes a note must not wait for a disk.
const noteQueue = 1024

// note is something that is to be kept of a shape's life.
type note struct {
	id     shape.ID
	event  registry.Event
	strike registry.Strike // if Count > 0
}

// notes are on their way to the catalogue. The undertaker takes them there.
type notes struct {
	mu    sync.Mutex // leaf lock
	queue []note
	poke  chan<- struct{} // the undertaker's
}

func (n *notes) add(id shape.ID, what, detail, evidence string) {
	n.put(note{id: id, event: registry.Event{At: time.Now(), What: what, Detail: detail, Evidence: evidence}})
}

func (n *notes) put(x note) {
	n.mu.Lock()
	n.queue = append(n.queue, x)
	if len(n.queue) > noteQueue {
		n.queue = n.queue[len(n.queue)-noteQueue:]
	}
	n.mu.Unlock()
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

func (n *notes) take() []note {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := n.queue
	n.queue = nil
	return q
}

// keep writes the notes that wait into the catalogue. A note that cannot be
// written is in the log already and harms nobody.
func (in *Ingest) keep() {
	for _, x := range in.notes.take() {
		err := in.opts.Registry.Note(x.id, x.event)
		if err == nil && x.strike.Count > 0 {
			err = in.opts.Registry.SetStrike(x.id, x.strike.Place, x.strike.Count)
		}
		if err != nil {
			in.opts.Logger.Warn("keep a note of a shape's life", "shape", x.id, "err", fmt.Errorf("%s: %w", x.event.What, err))
		}
	}
}

// struck counts a failure of a shape's consumer and notes that it is restarted.
func (in *Ingest) struck(s *Stall) registry.Strike {
	k := in.strikes.add(s.Shape, s.Place)
	s.Strikes = k.Count
	in.guard.strike(s.Shape, in.now())
	in.watchdog.restarts.Add(1)
	in.notes.put(note{
		id:     s.Shape,
		event:  registry.Event{At: s.When, What: "restarted", Detail: s.describe(), Evidence: s.Stack},
		strike: k,
	})
	return k
}
