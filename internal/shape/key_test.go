package shape

import (
	"fmt"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

// table makes a table of text columns; pk holds positions.
func table(schema, name string, pk []int, columns ...string) *Table {
	t := &Table{OID: 1, Schema: schema, Name: name, Kind: 'r', Identity: 'f', PK: pk}
	for i, c := range columns {
		t.Columns = append(t.Columns, Column{
			Column: expr.Column{Name: c, Type: expr.Type{OID: 25, Name: "text", Base: 25}},
			Num:    int16(i + 1), TypMod: -1, SchemaType: "text",
		})
	}
	return t
}

func tuple(values ...any) wal.Tuple {
	row := make(wal.Tuple, len(values))
	for i, v := range values {
		if v != nil {
			row[i] = append([]byte{}, v.(string)...)
		}
	}
	return row
}

func TestAppendKey(t *testing.T) {
	one := table("public", "boats", []int{0}, "id", "name")
	two := table("app", "legs", []int{0, 1}, "a", "b")
	none := table("public", "t", nil, "a", "b")
	odd := table(`we.i/rd`, `na""me`, []int{0}, "id")
	for _, c := range []struct {
		table *Table
		row   wal.Tuple
		want  string
	}{
		{one, tuple("7", "Ava"), `"public"."boats"/"7"`},
		{two, tuple("x/y", ""), `"app"."legs"/"x//y"/""`},
		{two, tuple("a/", "b"), `"app"."legs"/"a//"/"b"`},
		{two, tuple("a", "/b"), `"app"."legs"/"a"/"//b"`},
		{two, tuple("///", "//"), `"app"."legs"/"//////"/"////"`},
		{none, tuple("1", nil), `"public"."t"/"1"/_`},
		{none, tuple(nil, "_"), `"public"."t"/_/"_"`},
		{none, tuple(`say "hi"`, "é\n"), "\"public\".\"t\"/\"say \"hi\"\"/\"é\n\""},
		{odd, tuple("1"), `"we.i//rd"."na""""me"/"1"`},
		{table("s", "t", []int{2, 0}, "a", "b", "c"), tuple("A", "B", "C"), `"s"."t"/"C"/"A"`},
	} {
		if got := string(AppendKey([]byte("x"), c.table, c.row)); got != "x"+c.want {
			t.Errorf("key of %q: got %s, want %s", c.row, got[1:], c.want)
		}
	}
}

// Keys of different rows differ, whatever the values hold.
func TestAppendKeyIsUnique(t *testing.T) {
	values := []any{nil, "", "_", "/", "//", `"`, `""`, `"/"`, `/"`, `"/`, "a", `a"/"b`, `a"//"b`, `"/_`, "b"}
	tab := table("public", "t", nil, "a", "b", "c")
	seen := map[string]string{}
	for _, a := range values {
		for _, b := range values {
			for _, c := range values {
				row := fmt.Sprintf("%#v %#v %#v", a, b, c)
				key := string(AppendKey(nil, tab, tuple(a, b, c)))
				if other, ok := seen[key]; ok {
					t.Fatalf("%s and %s share the key %s", row, other, key)
				}
				seen[key] = row
			}
		}
	}
}

func TestAppendKeyDoesNotAllocate(t *testing.T) {
	tab := table("public", "t", nil, "a", "b")
	row, buf := tuple("x/y", nil), make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() { buf = AppendKey(buf[:0], tab, row) }); n != 0 {
		t.Errorf("%v allocations a key, want 0", n)
	}
}
