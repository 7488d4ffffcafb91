package engine

import (
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ShapeInfo is what operators see of one shape.
type ShapeInfo struct {
	Handle shape.Handle
	ID     shape.ID
	Schema string
	Table  string
	Where  string   // "": all rows
	Names  []string // the columns it carries
	All    bool     // the request named no columns
	Key    []string // the columns that make the row key
	// FullRows: updates and deletes carry whole rows (replica=full).
	FullRows bool
	// ChangesOnly: no first rows (log=changes_only).
	ChangesOnly bool
	State       string
	Start       wal.LSN // transactions that committed below it are not its business
	Seen        wal.LSN // what its clients are told they have seen
	Tail        wal.Offset
	Created     time.Time
	LastUsed    time.Time
}

// Shapes returns up to limit shapes in the order of their creation, without the
// first skip ones, and how many there are. It waits for nobody.
func (e *Engine) Shapes(skip, limit int) (page []ShapeInfo, total int) {
	for sp := range e.registry.All() {
		if len(page) == limit {
			break
		}
		if skip--; skip < 0 {
			page = append(page, shapeInfo(sp))
		}
	}
	return page, e.registry.Len()
}

// ShapesAfter returns up to limit shapes in the order of their creation, of those
// that were made after the one with an ID, which need not live any more. It waits for
// nobody.
func (e *Engine) ShapesAfter(id shape.ID, limit int) (page []ShapeInfo) {
	for sp := range e.registry.After(id) {
		if len(page) == limit {
			break
		}
		page = append(page, shapeInfo(sp))
	}
	return page
}

// Shape describes the shape of that handle, if it lives here.
func (e *Engine) Shape(h shape.Handle) (ShapeInfo, bool) {
	sp := e.registry.ByHandle(h)
	if sp == nil {
		return ShapeInfo{}, false
	}
	return shapeInfo(sp), true
}

func shapeInfo(sp *registry.Shape) ShapeInfo {
	def := sp.Def()
	info := ShapeInfo{
		Handle: sp.Handle(), ID: sp.ID(),
		Schema: def.Table.Schema, Table: def.Table.Name,
		Names: names(def.Table, def.Columns), All: def.AllColumns, Key: names(def.Table, def.Table.KeyColumns()),
		FullRows: def.Replica == shape.ReplicaFull, ChangesOnly: def.Log == shape.LogChangesOnly,
		State: sp.State().String(), Start: sp.Start(), Seen: sp.Seen(), Tail: sp.Tail(),
		Created: sp.Created(), LastUsed: sp.LastUsed(),
	}
	if def.Where != nil {
		info.Where = def.Where.SQL()
	}
	return info
}

func names(t *shape.Table, columns []int) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = t.Columns[c].Name
	}
	return out
}
