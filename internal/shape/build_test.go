package shape

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestBuildDefColumns: the checks of shape-semantics §1.5 in their order.
func TestBuildDefColumns(t *testing.T) {
	table := &Table{OID: 1, Schema: "public", Name: "t", PK: []int{1, 0}, Columns: []Column{
		column("b", "int4", -1), column("a", "int4", -1), column("c", "text", -1),
		column("d", "text", -1), column("g", "text", -1),
	}}
	table.Columns[4].Generated = 's'
	keyless := &Table{OID: 2, Schema: "public", Name: "k", Columns: []Column{column("x", "int4", -1), column("y", "int4", -1)}}
	const explain = ". You can exclude them from the shape by explicitly listing which columns to fetch in the 'columns' query param"

	for _, c := range []struct {
		name               string
		table              *Table
		columns, queryable []string
		want               []int
		field, msg         string
	}{
		{name: "all", table: keyless, want: []int{0, 1}},
		{name: "order and duplicates do not matter", table: table, columns: []string{"c", "b", "a", "c"}, want: []int{0, 1, 2}},
		{name: "key missing, in index order", table: table, columns: []string{"c"}, field: "columns",
			msg: "The list of columns must include all primary key columns, missing: a, b"},
		{name: "one key column missing", table: table, columns: []string{"a"}, field: "columns",
			msg: "The list of columns must include all primary key columns, missing: b"},
		{name: "missing comes before unknown", table: table, columns: []string{"a", "z"}, field: "columns",
			msg: "The list of columns must include all primary key columns, missing: b"},
		{name: "unknown", table: table, columns: []string{"a", "b", "nope", "nada"}, field: "columns",
			msg: "The following columns are not found on the table: nope, nada"},
		{name: "generated, listed", table: table, columns: []string{"a", "b", "g"}, field: "columns",
			msg: "The following columns are generated and cannot be included in the shape: g"},
		{name: "generated, not listed", table: table, field: "columns",
			msg: "The following columns are generated and cannot be included in the shape: g" + explain},
		{name: "generated, queryable", table: table, queryable: []string{"a", "b", "g"}, field: "columns",
			msg: "The following columns are generated and cannot be included in the shape: g" + explain},
		{name: "empty list", table: table, columns: []string{}, field: "columns",
			msg: "The list of columns must include all primary key columns, missing: a, b"},
		{name: "no key: every column", table: keyless, columns: []string{"x"}, field: "columns",
			msg: "The list of columns must include all primary key columns, missing: y"},
		{name: "queryable alone selects", table: table, queryable: []string{"c", "a", "b"}, want: []int{0, 1, 2}},
		{name: "columns inside queryable", table: table, queryable: []string{"a", "b", "c"}, columns: []string{"a", "b"}, want: []int{0, 1}},
		{name: "columns outside queryable", table: table, queryable: []string{"a", "b", "c"}, columns: []string{"a", "b", "d"}, field: "columns",
			msg: "The following columns are not found on the table: d"},
		{name: "queryable without key", table: table, queryable: []string{"c"}, field: "queryable_columns",
			msg: "The list of queryable columns must include all primary key columns, missing: a, b"},
		{name: "queryable unknown", table: table, queryable: []string{"a", "b", "z"}, field: "queryable_columns",
			msg: "The following queryable columns are not found on the table: z"},
		{name: "queryable empty", table: &Table{}, queryable: []string{}, field: "queryable_columns",
			msg: "The list of queryable columns must not be empty"},
		{name: "columns empty", table: &Table{}, columns: []string{}, field: "columns",
			msg: "The list of columns must not be empty"},
	} {
		d, err := BuildDef(c.table, Params{Columns: c.columns, Queryable: c.queryable})
		if c.msg != "" {
			fe, ok := errors.AsType[*FieldError](err)
			if !ok || fe.Field != c.field || fe.Msg != c.msg {
				t.Errorf("%s: %v; want %s: %s", c.name, err, c.field, c.msg)
			}
			continue
		}
		if err != nil || !slices.Equal(d.Columns, c.want) {
			t.Errorf("%s: %+v, %v; want columns %v", c.name, d, err, c.want)
			continue
		}
		if all := c.columns == nil && c.queryable == nil; d.AllColumns != all {
			t.Errorf("%s: AllColumns = %v", c.name, d.AllColumns)
		}
	}
}

// TestBuildDefIdentity: what makes two requests one shape, and what does not
// (shape-semantics §1.8).
func TestBuildDefIdentity(t *testing.T) {
	table := &Table{OID: 1, Schema: "public", Name: "t", PK: []int{0}, Columns: []Column{column("id", "int4", -1), column("n", "text", -1)}}
	key := func(p Params) string {
		t.Helper()
		d, err := BuildDef(table, p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		return d.Key()
	}
	plain := key(Params{})
	for name, p := range map[string]Params{
		"blank where":             {Where: " \t\n"},
		"params without a clause": {Params: map[string]string{"x": "1"}},
	} {
		if key(p) != plain {
			t.Errorf("%s makes another shape", name)
		}
	}
	for name, p := range map[string]Params{
		"replica":         {Replica: ReplicaFull},
		"log":             {Log: LogChangesOnly},
		"columns":         {Columns: []string{"id"}},
		"all columns":     {Columns: []string{"id", "n"}},
		"queryable alone": {Queryable: []string{"id", "n"}},
	} {
		if key(p) == plain {
			t.Errorf("%s does not make another shape", name)
		}
	}
	if key(Params{Columns: []string{"n", "id"}}) != key(Params{Columns: []string{"id", "n", "n"}}) {
		t.Error("the order of columns makes another shape")
	}
	if key(Params{Columns: []string{"id"}}) != key(Params{Columns: []string{"id"}, Queryable: []string{"id", "n"}}) {
		t.Error("queryable_columns as such makes another shape")
	}
}

// TestBuildDefWhere: a clause may read columns outside queryable_columns, and
// its faults carry the parameter they belong to.
func TestBuildDefWhere(t *testing.T) {
	typed := func(name, typ string, oid uint32) Column {
		c := column(name, typ, -1)
		c.Type.OID, c.Type.Base, c.Bytewise = oid, oid, true
		return c
	}
	table := &Table{OID: 1, Schema: "public", Name: "t", PK: []int{0}, Columns: []Column{typed("id", "int4", 23), typed("n", "text", 25)}}
	d, err := BuildDef(table, Params{Where: "n = $1", Params: map[string]string{"1": "x"}, Queryable: []string{"id"}})
	if err != nil || d.Where == nil || !slices.Equal(d.Where.Columns(), []int{1}) || !slices.Equal(d.Columns, []int{0}) {
		t.Errorf("%+v, %v", d, err)
	}
	for _, c := range []struct {
		where  string
		params map[string]string
		field  string
	}{
		{"zzz = 1", nil, "where"},
		{"id", nil, "where"},
		{"id = $1", nil, "where"},
		{"id = $1", map[string]string{"a": "1"}, "params"},
		{"id = $1", map[string]string{"2": "1"}, "params"},
	} {
		_, err := BuildDef(table, Params{Where: c.where, Params: c.params})
		if fe, ok := errors.AsType[*FieldError](err); !ok || fe.Field != c.field {
			t.Errorf("%s with %v: %v; want a fault of %q", c.where, c.params, err, c.field)
		}
	}
	table.Columns[1].Generated = 's'
	_, err = BuildDef(table, Params{Where: "id = 1 AND n = 'x'", Columns: []string{"id"}})
	if fe, ok := errors.AsType[*FieldError](err); !ok || fe.Field != "where" || !strings.Contains(fe.Msg, `"n" is generated`) {
		t.Errorf("a clause over a column that is not replicated: %v", err)
	}
	a, err := BuildDef(table, Params{Where: "id = 5", Columns: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	for where, same := range map[string]bool{" ( ID=5 ) ": true, "id = 6": false, "": false} {
		b, err := BuildDef(table, Params{Where: where, Columns: []string{"id"}})
		if err != nil {
			t.Fatal(err)
		}
		if (a.Key() == b.Key()) != same {
			t.Errorf("%q: %s, and %s", where, a.Key(), b.Key())
		}
	}
}
