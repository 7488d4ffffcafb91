package pgoutput_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/spillway-sync/spillway/internal/pgoutput"
	"github.com/spillway-sync/spillway/internal/wal"
)

// TestAgainstTwin makes random transactions, writes them down as messages and
// as what they mean, and compares. Wide tables go past the slab.
func TestAgainstTwin(t *testing.T) {
	const seed = 20261123
	rnd := rand.New(rand.NewPCG(seed, 1))
	var d pgoutput.Decoder
	var rels []*wal.Relation
	for i := range 5 {
		r := &wal.Relation{OID: uint32(100 + i), Schema: "s", Name: fmt.Sprint("t", i), Identity: 'f'}
		for j := range []int{1, 3, 9, 500, 1600}[i] {
			r.Columns = append(r.Columns, wal.RelationColumn{Name: fmt.Sprint("c", j), Type: 25, TypMod: -1, Key: j == 0})
		}
		rels = append(rels, r)
		feed(t, &d, relation(r))
	}
	var got, want []string
	lsn := wal.LSN(1000)
	for range 200 {
		tx := wal.Txn{Commit: lsn, XID: wal.XID(rnd.Uint32())}
		feed(t, &d, begin(tx.Commit, tx.XID))
		for n := range rnd.IntN(20) {
			r := rels[rnd.IntN(len(rels))]
			msg, ch := randomChange(rnd, r)
			ch.Seq = uint64(2 * n)
			got = append(got, show(feed(t, &d, msg).Change))
			want = append(want, show(ch))
		}
		lsn += 50
		tx.End = lsn
		if ev := feed(t, &d, commit(tx.Commit, tx.End)); ev.Txn != tx {
			t.Fatalf("seed %d: commit of %+v, want %+v", seed, ev.Txn, tx)
		}
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("seed %d, change %d:\ngot  %s\nwant %s", seed, i, got[i], want[i])
		}
	}
}

func randomChange(rnd *rand.Rand, r *wal.Relation) ([]byte, wal.Change) {
	values := func() ([]string, wal.Tuple) {
		text, tuple := make([]string, len(r.Columns)), make(wal.Tuple, len(r.Columns))
		for i := range text {
			if rnd.IntN(5) == 0 {
				text[i] = null
				continue
			}
			b := make([]byte, rnd.IntN(12))
			for j := range b {
				b[j] = byte(rnd.Uint32())
			}
			text[i], tuple[i] = "v"+string(b), append([]byte("v"), b...)
		}
		return text, tuple
	}
	ch := wal.Change{Rel: r}
	old, oldTuple := values()
	text, tuple := values()
	switch rnd.IntN(4) {
	case 0:
		ch.Op, ch.New = wal.Insert, tuple
		return insert(r.OID, text...), ch
	case 1:
		ch.Op, ch.Old = wal.Delete, oldTuple
		return remove(r.OID, 'O', old...), ch
	case 2:
		ch.Op, ch.New = wal.Update, tuple
		return update(r.OID, 0, nil, text), ch
	}
	ch.Op, ch.Old, ch.New = wal.Update, oldTuple, tuple
	for i := range text {
		if rnd.IntN(3) == 0 {
			text[i], tuple[i] = unchanged, oldTuple[i]
			ch.Incomplete = ch.Incomplete || oldTuple[i] == nil
		}
	}
	return update(r.OID, 'O', old, text), ch
}
