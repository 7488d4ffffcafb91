package ingest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/route"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

// crier is a spine that has shapes on one table, and what it told them.
type crier struct {
	*testing.T
	s     *spine
	reg   *registry.Registry
	log   *shapelog.Log
	table *shape.Table
}

func newCrier(t *testing.T) *crier {
	fs := vfs.NewMem()
	log, err := shapelog.Open(shapelog.Options{FS: fs, Dir: "shapes"})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(registry.Options{FS: fs, Dir: "catalogue", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reg.Close(); err != nil {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &spine{in: &Ingest{}, index: route.New(), told: make(map[uint32]*announced)}
	for n := range 2 {
		s.shards = append(s.shards, &shard{n: n, shapes: shape.NewByID[registry.Shape](2)})
	}
	text := expr.Type{OID: 25, Name: "text", Base: 25}
	table := &shape.Table{OID: 7, Schema: "public", Name: "t", Kind: 'r', Columns: []shape.Column{
		{Column: expr.Column{Name: "x", Type: text, Bytewise: true, Deterministic: true}, Num: 1, TypMod: -1, SchemaType: "text"}}}
	return &crier{t, s, reg, log, table}
}

// join makes a shape whose first rows have seen what committed before an LSN.
func (c *crier) join(saw wal.LSN) shape.ID {
	c.Helper()
	def, err := shape.BuildDef(c.table, shape.Params{Where: fmt.Sprintf("x = '%d'", c.reg.Len())})
	if err != nil {
		c.Fatal(err)
	}
	sp, made, err := c.reg.Create(def, 1)
	if err != nil || !made {
		c.Fatal(made, err)
	}
	if err := sp.SetSnapshot(wal.Snapshot{Xmin: 1, Xmax: 1, Until: saw}, c.log.NewSnapshot(sp.ID(), 100)); err != nil {
		c.Fatal(err)
	}
	id := sp.ID()
	c.s.index.Add(id, def)
	c.s.shardOf(id).shapes.Put(id, sp)
	c.s.joined = append(c.s.joined, id)
	return id
}

// tell announces the table, and returns who is told.
func (c *crier) tell(commit wal.LSN, columns ...string) (ids []shape.ID) {
	rel := &wal.Relation{OID: c.table.OID, Schema: "public", Name: "t", Identity: 'f'}
	for _, name := range columns {
		rel.Columns = append(rel.Columns, wal.RelationColumn{Name: name, Type: 25, TypMod: -1})
	}
	c.s.relation(&wal.Txn{Commit: commit}, rel)
	for _, sh := range c.s.shards {
		for _, st := range sh.out {
			if st.told.rel != rel {
				c.Error("another relation is told")
			}
			ids = append(ids, st.told.ids...)
		}
		sh.out = nil
	}
	slices.Sort(ids)
	return ids
}

// What a table is like is told to all who cannot know it, and to nobody else.
func TestRelationsAreToldWhenTheyAreNews(t *testing.T) {
	c := newCrier(t)
	want := func(what string, got []shape.ID, want ...shape.ID) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: told to %v, want %v", what, got, want)
		}
	}
	a, b := c.join(100), c.join(100)
	want("the first time", c.tell(200, "x"), a, b)
	want("the same again", c.tell(300, "x"))
	want("a column more", c.tell(400, "x", "y"), a, b)
	early := c.join(600) // its first rows have seen what follows
	want("to one that has come", c.tell(500, "x", "y"), early)
	want("to one that it said nothing to", c.tell(550, "x", "y"), early)
	want("once more, behind its first rows", c.tell(600, "x", "y"), early)
	want("all know it", c.tell(700, "x", "y"))
	late := c.join(100)
	want("another form", c.tell(590, "x"), a, b, early, late)
	want("the same, for one", c.tell(800, "x"), early)
	want("all know it again", c.tell(900, "x"))

	c.s.refreshKin() // nothing new
	want("and still", c.tell(910, "x"))
	c.s.kin = &kinNow{}
	c.s.in.kin.Store(&kinNow{})
	c.s.refreshKin()
	want("it may be others' now", c.tell(920, "x"), a, b, early, late)

	c.s.joined = append(c.s.joined, make([]shape.ID, maxJoined)...)
	want("too many have come to remember them", c.tell(930, "x"), a, b, early, late)
	want("and then it is known", c.tell(940, "x"))
}
