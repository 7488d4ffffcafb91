package ingest

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
)

// A worker that was replaced says that it has taken a shape in. The one after it has not,
// and the shape must not be forgotten among those that join: if this worker is replaced as
// well, the shape would go on from where the shard is, and what lies between be lost.
func TestGhostsWordOfAJoin(t *testing.T) {
	const id = 7
	sh := &shard{joining: map[shape.ID]*join{id: {}}}
	ghost, present := new(pulse), new(pulse)
	sh.pulse.Store(present)
	s := new(spine)
	s.command(command{kind: cmdJoined, shard: sh, pulse: ghost, id: id})
	if sh.joining[id] == nil {
		t.Error("a ghost was believed")
	}
	s.command(command{kind: cmdJoined, shard: sh, pulse: present, id: id})
	if sh.joining[id] != nil {
		t.Error("the present worker was not")
	}
}
