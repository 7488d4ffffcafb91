package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Shape is what lies there of one shape.
type Shape struct {
	Handle string `json:"handle"`
	// Removed is set, and what follows is not, if a tombstone is all that there is.
	Removed *Gone `json:"removed,omitempty"`

	ID       uint64    `json:"id,omitempty"`
	Table    string    `json:"table,omitempty"`
	Where    string    `json:"where,omitempty"`
	Columns  []string  `json:"columns,omitempty"`
	Replica  string    `json:"replica,omitempty"`
	Log      string    `json:"log,omitempty"`
	State    string    `json:"state,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	HeirOf   uint64    `json:"heir_of,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Start    string    `json:"start,omitempty"`
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Cursor   *Cursor   `json:"cursor,omitempty"`
	LogBytes uint64    `json:"log_bytes"`
	Entries  int       `json:"entries"` // those up to the tail
	Ends     []string  `json:"chunk_ends,omitempty"`
}

// Snapshot is a shape's first rows.
type Snapshot struct {
	Xmin   uint64   `json:"xmin"`
	Xmax   uint64   `json:"xmax"`
	Xip    []uint64 `json:"xip,omitempty"`
	Until  string   `json:"until"`
	Chunks []int64  `json:"chunks"` // bytes
	Inline bool     `json:"inline,omitempty"`
}

// Cursor is how far a shape's log has come.
type Cursor struct {
	Position   string `json:"position"`
	Tail       string `json:"tail"`
	ChunkBytes int64  `json:"chunk_bytes"`
	Epoch      uint64 `json:"epoch"`
}

// Shape looks at one shape. With entries every entry is printed as a line of JSON.
func (d *Directory) Shape(h shape.Handle, entries io.Writer) (*Shape, error) {
	s, removed, err := d.find(h)
	if err != nil {
		return nil, err
	}
	if removed != nil {
		return &Shape{Handle: string(h), Removed: removed}, nil
	}
	out := &Shape{
		Handle: string(h), ID: uint64(s.ID), Table: s.Schema + "." + s.Table, Where: s.Where, Columns: s.Columns,
		Replica: replica(s.Replica), Log: mode(s.Log), State: s.State.String(), Reason: string(s.Reason), HeirOf: uint64(s.HeirOf),
		Created: s.Created, Start: s.Start.String(),
	}
	if d.logs == nil {
		return nil, errors.New(d.problems[len(d.problems)-1].What)
	}
	if s.Sees != nil {
		out.Snapshot = &Snapshot{Xmin: s.Sees.Xmin, Xmax: s.Sees.Xmax, Xip: s.Sees.Xip, Until: s.Sees.Until.String(), Inline: s.Chunks == 0}
		if out.Snapshot.Chunks, err = d.chunks(s); err != nil {
			return nil, err
		}
	}
	return out, d.log(out, s, entries)
}

func replica(r shape.Replica) string {
	if r == shape.ReplicaFull {
		return "full"
	}
	return "default"
}

func mode(m shape.LogMode) string {
	if m == shape.LogChangesOnly {
		return "changes_only"
	}
	return "full"
}

// entry is one line of a dump.
type entry struct {
	Offset  string          `json:"offset"`
	Message json.RawMessage `json:"message"`
}

// log reads cursor and entries. Entries beyond the cursor's tail do not count, and are
// not shown.
func (d *Directory) log(out *Shape, s *registry.Stored, entries io.Writer) (err error) {
	if out.LogBytes, err = d.logs.Size(s.ID); err != nil {
		return err
	}
	c, epoch, ok, err := d.logs.Cursor(s.ID)
	if err != nil || !ok {
		return err
	}
	out.Cursor = &Cursor{Position: c.Pos.String(), Tail: c.Tail.String(), ChunkBytes: c.ChunkBytes, Epoch: uint64(epoch)}
	var enc *json.Encoder
	if entries != nil {
		enc = json.NewEncoder(entries)
		enc.SetEscapeHTML(false)
	}
	for after := wal.AfterSnapshot; after.Less(c.Tail); {
		end, boundary, err := d.logs.Read(s.ID, after, c.Tail, func(off wal.Offset, msg []byte) error {
			out.Entries++
			if enc == nil {
				return nil
			}
			return enc.Encode(entry{off.String(), msg})
		})
		if err != nil {
			return fmt.Errorf("read the entries of %s: %w", s.Handle, err)
		}
		if boundary {
			out.Ends = append(out.Ends, end.String())
		}
		if !after.Less(end) {
			return fmt.Errorf("the log of %s ends at %s, but its cursor's tail is %s", s.Handle, after, c.Tail)
		}
		after = end
	}
	return nil
}

// definition is a shape's definition in one line.
func (s *Shape) definition() string {
	text := s.Table + " (" + strings.Join(s.Columns, ", ") + ")"
	if s.Where != "" {
		text += " where " + s.Where
	}
	return text + ", replica " + s.Replica + ", log " + s.Log
}
