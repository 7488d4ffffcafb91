package registry

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/shape"
)

// table is one version of a table, shared by its shapes. It goes with the last of them:
// each TRUNCATE makes another.
type table struct {
	number  uint64
	t       *shape.Table
	encoded string   // its record
	durable bool     // its record is; until then every creation writes it
	users   int      // shapes that are here, or are being made
	live    shape.ID // the newest of them that has been live, 0: none was
	lists   [][]int  // what its shapes select; see share
}

// tables are all versions that have shapes. The registry's mu guards them.
type tables struct {
	byRecord map[string]*table
	byTable  map[*shape.Table]*table
	next     uint64 // number
}

func newTables() tables {
	return tables{byRecord: map[string]*table{}, byTable: map[*shape.Table]*table{}}
}

// use returns the shared form of a version of a table, for one shape more.
func (v *tables) use(t *shape.Table, encoded []byte) *table {
	e := v.byRecord[string(encoded)]
	if e == nil {
		e = v.add(&table{number: v.next, t: t, encoded: string(encoded)})
	}
	e.users++
	return e
}

func (v *tables) add(e *table) *table {
	v.byRecord[e.encoded], v.byTable[e.t] = e, e
	v.next = max(v.next, e.number+1)
	return e
}

// leave undoes one use. last: nobody knows the version any more, and its record may go.
func (v *tables) leave(e *table) (last bool) {
	if e.users--; e.users > 0 {
		return false
	}
	if v.byRecord[e.encoded] == e {
		delete(v.byRecord, e.encoded)
	}
	delete(v.byTable, e.t)
	return true
}

// InUse is a version of a table that has shapes.
type InUse struct {
	Table *shape.Table
	// Live is the newest shape of it that has been live; 0: none was.
	Live shape.ID
}

// Tables are the versions of tables that have shapes, in no order: whoever looks at all
// tables from time to time need not visit a million shapes.
func (r *Registry) Tables() []InUse {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]InUse, 0, len(r.tables.byTable))
	for t, e := range r.tables.byTable {
		all = append(all, InUse{t, e.live})
	}
	return all
}

// dropTable deletes the record of a version that has no shape, if there is one (not nil). It is not durable by
// itself: the next start deletes what a crash brought back.
func (r *Registry) dropTable(e *table) error {
	if e == nil {
		return nil
	}
	if err := r.db.Delete(key(kindTable, e.number), pebble.NoSync); err != nil {
		return fmt.Errorf("catalogue: drop a version of table %s: %w", e.t.Name, err)
	}
	return nil
}

// maxLists is how many lists of selected columns of a table are shared.
const maxLists = 16

// share returns the list that other shapes of the table have, if it is the same:
// a crowd of shapes differs in the clause only. The registry's mu is held.
func (t *table) share(columns []int) []int {
	for _, l := range t.lists {
		if slices.Equal(l, columns) {
			return l
		}
	}
	if len(t.lists) < maxLists {
		t.lists = append(t.lists, columns)
	}
	return columns
}
