package route

import (
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Shapes on the elements of an array are found by them, and leave nothing behind.
func TestArrayElements(t *testing.T) {
	table := boats()
	tags := table.Columns[2]
	tags.Name, tags.Num = "tags", 4
	tags.Type = expr.Type{OID: 1009, Base: 1009, Name: "_text", Array: true}
	table.Columns = append(table.Columns, tags)
	x := New()
	for id, where := range []string{
		1: "tags @> '{a}'", 2: "'b' = ANY(tags)", 3: "tags && '{a,c}'", 4: "owner = 7 OR tags @> '{d,a}'", 5: "tags @> '{}'",
		6: "NOT ('a' = ANY(tags))",
	} {
		if id > 0 {
			x.Add(shape.ID(id), define(t, table, where))
		}
	}
	rel := relation(table, "id", "owner", "name", "tags")
	for text, want := range map[string][]shape.ID{
		"{a}":           {1, 3, 5},
		"{b,NULL,b}":    {2, 5},
		"{a,b,c}":       {1, 2, 3, 5},
		"{}":            {5, 6},
		"[2:3]={a,d}":   {1, 3, 4, 5},
		"{{d,e},{f,g}}": {5, 6},
		"{broken":       {1, 2, 3, 4, 5, 6},
	} {
		ch := wal.Change{Op: wal.Insert, Rel: rel, New: row(1, 8, "x", text)}
		if got := routed(x, ch); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	moved := wal.Change{Op: wal.Update, Rel: rel, Old: row(1, 8, "x", "{a}"), New: row(1, 8, "x", "{b}")}
	if got := routed(x, moved); !slices.Equal(got, []shape.ID{1, 2, 3, 5, 6}) {
		t.Errorf("an element replaced by another: got %v", got)
	}
	null := wal.Change{Op: wal.Insert, Rel: rel, New: row(1, 7, "x", nil)}
	if got := routed(x, null); !slices.Equal(got, []shape.ID{4}) {
		t.Errorf("a NULL array: got %v", got)
	}
	for id := range 6 {
		x.Remove(shape.ID(id + 1))
	}
	if x.Len() != 0 || len(x.tables) != 0 {
		t.Errorf("an emptied index holds %d shapes and %d tables", x.Len(), len(x.tables))
	}
}
