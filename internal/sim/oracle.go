package sim

import (
	"fmt"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Check compares what a reader that is up to date has with the model. Where the
// snapshot sees more than the stream has passed there is no position to compare
// with; checked is false then.
func (r *Reader) Check(p *Postgres) (checked bool, err error) {
	pos := r.Seen + 1
	if r.sees != nil && pos < r.sees.Until {
		return false, nil
	}
	want := make(map[string]wal.Tuple)
	for key, row := range p.At(p.tableOf(r.Def.Table), pos) {
		in := true
		if r.Def.Where != nil {
			if in, err = r.Def.Where.Match(row); err != nil {
				return false, err
			}
		}
		if in {
			want[key] = row
		}
	}
	for key, row := range want {
		have, ok := r.rows[key]
		if !ok {
			return true, fmt.Errorf("%s: at %s it lacks %s", r.Handle, pos, key)
		}
		if err := sameValues(r.Def, row, have); err != nil {
			return true, fmt.Errorf("%s: at %s %s: %w", r.Handle, pos, key, err)
		}
	}
	for key := range r.rows {
		if _, ok := want[key]; !ok {
			return true, fmt.Errorf("%s: at %s it has %s", r.Handle, pos, key)
		}
	}
	return true, nil
}

func sameValues(def *shape.Def, want wal.Tuple, have map[string]*string) error {
	if len(have) != len(def.Columns) {
		return fmt.Errorf("has %d columns instead of %d", len(have), len(def.Columns))
	}
	for _, i := range def.Columns {
		name := def.Table.Columns[i].Name
		v, ok := have[name]
		switch {
		case !ok:
			return fmt.Errorf("has no column %s", name)
		case (v == nil) != (want[i] == nil):
			return fmt.Errorf("column %s: NULL or not", name)
		case v != nil && *v != string(want[i]):
			return fmt.Errorf("column %s is %q instead of %q", name, *v, want[i])
		}
	}
	return nil
}

// Durable makes sure that the disk that e was opened on holds all that each live
// shape had to have below a boundary. It is for an engine that has not run yet
// or that is idle.
func (e *Engine) Durable(p *Postgres, boundary wal.LSN) error {
	for sp := range e.Registry.All() {
		if _, ill := sp.Illness(); ill {
			continue // its log is not continued
		}
		cur, _, ok, err := e.Log.Cursor(sp.ID())
		if err != nil {
			return err
		}
		if !ok {
			cur.Pos = sp.Start()
		}
		if tx := p.between(sp.Def(), sp.Sees(), cur.Pos, boundary); tx != nil {
			return fmt.Errorf("%s has come to %s, the boundary is %s, and in between lies a change of it at %s",
				sp.Handle(), cur.Pos, boundary, tx.Commit)
		}
	}
	return nil
}

// between returns a transaction with from ≤ Commit < to that changes a shape and
// that its snapshot does not see.
func (p *Postgres) between(def *shape.Def, sees *wal.Snapshot, from, to wal.LSN) *Tx {
	txs, _, _ := p.from(from)
	for _, tx := range txs {
		if tx.Commit >= to {
			return nil
		}
		if sees != nil && sees.Sees(wal.Txn{Commit: tx.Commit, End: tx.End, XID: wal.XID(tx.xid)}) {
			continue
		}
		for i := range tx.ops {
			o := &tx.ops[i]
			if o.table.Def.OID == def.Table.OID && o.published && touches(def, o) {
				return tx
			}
		}
	}
	return nil
}

func touches(def *shape.Def, o *op) bool {
	in := func(row wal.Tuple) bool {
		if row == nil || def.Where == nil {
			return row != nil
		}
		is, err := def.Where.Match(row)
		return err == nil && is
	}
	was, is := in(o.old), in(o.new)
	if was != is {
		return true
	}
	if !was {
		return o.kind == wal.Truncate
	}
	for _, i := range def.Columns {
		if !sameRow(o.old[i:i+1], o.new[i:i+1]) {
			return true
		}
	}
	return false
}
