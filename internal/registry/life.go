package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/shape"
)

const (
	// keepEvents is how many events of a shape are kept, the newest.
	keepEvents = 64
	// evidenceBytes is what is kept of an event's evidence.
	evidenceBytes = 8 << 10
)

// Event is something that happened to a shape.
type Event struct {
	At       time.Time `json:"at"`
	What     string    `json:"what"` // created, live, suspect, restarted, quarantined, parked, rebuilding, removed …
	Detail   string    `json:"detail,omitempty"`
	Evidence string    `json:"evidence,omitempty"` // a stack
}

// Life is what is known of a shape that lives here or did.
type Life struct {
	Handle shape.Handle `json:"handle"`
	Schema string       `json:"schema"`
	Table  string       `json:"table"`
	Where  string       `json:"where,omitempty"`
	State  string       `json:"state"` // removed, or the state's name
	// Reason is why it is removed or ill; empty: it is well.
	Reason shape.Reason `json:"reason,omitempty"`
	Events []Event      `json:"events"` // oldest first
}

// Note keeps an event of a shape's life. It is not fsynced. One goroutine at a
// time may note events of the same shape.
func (r *Registry) Note(id shape.ID, e Event) error {
	if len(e.Evidence) > evidenceBytes {
		e.Evidence = strings.ToValidUTF8(e.Evidence[:evidenceBytes], "") + "…"
	}
	rec, err := encode("event", e)
	if err != nil {
		return err
	}
	old, err := r.eventKeys(id)
	if err != nil {
		return err
	}
	seq := uint64(1)
	if len(old) > 0 {
		seq = binary.BigEndian.Uint64(old[len(old)-1][9:]) + 1
	}
	b := r.db.NewBatch()
	err = b.Set(eventKey(id, seq), rec, nil)
	for i := 0; err == nil && i <= len(old)-keepEvents; i++ {
		err = b.Delete(old[i], nil)
	}
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("catalogue: note an event of shape %d: %w", id, err)
	}
	return nil
}

func eventKey(id shape.ID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(key(kindEvent, uint64(id)), seq)
}

func (r *Registry) eventKeys(id shape.ID) (keys [][]byte, err error) {
	err = r.events(id, func(k, _ []byte) error {
		keys = append(keys, slices.Clone(k))
		return nil
	})
	return keys, err
}

// events hands the events of a shape to f, with their keys.
func (r *Registry) events(id shape.ID, f func(k, v []byte) error) error {
	prefix := key(kindEvent, uint64(id))
	return r.scan(kindEvent, func(k, v []byte) error {
		full := append([]byte{kindEvent}, k...)
		if len(full) != len(prefix)+8 {
			return fmt.Errorf("catalogue: key %q%x is damaged", kindEvent, k)
		}
		return f(full, v)
	}, key(0, uint64(id))[1:], key(0, uint64(id)+1)[1:])
}

// Life tells the life of a shape, also of a removed one while its tombstone is
// kept. ok is false if nothing is known of that handle.
func (r *Registry) Life(h shape.Handle) (l Life, ok bool, err error) {
	id, known := handleID(h)
	if !known {
		return l, false, nil
	}
	s := r.ByHandle(h)
	var gone *Event
	var created int64
	if s != nil {
		l = Life{Handle: h, Schema: s.def.Table.Schema, Table: s.def.Table.Name, State: s.State().String()}
		if s.def.Where != nil {
			l.Where = s.def.Where.SQL()
		}
		if ill, is := s.Illness(); is {
			l.Reason = ill.Reason
		}
		created = s.created
	} else {
		t, found, err := r.Tombstone(h)
		if err != nil || !found {
			return l, false, err
		}
		l = Life{Handle: h, Schema: t.Schema, Table: t.Table, Where: t.Where, State: "removed", Reason: t.Reason}
		created = t.Created
		gone = &Event{At: time.UnixMicro(t.Removed), What: "removed", Detail: string(t.Reason)}
	}
	l.Events = []Event{{At: time.UnixMicro(created), What: "created"}}
	err = r.events(id, func(_, v []byte) error {
		var e Event
		if err := decode("event", v, &e); err != nil {
			return err
		}
		l.Events = append(l.Events, e)
		return nil
	})
	if err != nil {
		return l, false, err
	}
	if gone != nil {
		l.Events = append(l.Events, *gone)
	}
	return l, true, nil
}
