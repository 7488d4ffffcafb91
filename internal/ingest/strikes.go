package ingest

import (
	"sync"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// patience is how often a shape's consumer may fail at one place before the
// shape is taken out of the stream.
const patience = 3

// strikes is how often each shape's consumer has failed without getting any
// further. What counts is the transaction that it was at, not how far its shard
// had come: the same row is met in a batch, alone, and after a restart, each time
// with another distance behind it.
type strikes struct {
	mu sync.Mutex // leaf lock
	of map[shape.ID]registry.Strike
}

// add counts a failure at a place and returns how many there were since the
// consumer last got further.
func (s *strikes) add(id shape.ID, place wal.LSN) registry.Strike {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.of[id]
	if place > k.Place {
		k = registry.Strike{Place: place}
	}
	k.Count++
	s.of[id] = k
	return k
}

func (s *strikes) forget(id shape.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, id)
}
