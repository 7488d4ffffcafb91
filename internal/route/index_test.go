package route

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

var (
	int4 = expr.Type{OID: 23, Name: "int4", Base: 23}
	text = expr.Type{OID: 25, Name: "text", Base: 25}
)

func boats() *shape.Table {
	col := func(name string, t expr.Type, num int16) shape.Column {
		return shape.Column{Column: expr.Column{Name: name, Type: t, Deterministic: true}, Num: num, TypMod: -1}
	}
	return &shape.Table{OID: 1, Schema: "public", Name: "boats", Kind: 'r', Identity: 'f', PK: []int{0},
		Columns: []shape.Column{col("id", int4, 1), col("owner", int4, 2), col("name", text, 3)}}
}

func relation(t *shape.Table, names ...string) *wal.Relation {
	r := &wal.Relation{OID: t.OID, Schema: t.Schema, Name: t.Name, Identity: 'f'}
	for _, n := range names {
		c := t.Columns[t.Find(n)]
		r.Columns = append(r.Columns, wal.RelationColumn{Name: n, Type: c.Type.OID, TypMod: -1, Key: true})
	}
	return r
}

func define(t testing.TB, table *shape.Table, where string) *shape.Def {
	t.Helper()
	d := &shape.Def{Table: table, Columns: []int{0, 1, 2}, AllColumns: true}
	if where == "" {
		return d
	}
	var cols []expr.Column
	for _, c := range table.Columns {
		cols = append(cols, c.Column)
	}
	e, err := expr.Compile(where, nil, cols)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	d.Where = e
	return d
}

func row(values ...any) wal.Tuple {
	var t wal.Tuple
	for _, v := range values {
		if v == nil {
			t = append(t, nil)
		} else {
			t = append(t, []byte(fmt.Sprint(v)))
		}
	}
	return t
}

func routed(x *Index, ch wal.Change) []shape.ID {
	ids := x.Route(&ch, nil)
	slices.Sort(ids)
	return ids
}

func TestRoute(t *testing.T) {
	table := boats()
	x := New()
	for id, where := range []string{
		1: "", 2: "owner = 7", 3: "owner IN (7, 8)", 4: "owner = 7 AND name LIKE 'a%'", 5: "name LIKE 'b%'",
		6: "owner = 8 OR name = 'bob'", 7: "owner IS NULL", 8: "owner = 7 OR owner = 7",
	} {
		if id > 0 {
			x.Add(shape.ID(id), define(t, table, where))
		}
	}
	rel := relation(table, "id", "owner", "name")
	turned := relation(table, "name", "id", "owner") // a partition
	turned.OID = 3
	x.SetKin(Kin{3: {table.OID}})
	for name, c := range map[string]struct {
		ch   wal.Change
		want []shape.ID
	}{
		"insert":              {wal.Change{Op: wal.Insert, Rel: rel, New: row(1, 7, "ann")}, []shape.ID{1, 2, 3, 4, 8}},
		"residual":            {wal.Change{Op: wal.Insert, Rel: rel, New: row(1, 7, "bob")}, []shape.ID{1, 2, 3, 5, 6, 8}},
		"null":                {wal.Change{Op: wal.Insert, Rel: rel, New: row(1, nil, nil)}, []shape.ID{1, 7}},
		"old and new":         {wal.Change{Op: wal.Update, Rel: rel, Old: row(1, 7, "x"), New: row(1, 8, "x")}, []shape.ID{1, 2, 3, 6, 8}},
		"delete":              {wal.Change{Op: wal.Delete, Rel: rel, Old: row(1, 8, "x")}, []shape.ID{1, 3, 6}},
		"other column order":  {wal.Change{Op: wal.Update, Rel: turned, Old: row("x", 1, 7), New: row("bob", 1, 9)}, []shape.ID{1, 2, 3, 5, 6, 8}},
		"truncate":            {wal.Change{Op: wal.Truncate, Rel: rel}, []shape.ID{1, 2, 3, 4, 5, 6, 7, 8}},
		"no old row":          {wal.Change{Op: wal.Update, Rel: rel, New: row(1, 9, "x")}, []shape.ID{1, 2, 3, 4, 5, 6, 7, 8}},
		"old row is a key":    {wal.Change{Op: wal.Delete, Rel: rel, Old: row(1, nil, nil), OldIsKey: true}, []shape.ID{1, 2, 3, 4, 5, 6, 7, 8}},
		"unreadable value":    {wal.Change{Op: wal.Insert, Rel: rel, New: row(1, "seven", "x")}, []shape.ID{1, 2, 3, 4, 6, 8}},
		"another table":       {wal.Change{Op: wal.Insert, Rel: &wal.Relation{OID: 2}, New: row(1)}, nil},
		"deleted row unknown": {wal.Change{Op: wal.Delete, Rel: rel}, []shape.ID{1, 2, 3, 4, 5, 6, 7, 8}},
		"column has vanished": {wal.Change{Op: wal.Insert, Rel: relation(table, "id", "name"), New: row(1, "x")}, []shape.ID{1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		if got := routed(x, c.ch); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestPartitions(t *testing.T) {
	root := boats()
	x := New()
	x.Add(2, define(t, boats(), ""))
	other := relation(boats(), "owner", "name") // without the key
	other.OID = 6
	late := relation(boats(), "id", "owner", "name")
	late.OID = 9
	leaf := relation(root, "name", "owner", "id")
	leaf.OID = 5
	if x.InDoubt(leaf) {
		t.Error("in doubt without a shape on a partitioned table")
	}
	x.Remove(2)
	root.Kind = 'p'
	x.Add(1, define(t, root, "owner = 7"))
	ch := wal.Change{Op: wal.Insert, Rel: leaf, New: row("x", 7, 1)}
	if x.InDoubt(other) {
		t.Error("a table that can be no partition is in doubt")
	}
	if !x.InDoubt(leaf) || len(x.Partitioned(nil)) != 1 {
		t.Error("a table that nothing is known of is not in doubt")
	}
	x.SetKin(Kin{5: {1}, 6: nil})
	if x.InDoubt(leaf) || x.InDoubt(other) {
		t.Error("a known table is in doubt")
	}
	if got := routed(x, ch); !slices.Equal(got, []shape.ID{1}) {
		t.Errorf("got %v", got)
	}
	if got := x.Shapes(5, nil); !slices.Equal(got, []shape.ID{1}) {
		t.Errorf("shapes of the leaf: got %v", got)
	}
	x.Remove(1)
	if x.InDoubt(late) || x.Partitioned(nil) != nil {
		t.Error("in doubt after the last shape on a partitioned table has gone")
	}
}

// The index against a walk over all shapes, with shapes coming and going.
func TestAgainstTwin(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	table := boats()
	rel := relation(table, "id", "owner", "name")
	wheres := []func() string{
		func() string { return "" },
		func() string { return fmt.Sprintf("owner = %d", rng.IntN(6)) },
		func() string { return fmt.Sprintf("%d = owner AND name <> 'b'", rng.IntN(6)) },
		func() string {
			return fmt.Sprintf("owner IN (%d, %d) OR id = %d", rng.IntN(6), rng.IntN(6), rng.IntN(9))
		},
		func() string { return fmt.Sprintf("name = '%c'", 'a'+rng.IntN(4)) },
		func() string { return fmt.Sprintf("owner > %d", rng.IntN(6)) },
		func() string { return fmt.Sprintf("NOT (owner = %d)", rng.IntN(6)) },
	}
	some := func() wal.Tuple {
		r := row(rng.IntN(9), rng.IntN(6), string(rune('a'+rng.IntN(4))))
		if rng.IntN(5) == 0 {
			r[1+rng.IntN(2)] = nil
		}
		return r
	}
	x, twin := New(), map[shape.ID]*shape.Def{}
	for n := range shape.ID(20_000) {
		switch {
		case rng.IntN(3) == 0:
			d := define(t, table, wheres[rng.IntN(len(wheres))]())
			x.Add(n, d)
			twin[n] = d
		case rng.IntN(4) == 0:
			for id := range twin {
				x.Remove(id)
				delete(twin, id)
				break
			}
		}
		if len(twin) > 60 {
			for id := range twin {
				x.Remove(id)
				delete(twin, id)
			}
		}
		ch := wal.Change{Op: wal.Op(1 + rng.IntN(3)), Rel: rel}
		if ch.Op != wal.Insert {
			ch.Old = some()
		}
		if ch.Op != wal.Delete {
			ch.New = some()
		}
		var want []shape.ID
		for id, d := range twin {
			in := func(r wal.Tuple) bool {
				if r == nil || d.Where == nil {
					return r != nil
				}
				ok, err := d.Where.Match(r)
				return ok || err != nil
			}
			if in(ch.Old) || in(ch.New) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		if got := routed(x, ch); !slices.Equal(got, want) {
			t.Fatalf("step %d: %s old %q new %q: got %v, want %v", n, ch.Op, ch.Old, ch.New, got, want)
		}
	}
	for id := range twin {
		x.Remove(id)
	}
	if x.Len() != 0 || len(x.tables) != 0 {
		t.Errorf("an emptied index holds %d shapes and %d tables", x.Len(), len(x.tables))
	}
}

func owners(t testing.TB, n int) *Index {
	table := boats()
	x := New()
	for k := range n {
		x.Add(shape.ID(k+1), define(t, table, "owner = "+strconv.Itoa(k)))
	}
	return x
}

// What the index itself takes for a shape, its definition aside.
func TestMemoryBudget(t *testing.T) {
	const n, budget = 100_000, 300 // bytes a shape; measured 2026-11-23: see the log
	table := boats()
	defs := make([]*shape.Def, n)
	for k := range defs {
		defs[k] = define(t, table, "owner = "+strconv.Itoa(k))
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	x := New()
	for k, d := range defs {
		x.Add(shape.ID(k+1), d)
	}
	per := (heap() - before) / n
	t.Logf("%d bytes a shape", per)
	if per > budget {
		t.Errorf("%d bytes a shape, the budget is %d", per, budget)
	}
	runtime.KeepAlive(x)
	runtime.KeepAlive(defs)
}

func TestRouteDoesNotAllocate(t *testing.T) {
	x := owners(t, 100)
	table := boats()
	ch := wal.Change{Op: wal.Update, Rel: relation(table, "id", "owner", "name"), Old: row(1, 7, "x"), New: row(1, 8, "x")}
	ids := make([]shape.ID, 0, 8)
	if n := testing.AllocsPerRun(1000, func() { ids = x.Route(&ch, ids[:0]) }); n != 0 || len(ids) != 2 {
		t.Errorf("%v allocations, %d shapes", n, len(ids))
	}
}

// BenchmarkRoute is what it takes to find the one shape that a row belongs to: always the
// same, or, when none of them is in a cache, any.
func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		x := owners(b, n)
		rel := relation(boats(), "id", "owner", "name")
		rows := make([]wal.Tuple, 1<<16)
		for i := range rows {
			rows[i] = row(1, rand.IntN(n), "x")
		}
		for _, whose := range []struct {
			name string
			rows []wal.Tuple
		}{{"same", rows[:1]}, {"any", rows}} {
			b.Run(fmt.Sprintf("%d/%s", n, whose.name), func(b *testing.B) {
				ch := wal.Change{Op: wal.Insert, Rel: rel}
				var ids []shape.ID
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					ch.New = whose.rows[i%len(whose.rows)]
					ids = x.Route(&ch, ids[:0])
				}
			})
		}
	}
}
