package consume

import (
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Rows without a key may be equal within a transaction: a client holds what is there
// at its end nevertheless, or the shape begins again if it is a large one.
func TestEqualRowsWithinATransaction(t *testing.T) {
	tab, err := newTable("public.t", "a:text b:text", "")
	if err != nil {
		t.Fatal(err)
	}
	rel := announce(tab, nil)
	rotated := 0
	for seed := range int64(300) {
		rng := rand.New(rand.NewSource(seed))
		pad := strings.Repeat("x", []int{0, 0, 40_000}[rng.Intn(3)])
		d := newDef(tab, nil, shape.Replica(rng.Intn(2)))
		var where *condition
		if rng.Intn(2) == 0 {
			where = &condition{0, ">", "2"}
		}
		c, reader := consumer(d, where, start, 10_000, nil), client{d, map[string]map[string]*string{}}
		m := &multiset{rng: rng, rel: rel, pad: []byte(pad), count: make(map[string]int)}
		for i := range 20 {
			tx := m.transaction(wal.LSN(1000 + 100*i))
			entries, err := run(c, tx)
			if rotate := (*Rotate)(nil); errors.As(err, &rotate) && rotate.Reason == shape.ReasonKey && pad != "" {
				rotated++
				break
			}
			if err == nil {
				err = reader.apply(&tx.Txn, entries)
			}
			if err == nil {
				err = reader.compare(tx.rows, where)
			}
			if err != nil {
				t.Fatalf("seed %d, transaction %d: %.500v", seed, i, err)
			}
		}
	}
	if rotated == 0 {
		t.Error("no shape with large rows was rotated")
	}
}

// multiset is a table whose rows are digits, each of which may be there more than once
// within a transaction.
type multiset struct {
	rng   *rand.Rand
	rel   *wal.Relation
	pad   []byte
	count map[string]int
	tx    *txn
}

func (m *multiset) row(v string) wal.Tuple { return wal.Tuple{[]byte(v), m.pad} }

func (m *multiset) step(op wal.Op, from, to string) {
	ch := wal.Change{Op: op, Rel: m.rel, Seq: uint64(2 * len(m.tx.changes))}
	if from != "" {
		ch.Old = m.row(from)
		m.count[from]--
	}
	if to != "" {
		ch.New = m.row(to)
		m.count[to]++
	}
	m.tx.changes = append(m.tx.changes, ch)
}

func (m *multiset) transaction(at wal.LSN) *txn {
	m.tx = &txn{Txn: wal.Txn{Commit: at, End: at + 50, XID: 7}}
	for range m.rng.Intn(15) {
		from, to := fmt.Sprint(m.rng.Intn(6)), fmt.Sprint(m.rng.Intn(6))
		switch {
		case m.count[from] == 0:
			m.step(wal.Insert, "", to)
		case m.rng.Intn(3) == 0:
			m.step(wal.Delete, from, "")
		default:
			m.step(wal.Update, from, to)
		}
	}
	for v := range 6 {
		for name := fmt.Sprint(v); m.count[name] > 1; {
			m.step(wal.Delete, name, "")
		}
		if name := fmt.Sprint(v); m.count[name] == 1 {
			m.tx.rows = append(m.tx.rows, m.row(name))
		}
	}
	return m.tx
}

// What is out is known by a hash, up to a limit.
func TestArrivalsThatAreOut(t *testing.T) {
	tab, err := newTable("public.t", "a:text", "")
	if err != nil {
		t.Fatal(err)
	}
	rel := announce(tab, nil)
	row := func(i int) wal.Tuple { return wal.Tuple{[]byte(fmt.Sprintf("%0200d", i))} }
	for last, want := range map[int]bool{0: true, 5000: false} { // the first of 2,000 rows, and none of them
		c := consumer(newDef(tab, nil, 0), nil, start, 10<<20, nil)
		tx := &txn{Txn: wal.Txn{Commit: 1000, End: 1050, XID: 7}}
		for i := range 2000 {
			tx.changes = append(tx.changes, wal.Change{Op: wal.Insert, Rel: rel, New: row(i), Seq: uint64(2 * i)})
		}
		tx.changes = append(tx.changes, wal.Change{Op: wal.Delete, Rel: rel, Old: row(last), Seq: 4000})
		entries, err := run(c, tx)
		if rotates := errors.As(err, new(*Rotate)); rotates != want || !rotates && len(entries) != 2001 {
			t.Errorf("deletion of row %d: %d entries, %v", last, len(entries), err)
		}
	}
}
