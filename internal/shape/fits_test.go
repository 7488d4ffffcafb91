package shape

import (
	"errors"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

func TestFits(t *testing.T) {
	table := func(change func(*Table)) *Table {
		col := func(name string, oid uint32) Column {
			return Column{Column: expr.Column{Name: name, Type: expr.Type{OID: oid}}, TypMod: -1, Parts: []string{"label 9 b", "label 9 d", "attribute 8 1 23"}, Xmin: 5}
		}
		x := &Table{OID: 1, Schema: "public", Name: "t", Columns: []Column{col("id", 23), col("a", 25), col("b", 25)}, PK: []int{0}, Files: 7}
		if change != nil {
			change(x)
		}
		return x
	}
	all := &Def{Table: table(nil), Columns: []int{0, 1, 2}, AllColumns: true}
	some := &Def{Table: table(nil), Columns: []int{0, 1}}
	for name, c := range map[string]struct {
		change    func(*Table)
		all, some bool // fits
	}{
		"nothing":             {nil, true, true},
		"not null":            {func(x *Table) { x.Columns[1].NotNull = true }, true, true},
		"recreated":           {func(x *Table) { x.OID = 2 }, false, false},
		"renamed":             {func(x *Table) { x.Name = "u" }, false, false},
		"other schema":        {func(x *Table) { x.Schema = "s" }, false, false},
		"column added":        {func(x *Table) { x.Columns = append(x.Columns, x.Columns[1]) }, false, true},
		"unused dropped":      {func(x *Table) { x.Columns = x.Columns[:2] }, false, true},
		"used dropped":        {func(x *Table) { x.Columns = append(x.Columns[:1:1], x.Columns[2]) }, false, false},
		"used renamed":        {func(x *Table) { x.Columns[1].Name = "c" }, false, false},
		"used retyped":        {func(x *Table) { x.Columns[1].Type.OID = 1043 }, false, false},
		"unused retyped":      {func(x *Table) { x.Columns[2].Type.OID = 1043 }, false, true},
		"other type modifier": {func(x *Table) { x.Columns[1].TypMod = 8 }, false, false},
		"label added": {func(x *Table) {
			x.Columns[1].Parts = []string{"label 9 a", "label 9 b", "label 9 c", "label 9 d", "label 9 e", "attribute 8 1 23"}
		}, true, true},
		"label renamed":        {func(x *Table) { x.Columns[1].Parts = []string{"label 9 b", "label 9 c", "attribute 8 1 23"} }, false, false},
		"unused label renamed": {func(x *Table) { x.Columns[2].Parts = []string{"label 9 b", "label 9 c", "attribute 8 1 23"} }, false, true},
		"labels swapped":       {func(x *Table) { x.Columns[1].Parts = []string{"label 9 d", "label 9 b", "attribute 8 1 23"} }, false, false},
		"attribute added":      {func(x *Table) { x.Columns[1].Parts = append(x.Columns[1].Parts[:3:3], "attribute 8 2 23") }, false, false},
		"attribute dropped":    {func(x *Table) { x.Columns[1].Parts = x.Columns[1].Parts[:2] }, false, false},
		"used made anew":       {func(x *Table) { x.Columns[1].Num = 9 }, false, false},
		"unused made anew":     {func(x *Table) { x.Columns[2].Num = 9 }, false, true},
		"written anew":         {func(x *Table) { x.Files = 8 }, true, true},
		"described anew":       {func(x *Table) { x.Columns[1].Xmin = 6 }, true, true},
		"values anew":          {func(x *Table) { x.Files, x.Columns[1].Xmin = 8, 6 }, false, false},
		"unused values anew":   {func(x *Table) { x.Files, x.Columns[2].Xmin = 8, 6 }, false, true},
		"deferrable":           {func(x *Table) { x.Deferrable = true }, false, false},
		"other collation":      {func(x *Table) { x.Columns[1].Bytewise = true }, true, true},
		"key dropped":          {func(x *Table) { x.PK = nil }, false, false},
		"key changed":          {func(x *Table) { x.PK = []int{0, 1} }, false, false},
	} {
		now := table(c.change)
		for d, fits := range map[*Def]bool{all: c.all, some: c.some} {
			err := d.Fits(now)
			if (err == nil) != fits || err != nil && !errors.Is(err, ErrSchema) {
				t.Errorf("%s: all columns %v: got %v, want fits %v", name, d.AllColumns, err, fits)
			}
		}
	}
}

// A label that came after a definition was made is known from a look at the table.
func TestFitsSince(t *testing.T) {
	table := func(labels ...string) *Table {
		col := Column{Column: expr.Column{Name: "m", Type: expr.Type{OID: 9}}, TypMod: -1, Parts: labels}
		return &Table{OID: 1, Columns: []Column{{Column: expr.Column{Name: "gone"}}, col}}
	}
	d := &Def{Table: table("label 9 a"), Columns: []int{1}}
	was := table("label 9 a", "label 9 b")
	was.Columns = was.Columns[1:] // a column that is not used was dropped
	for _, is := range []*Table{was, table("label 9 a", "label 9 b", "label 9 c")} {
		if err := d.FitsSince(was, is); err != nil {
			t.Error(err)
		}
	}
	is := table("label 9 a", "label 9 c")
	if err := d.FitsSince(was, is); err == nil || d.Fits(is) != nil {
		t.Errorf("a label that came and was renamed: since then %v, to the definition alone %v", err, d.Fits(is))
	}
}

// A clause depends on the collation of the columns that it reads.
func TestFitsCollation(t *testing.T) {
	table := func() *Table {
		x := &Table{OID: 1, Schema: "public", Name: "t", PK: []int{0}}
		for _, name := range []string{"a", "b"} {
			x.Columns = append(x.Columns, Column{Column: expr.Column{Name: name, Type: expr.Type{OID: 25, Base: 25, Name: "text"}, Bytewise: true, Deterministic: true}, TypMod: -1})
		}
		return x
	}
	d, err := BuildDef(table(), Params{Where: "a < 'x'"})
	if err != nil {
		t.Fatal(err)
	}
	for i, fits := range []bool{false, true} {
		now := table()
		now.Columns[i].Bytewise = false
		if err := d.Fits(now); (err == nil) != fits {
			t.Errorf("column %d: %v", i, err)
		}
	}
}
