package expr

import (
	"regexp"
	"strings"
	"testing"
)

var orderColumns = []Column{
	{Name: "id", Type: Type{OID: 23, Name: "int4", Base: 23}},
	{Name: "time", Type: Type{OID: 1083, Name: "time", Base: 1083}},
	{Name: `A "b"`, Type: Type{OID: 25, Name: "text", Base: 25}},
	{Name: "nulls", Type: Type{OID: 25, Name: "text", Base: 25}},
}

func TestOrder(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`id`, `"id" ASC`},
		{`id desc`, `"id" DESC`},
		{`ID ASC NULLS FIRST, time DESC nulls last`, `"id" ASC NULLS FIRST, "time" DESC NULLS LAST`},
		{`"A ""b""" DESC`, `"A ""b""" DESC`},
		{`((id)) desc`, `"id" DESC`},
		{`"nulls" nulls first`, `"nulls" ASC NULLS FIRST`},
		{`nulls nulls first`, `"nulls" ASC NULLS FIRST`},
		{`id -- a comment`, `"id" ASC`},
		{`id, id desc`, `"id" ASC`}, // the second can change nothing
		{`1`, ``},
		{`'x' desc, null, true, id, -- nothing
			2.5`, `"id" ASC`},
		// refused
		{`zzz`, `At location 18: unknown reference zzz`},
		{`"ID"`, `At location 18: unknown reference ID`},
		{`boats.id`, `At location 18: unknown reference boats.id`},
		{`id, lower(id)`, `At location 22: FuncCall expressions are not allowed in ORDER BY clauses`},
		{`é, id`, `At location 18: unknown reference é`},
		{`"A ""b""", é.*`, `At location 31: A_Star expressions are not allowed in ORDER BY clauses`},
		{`id::text`, `At location 20: TypeCast expressions are not allowed in ORDER BY clauses`},
		{`cast(id as text)`, `At location 18: TypeCast expressions are not allowed in ORDER BY clauses`},
		{`date '2026-01-01'`, `At location 18: TypeCast expressions are not allowed in ORDER BY clauses`},
		{`id + 1`, `At location 21: A_Expr expressions are not allowed in ORDER BY clauses`},
		{`-id`, `At location 18: A_Expr expressions are not allowed in ORDER BY clauses`},
		{`(select 1)`, `At location 18: SubLink expressions are not allowed in ORDER BY clauses`},
		{`exists (select 1)`, `At location 18: SubLink expressions are not allowed in ORDER BY clauses`},
		{`case when true then 1 end`, `At location 18: CaseExpr expressions are not allowed in ORDER BY clauses`},
		{`not true`, `At location 18: BoolExpr expressions are not allowed in ORDER BY clauses`},
		{`id is null`, `At location 21: NullTest expressions are not allowed in ORDER BY clauses`},
		{`(id is true)`, `At location 22: BooleanTest expressions are not allowed in ORDER BY clauses`},
		{`id in (1)`, `At location 21: A_Expr expressions are not allowed in ORDER BY clauses`},
		{`(id, time)`, `At location 21: RowExpr expressions are not allowed in ORDER BY clauses`},
		{`coalesce(id, 1)`, `At location 18: CoalesceExpr expressions are not allowed in ORDER BY clauses`},
		{`id collate "C"`, `At location 21: CollateClause expressions are not allowed in ORDER BY clauses`},
		{`id[1]`, `At location 20: A_Indirection expressions are not allowed in ORDER BY clauses`},
		{`array[id]`, `At location 18: A_ArrayExpr expressions are not allowed in ORDER BY clauses`},
		{`now()`, `At location 18: FuncCall expressions are not allowed in ORDER BY clauses`},
		{`current_user`, `At location 18: SQLValueFunction expressions are not allowed in ORDER BY clauses`},
		{`id, $1`, `At location 22: parameter $1 is not supported in ORDER BY clauses`},
		{`id using >`, `At location 21: USING is not supported in ORDER BY clauses`},
		{`id; drop table boats`, "Unexpected `;` in order by"},
		{`id limit 1`, `malformed query ending with SQL clauses`},
		{`id for update`, `malformed query ending with SQL clauses`},
		{`id asc desc`, `At location 25: syntax error at or near "desc"`},
		{`id nulls`, `At location 26: syntax error at end of input`},
		{`id nulls "first"`, `At location 27: syntax error at or near ""first""`},
		{`id,`, `At location 21: syntax error at end of input`},
		{`(id`, `At location 21: syntax error at end of input`},
		{`id)`, `At location 20: syntax error at or near ")"`},
		{`id time`, `At location 21: syntax error at or near "time"`},
		{``, `At location 18: syntax error at end of input`},
		{`'open`, `At location 18: unterminated quoted string at or near "'open"`},
		{"id\x00", `invalid byte sequence for encoding "UTF8"`},
		{strings.Repeat("x", MaxSize+1), `ORDER BY clause is bigger than maximum size of 65536 bytes`},
	} {
		o, err := CompileOrder(c.text, orderColumns)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = o.SQL()
		}
		if got != c.want {
			t.Errorf("%.60s\n got  %s\n want %s", c.text, got, c.want)
		}
	}
}

// What comes out is names of columns and our own words, whatever comes in.
func FuzzOrder(f *testing.F) {
	for _, s := range []string{`id desc nulls last, "A ""b"""`, `(id), 1, 'x;'`, `time --`, `id /* */ asc`, `"id"";drop"`, `$$x$$, e'\''`} {
		f.Add(s)
	}
	const name = `("id"|"time"|"A ""b"""|"nulls")`
	const item = name + ` (ASC|DESC)( NULLS (FIRST|LAST))?`
	form := regexp.MustCompile(`^(` + item + `(, ` + item + `)*)?$`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := CompileOrder(text, orderColumns)
		if err != nil {
			return
		}
		if !form.MatchString(o.SQL()) {
			t.Fatalf("%q became %s", text, o.SQL())
		}
		if again, err := CompileOrder(o.SQL(), orderColumns); o.SQL() != "" && (err != nil || again.SQL() != o.SQL()) {
			t.Fatalf("%s read again: %v", o.SQL(), err)
		}
	})
}
