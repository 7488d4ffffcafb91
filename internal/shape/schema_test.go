package shape

import (
	"encoding/json"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// column is a column of type typ with modifier mod (-1: none).
func column(name, typ string, mod int32) Column {
	return Column{
		Column:     expr.Column{Name: name, Type: expr.Type{Name: typ}, Deterministic: true},
		TypMod:     mod,
		SchemaType: typ,
	}
}

func allOf(cols ...Column) *Def {
	d := &Def{Table: &Table{Schema: "public", Name: "t", Columns: cols}, AllColumns: true}
	for i := range cols {
		d.Columns = append(d.Columns, i)
	}
	return d
}

func TestSchemaOfOneColumn(t *testing.T) {
	interval := func(fields, precision int32) int32 { return fields<<16 | precision }
	for _, c := range []struct {
		typ  string
		mod  int32
		want string
	}{
		{"int4", -1, `{"type":"int4"}`},
		{"text", -1, `{"type":"text"}`},
		{"text", 9, `{"type":"text","max_length":5}`},
		{"varchar", -1, `{"type":"varchar"}`},
		{"varchar", 16, `{"type":"varchar","max_length":12}`},
		{"bpchar", 9, `{"type":"bpchar","length":5}`},
		{"bpchar", -1, `{"type":"bpchar"}`},
		{"bit", 1, `{"type":"bit","length":1}`},
		{"varbit", 7, `{"type":"varbit","length":7}`},
		{"varbit", -1, `{"type":"varbit"}`},
		{"numeric", -1, `{"type":"numeric"}`},
		{"numeric", 8<<16 + 2 + 4, `{"type":"numeric","precision":8,"scale":2}`},
		{"numeric", 5<<16 + 0 + 4, `{"type":"numeric","precision":5,"scale":0}`},
		{"numeric", 3<<16 + (-2 & 0x7ff) + 4, `{"type":"numeric","precision":3,"scale":-2}`},
		{"date", -1, `{"type":"date"}`},
		{"time", 3, `{"type":"time","precision":3}`},
		{"timetz", 3, `{"type":"timetz","precision":3}`},
		{"timestamp", 0, `{"type":"timestamp","precision":0}`},
		{"timestamp", 3, `{"type":"timestamp","precision":3}`},
		{"timestamptz", 6, `{"type":"timestamptz","precision":6}`},
		{"interval", -1, `{"type":"interval"}`},
		{"interval", interval(0x7fff, 3), `{"type":"interval","precision":3}`},
		{"interval", interval(1<<2, 0xffff), `{"type":"interval","fields":"YEAR"}`},
		{"interval", interval(1<<1, 0xffff), `{"type":"interval","fields":"MONTH"}`},
		{"interval", interval(1<<3, 0xffff), `{"type":"interval","fields":"DAY"}`},
		{"interval", interval(1<<10, 0xffff), `{"type":"interval","fields":"HOUR"}`},
		{"interval", interval(1<<11, 0xffff), `{"type":"interval","fields":"MINUTE"}`},
		{"interval", interval(1<<12, 2), `{"type":"interval","precision":2,"fields":"SECOND"}`},
		{"interval", interval(1<<2|1<<1, 0xffff), `{"type":"interval","fields":"YEAR TO MONTH"}`},
		{"interval", interval(1<<3|1<<10, 0xffff), `{"type":"interval","fields":"DAY TO HOUR"}`},
		{"interval", interval(1<<3|1<<10|1<<11, 0xffff), `{"type":"interval","fields":"DAY TO MINUTE"}`},
		{"interval", interval(1<<3|1<<10|1<<11|1<<12, 0xffff), `{"type":"interval","fields":"DAY TO SECOND"}`},
		{"interval", interval(1<<10|1<<11, 0xffff), `{"type":"interval","fields":"HOUR TO MINUTE"}`},
		{"interval", interval(1<<10|1<<11|1<<12, 0xffff), `{"type":"interval","fields":"HOUR TO SECOND"}`},
		{"interval", interval(1<<11|1<<12, 4), `{"type":"interval","precision":4,"fields":"MINUTE TO SECOND"}`},
		{"vector", 384, `{"type":"vector","type_mod":384}`},
		{"geometry", 0, `{"type":"geometry","type_mod":0}`},
	} {
		want := `{"c":` + c.want + `}`
		if got := string(AppendSchema(nil, allOf(column("c", c.typ, c.mod)))); got != want {
			t.Errorf("%s, modifier %d: %s; want %s", c.typ, c.mod, got, want)
		}
	}
}

func TestSchemaOfTable(t *testing.T) {
	id := column("id", "int4", -1)
	id.NotNull = true
	tags := column("tags", "text", -1)
	tags.Dims = 1
	tags.Type = expr.Type{Name: "_text", Array: true}
	grid := column("grid", "int8", -1)
	grid.Dims, grid.Type.Array = 2, true
	made := column("made", "bool", -1) // CREATE TABLE AS: no attndims
	made.Type = expr.Type{Name: "_bool", Array: true}
	name := column(`na"mé\😀`, "varchar", 16)
	d := allOf(tags, id, grid, made, name)
	d.Table.PK = []int{4, 1}

	want := `{"tags":{"type":"text","dims":1},"id":{"type":"int4","pk_index":1,"not_null":true},` +
		`"grid":{"type":"int8","dims":2},"made":{"type":"bool","dims":1},` +
		`"na\"m\u00e9\\\ud83d\ude00":{"type":"varchar","pk_index":0,"max_length":12}}`
	if got := string(AppendSchema(nil, d)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	d.Columns = []int{1}
	if got, want := string(AppendSchema(nil, d)), `{"id":{"type":"int4","pk_index":1,"not_null":true}}`; got != want {
		t.Errorf("one column: %s; want %s", got, want)
	}
}

// FuzzSchemaName: any name comes out as ASCII JSON that reads as that name.
func FuzzSchemaName(f *testing.F) {
	f.Add("a\x00\x1f\x7f\"\\é😀\u2028")
	f.Fuzz(func(t *testing.T, name string) {
		out := AppendSchema(nil, allOf(column(name, "x", 3)))
		for _, b := range out {
			if b < ' ' || b >= 0x7f {
				t.Fatalf("%q: byte %#x in a header", out, b)
			}
		}
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		// Both sides read invalid UTF-8 as U+FFFD.
		if _, ok := got[string([]rune(name))]; !ok {
			t.Fatalf("%q: no column %q", out, name)
		}
	})
}
