package shape

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

// relation makes what the stream says of tab, after edit.
func relation(tab *Table, edit func(r *wal.Relation)) *wal.Relation {
	r := &wal.Relation{OID: tab.OID, Schema: tab.Schema, Name: tab.Name, Identity: 'f'}
	for _, c := range tab.Columns {
		r.Columns = append(r.Columns, wal.RelationColumn{Name: c.Name, Type: c.Type.OID, TypMod: c.TypMod})
	}
	if edit != nil {
		edit(r)
	}
	return r
}

func TestMap(t *testing.T) {
	plain := table("public", "t", []int{0}, "a", "b", "c")
	generated := table("public", "t", []int{0}, "a", "g", "c")
	generated.Columns[1].Generated = 's'
	drop := func(i int) func(*wal.Relation) {
		return func(r *wal.Relation) { r.Columns = slices.Delete(r.Columns, i, i+1) }
	}
	for _, c := range []struct {
		name  string
		table *Table
		edit  func(*wal.Relation)
		want  string // values of a, b, c for the stream's values named after their columns
		extra string
		fault string
	}{
		{name: "identity", table: plain, want: "a b c"},
		{name: "other order, of a partition", table: plain, want: "a b c",
			edit: func(r *wal.Relation) { r.OID++; slices.Reverse(r.Columns) }},
		{name: "names exchanged", table: plain, want: "a - -",
			edit:  func(r *wal.Relation) { r.Columns[1].Name, r.Columns[2].Name = "c", "b" },
			fault: `column "b" of "public"."t" is another one of that name`},
		{name: "dropped and made anew", table: plain, want: "- - -", extra: "z",
			edit: func(r *wal.Relation) {
				r.Columns = append(append(r.Columns[1:2:2], wal.RelationColumn{Name: "z", Type: 23, TypMod: -1}, r.Columns[2]), r.Columns[0])
			},
			fault: `column "a" of "public"."t" is another one of that name`},
		{name: "added at the end", table: plain, want: "a b c", extra: "z",
			edit: func(r *wal.Relation) {
				r.Columns = append(r.Columns, wal.RelationColumn{Name: "z", Type: 23, TypMod: -1})
			}},
		{name: "added in front", table: plain, want: "a b c", extra: "z",
			edit: func(r *wal.Relation) {
				r.Columns = slices.Insert(r.Columns, 0, wal.RelationColumn{Name: "z", Type: 23, TypMod: -1})
			}},
		{name: "dropped", table: plain, edit: drop(1), want: "a - c",
			fault: `column "b" is no longer in "public"."t"`},
		{name: "renamed", table: plain, want: "a - c", extra: "z",
			edit:  func(r *wal.Relation) { r.Columns[1].Name = "z" },
			fault: `column "b" is no longer in "public"."t"`},
		{name: "other type", table: plain, want: "a b -",
			edit:  func(r *wal.Relation) { r.Columns[2].Type = 20 },
			fault: `column "c" of "public"."t" has type 20 (modifier -1) instead of 25 (-1)`},
		{name: "other modifier", table: plain, want: "- b c",
			edit:  func(r *wal.Relation) { r.Columns[0].TypMod = 14 },
			fault: `column "a" of "public"."t" has type 25 (modifier 14) instead of 25 (-1)`},
		{name: "generated, left out", table: generated, edit: drop(1), want: "a - c"},
		{name: "generated, published", table: generated, want: "a g c"},
		{name: "generated, other type", table: generated, want: "a - c",
			edit:  func(r *wal.Relation) { r.Columns[1].Type = 20 },
			fault: `column "g" of "public"."t" has type 20 (modifier -1) instead of 25 (-1)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := relation(c.table, c.edit)
			m, err := Map(c.table, r)
			checkFault(t, err, c.fault)
			src := make(wal.Tuple, len(r.Columns))
			for i := range src {
				src[i] = []byte(r.Columns[i].Name)
			}
			var got []string
			for _, v := range m.Row(src, nil) {
				if v == nil {
					v = []byte("-")
				}
				got = append(got, string(v))
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("row: got %s, want %s", g, c.want)
			}
			if g := strings.Join(m.Extra, " "); g != c.extra {
				t.Errorf("extra: got %q, want %q", g, c.extra)
			}
		})
	}
}

func checkFault(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %v, want none", err)
	case want == "":
	case err == nil:
		t.Errorf("got no error, want %q", want)
	case !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), want):
		t.Errorf("got error %q, want ErrSchema with %q", err, want)
	}
}

// Only the columns that are asked for matter to Check, generated or not.
func TestCheck(t *testing.T) {
	tab := table("public", "t", []int{0}, "a", "b", "c")
	m := Align(tab, relation(tab, func(r *wal.Relation) { r.Columns = r.Columns[:2] }))
	if err := m.Check([]int{0, 1}); err != nil {
		t.Errorf("columns that are there: %v", err)
	}
	checkFault(t, m.Check([]int{1, 2}), `column "c" is no longer in`)
}

func TestRowOfEqualColumnsIsTheRowItself(t *testing.T) {
	tab := table("public", "t", nil, "a", "b")
	m := Align(tab, relation(tab, nil))
	src := tuple("1", "2")
	if row := m.Row(src, nil); &row[0] != &src[0] || len(row) != 2 {
		t.Errorf("got a copy of the row")
	}
	if row := m.Row(nil, src); row != nil {
		t.Errorf("no row: got %q, want nil", row)
	}
	moved := Align(tab, relation(tab, func(r *wal.Relation) { r.OID++; slices.Reverse(r.Columns) }))
	scratch := make(wal.Tuple, 2)
	if n := testing.AllocsPerRun(100, func() { scratch = moved.Row(src, scratch) }); n != 0 {
		t.Errorf("%v allocations a row, want 0", n)
	}
}
