package verify

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// rows are the rows of one side by key: a hash of each selected column.
type rows map[string][]uint64

// null stands for NULL.
const null = 0

var seed = maphash.MakeSeed()

func hash(text []byte) uint64 { return max(maphash.Bytes(seed, text), null+1) }

// columns are the selected ones, in the order of the table.
type columns struct {
	at    []int // in the table
	names []string
	index map[string]int
}

func newColumns(def *shape.Def) *columns {
	c := &columns{at: def.Columns, index: make(map[string]int)}
	for i, at := range def.Columns {
		name := def.Table.Columns[at].Name
		c.names = append(c.names, name)
		c.index[name] = i
	}
	return c
}

func (c *columns) ofTuple(row wal.Tuple) []uint64 {
	h := make([]uint64, len(c.at))
	for i, at := range c.at {
		if v := row[at]; v != nil {
			h[i] = hash(v)
		}
	}
	return h
}

// apply does what a client does with a change, if the snapshot sees it. First rows
// have no transaction: they are older.
func (r rows) apply(m *client.Message, cols *columns, sees wal.Snapshot) error {
	if len(m.Headers.TxIDs) > 0 {
		commit, err := strconv.ParseUint(m.Headers.LSN, 10, 64)
		if err != nil {
			return fmt.Errorf("read a change of %s: %w", m.Key, err)
		}
		if !sees.Sees(wal.Txn{Commit: wal.LSN(commit), XID: wal.XID(m.Headers.TxIDs[0])}) {
			return nil
		}
	}
	row, known := r[m.Key]
	switch m.Headers.Operation {
	case client.OpInsert:
		if known {
			return fmt.Errorf("its log inserts %s twice", m.Key)
		}
		row = make([]uint64, len(cols.at))
	case client.OpUpdate:
		if !known {
			return fmt.Errorf("its log updates %s, which is not there", m.Key)
		}
	case client.OpDelete:
		if !known {
			return fmt.Errorf("its log deletes %s, which is not there", m.Key)
		}
		delete(r, m.Key)
		return nil
	}
	for name, v := range m.Value {
		i, ok := cols.index[name]
		if !ok {
			return fmt.Errorf("its log has a column %q, which it was not to have", name)
		}
		if row[i] = null; v.Valid {
			row[i] = hash([]byte(v.Text))
		}
	}
	r[m.Key] = row
	return nil
}

// compare notes how the rows that clients have differ from those that are.
func (r *Result) compare(want, got rows, names []string) {
	note := func(list *[]string, what string) {
		r.Differing++
		if len(*list) < kept {
			*list = append(*list, what)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		row, ok := got[key]
		if !ok {
			note(&r.Missing, key)
			continue
		}
		var differ []string
		for i, h := range want[key] {
			if row[i] != h {
				differ = append(differ, names[i])
			}
		}
		if differ != nil {
			note(&r.Different, key+": "+strings.Join(differ, ", "))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			note(&r.Extra, key)
		}
	}
}
