package consume

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// history is what happened to one table, transaction by transaction, with the
// table's rows after each.
type history struct {
	table *shape.Table
	rels  []*wal.Relation
	txns  []txn
}

type txn struct {
	wal.Txn
	changes []wal.Change
	rows    []wal.Tuple
}

// client is a shape's reader who believes every message and checks what it can.
type client struct {
	def  *shape.Def
	rows map[string]map[string]*string
}

// The dumb twin: what a client holds after each commit is the table filtered.
func TestClientsHoldTheFilteredTable(t *testing.T) {
	for seed := range int64(400) {
		rng := rand.New(rand.NewSource(seed))
		h := newHistory(rng)
		var enc Encoders
		for range 3 {
			d, where := randomShape(rng, h.table)
			c := consumer(d, where, start, 1+rng.Int63n(2000), nil)
			if rng.Intn(2) == 0 {
				c.Share(&enc)
			}
			r := client{d, map[string]map[string]*string{}}
			for i := range h.txns {
				tx := &h.txns[i]
				entries, err := run(c, tx)
				if err == nil {
					err = r.apply(&tx.Txn, entries)
				}
				if err == nil {
					err = r.compare(tx.rows, where)
				}
				if err != nil {
					t.Fatalf("seed %d, transaction %d of a shape on %s: %v", seed, i, d.Key(), err)
				}
			}
		}
	}
}

// run gives a whole transaction to a consumer.
func run(c *Consumer, tx *txn) ([]Entry, error) {
	var out Out
	for i := range tx.changes {
		if err := c.Change(&tx.Txn, &tx.changes[i], &out); err != nil {
			return nil, err
		}
	}
	c.Commit(&tx.Txn, &out)
	return out.Entries, nil
}

var pool = []string{"", "0", "1", "2", "3", "/", "a/b", `"`, `x"/"y`, "_", "é\n", strings.Repeat("long ", 30)}

func newHistory(rng *rand.Rand) *history {
	n := 1 + rng.Intn(5)
	t := &shape.Table{OID: 1, Schema: "public", Name: "t", Kind: 'p', Identity: 'f'}
	for i := range n {
		t.Columns = append(t.Columns, shape.Column{Num: int16(i + 1), TypMod: -1})
		t.Columns[i].Name = string(rune('a' + i))
		t.Columns[i].Type.OID = 25
	}
	t.PK = rng.Perm(n)[:rng.Intn(n+1)]
	h := &history{table: t, rels: []*wal.Relation{announce(t, nil), announce(t, rng.Perm(n))}}
	h.rels[1].OID, h.rels[1].Name = 2, "leaf"
	rows := map[string]wal.Tuple{}
	for lsn := wal.LSN(1000); len(h.txns) < 12; lsn += 100 {
		tx := txn{Txn: wal.Txn{Commit: lsn, End: lsn + wal.LSN(1+rng.Intn(99)), XID: wal.XID(rng.Uint32())}}
		seq := uint64(0)
		for range rng.Intn(8) {
			seq += 2 * uint64(rng.Intn(3)) // other tables' changes
			if ch, ok := h.randomChange(rng, rows); ok {
				ch.Seq = seq
				tx.changes = append(tx.changes, ch)
				seq += 2
			}
		}
		tx.rows = slices.Collect(maps.Values(rows))
		h.txns = append(h.txns, tx)
	}
	return h
}

// randomChange changes rows, which are by key, and tells how.
func (h *history) randomChange(rng *rand.Rand, rows map[string]wal.Tuple) (wal.Change, bool) {
	key := func(r wal.Tuple) string { return string(AppendInsertRow(nil, newDef(h.table, nil, 0), r)) }
	if len(h.table.PK) > 0 {
		key = func(r wal.Tuple) string {
			return fmt.Sprintf("%q", shape.AppendKey(nil, h.table, r))
		}
	}
	rel := h.rels[rng.Intn(len(h.rels))]
	keys := slices.Sorted(maps.Keys(rows))
	ch := wal.Change{Op: wal.Insert, Rel: rel}
	var old, now wal.Tuple
	if len(keys) > 0 && rng.Intn(3) > 0 {
		old = rows[keys[rng.Intn(len(keys))]]
		ch.Op = wal.Update + wal.Op(rng.Intn(2))
	}
	if ch.Op != wal.Delete {
		now = h.randomRow(rng, old)
		if _, taken := rows[key(now)]; taken && (old == nil || key(now) != key(old)) {
			return ch, false
		}
	}
	if old != nil {
		delete(rows, key(old))
		ch.Old = h.asStreamed(rel, old)
	}
	if now != nil {
		rows[key(now)] = now
		ch.New = h.asStreamed(rel, now)
	}
	return ch, true
}

// randomRow makes a row, or changes some of the columns of old.
func (h *history) randomRow(rng *rand.Rand, old wal.Tuple) wal.Tuple {
	row := make(wal.Tuple, len(h.table.Columns))
	for i := range row {
		switch {
		case old != nil && rng.Intn(2) == 0:
			row[i] = old[i]
		case rng.Intn(4) == 0 && !slices.Contains(h.table.PK, i):
		default:
			row[i] = append([]byte{}, pool[rng.Intn(len(pool))]...)
		}
	}
	return row
}

// asStreamed puts a row of the table into the order of a relation.
func (h *history) asStreamed(rel *wal.Relation, row wal.Tuple) wal.Tuple {
	out := make(wal.Tuple, len(row))
	for i, c := range rel.Columns {
		out[i] = row[h.table.Find(c.Name)]
	}
	return out
}

func randomShape(rng *rand.Rand, t *shape.Table) (*shape.Def, *condition) {
	var cols []int
	if len(t.PK) > 0 && rng.Intn(2) == 0 {
		for i := range t.Columns {
			if slices.Contains(t.PK, i) || rng.Intn(2) == 0 {
				cols = append(cols, i)
			}
		}
	}
	d := newDef(t, cols, shape.Replica(rng.Intn(2)))
	if rng.Intn(4) == 0 {
		return d, nil
	}
	ops := []string{"=", "<", ">"}
	return d, &condition{rng.Intn(len(t.Columns)), ops[rng.Intn(3)], pool[rng.Intn(len(pool))]}
}

type message struct {
	Key      string
	Value    map[string]*string
	OldValue map[string]*string `json:"old_value"`
	Headers  struct {
		Operation     string
		Relation      []string
		TxIDs         []uint32 `json:"txids"`
		LSN           string
		OpPosition    uint64 `json:"op_position"`
		Last          *bool
		KeyChangeTo   *string `json:"key_change_to"`
		KeyChangeFrom *string `json:"key_change_from"`
	}
}

// apply takes one transaction's entries.
func (r *client) apply(tx *wal.Txn, entries []Entry) error {
	var before wal.Offset
	var moving *message
	for i, e := range entries {
		var m message
		if err := json.Unmarshal(e.JSON, &m); err != nil {
			return fmt.Errorf("entry %s: %w", e.JSON, err)
		}
		hd := &m.Headers
		switch {
		case i > 0 && !before.Less(e.Offset):
			return fmt.Errorf("offset %s after %s", e.Offset, before)
		case e.Offset.Tx != tx.Commit || hd.LSN != strconv.FormatUint(uint64(tx.Commit), 10) || hd.OpPosition != e.Offset.Op:
			return fmt.Errorf("place of %s at %s", e.JSON, e.Offset)
		case !slices.Equal(hd.TxIDs, []uint32{uint32(tx.XID)}) || !slices.Equal(hd.Relation, []string{"public", "t"}):
			return fmt.Errorf("headers of %s", e.JSON)
		case (hd.Last != nil) != (i == len(entries)-1):
			return fmt.Errorf(`"last" of entry %d of %d: %s`, i, len(entries), e.JSON)
		case moving != nil && (hd.KeyChangeFrom == nil || *hd.KeyChangeFrom != moving.Key || m.Key != *moving.Headers.KeyChangeTo):
			return fmt.Errorf("second half of a key change: %s", e.JSON)
		case (hd.OpPosition%2 == 1) != (hd.KeyChangeFrom != nil):
			return fmt.Errorf("an odd place is that of a second half: %s", e.JSON)
		case moving == nil && hd.KeyChangeFrom != nil:
			return fmt.Errorf("a second half alone: %s", e.JSON)
		}
		before, moving = e.Offset, nil
		if hd.KeyChangeTo != nil {
			moving = &m
		}
		if err := r.applyOne(&m); err != nil {
			return fmt.Errorf("%w: %s", err, e.JSON)
		}
	}
	return nil
}

func (r *client) applyOne(m *message) error {
	old, known := r.rows[m.Key]
	if known == (m.Headers.Operation == "insert") {
		return fmt.Errorf("%s of a key that is known: %v", m.Headers.Operation, known)
	}
	full := r.def.Replica == shape.ReplicaFull
	switch m.Headers.Operation {
	case "insert":
		r.rows[m.Key] = m.Value
		return nil
	case "delete":
		delete(r.rows, m.Key)
		want := maps.Clone(old)
		if !full {
			maps.DeleteFunc(want, func(name string, _ *string) bool { return !r.isKey(name) })
		}
		return equal("deleted value", m.Value, want)
	}
	changed := map[string]*string{}
	want := map[string]*string{}
	for name, v := range m.Value {
		if text(v) != text(old[name]) {
			changed[name] = old[name]
		}
		if full || r.isKey(name) || text(v) != text(old[name]) {
			want[name] = v
		}
	}
	if len(changed) == 0 {
		return fmt.Errorf("an update that changes nothing")
	}
	if err := equal("updated value", m.Value, want); err != nil {
		return err
	}
	if full {
		if err := equal("old value", m.OldValue, changed); err != nil {
			return err
		}
	} else if m.OldValue != nil {
		return fmt.Errorf("an old value in replica mode default")
	}
	now := maps.Clone(old)
	maps.Copy(now, m.Value)
	r.rows[m.Key] = now
	return nil
}

func (r *client) isKey(name string) bool {
	return slices.Contains(r.def.Table.KeyColumns(), r.def.Table.Find(name))
}

// compare checks the client's rows against the table's.
func (r *client) compare(rows []wal.Tuple, where *condition) error {
	n := 0
	for _, row := range rows {
		if where != nil {
			if in, err := where.Match(row); err != nil || !in {
				continue
			}
		}
		n++
		want := map[string]*string{}
		for _, i := range r.def.Columns {
			want[r.def.Table.Columns[i].Name] = nil
			if row[i] != nil {
				s := string(row[i])
				want[r.def.Table.Columns[i].Name] = &s
			}
		}
		if err := equal("row", r.rows[string(shape.AppendKey(nil, r.def.Table, row))], want); err != nil {
			return err
		}
	}
	if n != len(r.rows) {
		return fmt.Errorf("client has %d rows, want %d", len(r.rows), n)
	}
	return nil
}

func equal(what string, got, want map[string]*string) error {
	if !maps.EqualFunc(got, want, func(a, b *string) bool { return text(a) == text(b) }) {
		return fmt.Errorf("%s: got %s, want %s", what, show(got), show(want))
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return strconv.Quote(*s)
}

func show(m map[string]*string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s ", name, text(m[name]))
	}
	return b.String()
}
