package expr_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

// tryRow gives the output text of an expression for one row, or the SQLSTATE.
const tryRow = `create function try_row(e text, i int) returns text language plpgsql as $$
	declare result text;
	begin
		execute 'select format(''ok %s%s'', v, case when v is null then ''NULL'' end) from (select (' || e || ') as v from x where id = $1 offset 0) s'
			into result using i;
		return result;
	exception when others then return 'error ' || sqlstate;
	end $$`

// tryAll evaluates two expressions on all rows at once, and row by row if one of
// them fails somewhere.
func (o *oracle) tryAll(a, b string) []wal.Tuple {
	o.t.Helper()
	const form = "format('ok %%s%%s', %[1]s, case when %[1]s is null then 'NULL' end)"
	rows, err := o.query(fmt.Sprintf("select "+fmt.Sprintf(form, "a")+", "+fmt.Sprintf(form, "b")+
		" from (select (%s) as a, (%s) as b from x order by id offset 0) s", a, b))
	if err == nil {
		return rows
	}
	rows, err = o.query(fmt.Sprintf("select try_row(%s, i), try_row(%s, i) from generate_series(0, %d) i order by i",
		quote(a), quote(b), len(o.rows)-1))
	if err != nil {
		o.t.Fatal(err)
	}
	return rows
}

// computes compares random expressions of any type on all rows, here and in
// Postgres, which gets the text itself and the canonical one: the same output
// text, NULL, or an error in all. least is how many pairs that must be.
func (o *oracle) computes(least int, next func() string) {
	o.t.Helper()
	o.t.Logf("seed %d: repeat with -args -expr.seed=%d", *seed, *seed)
	o.exec(tryRow)
	pairs, failing, differing, refused := 0, 0, 0, 0
	clauses := 0
	for done := enough(); !done(clauses, pairs); clauses++ {
		text := next()
		eval, sql, err := expr.ValueIn(o.zones, text, o.cols)
		var refusal *expr.Error
		if errors.As(err, &refusal) {
			refused++
			o.checkComputedRefusal(text, refusal)
			continue
		}
		if err != nil {
			o.t.Fatalf("%s: error of type %T: %v", text, err, err)
		}
		if _, again, err := expr.ValueIn(o.zones, sql, o.cols); err != nil || again != sql {
			o.t.Errorf("%s: canonical text %s\nread again: %s, %v", text, sql, again, err)
		}
		if clause, err := o.zones.Compile(text, nil, o.cols); err == nil {
			o.checkTerms(clause)
		}
		for i, want := range o.tryAll(text, sql) {
			a, b := verdict(want[0]), verdict(want[1])
			if a == conflict || b == conflict {
				break
			}
			pairs++
			out, err := eval(o.rows[i])
			if err != nil && strings.Contains(err.Error(), "servers differ") {
				differing++
				continue
			}
			got := outcome(out, err)
			if got == "error" {
				failing++
			}
			if got != a || got != b {
				o.t.Errorf("%s\ncanonical %s\nrow %d: here %q, Postgres %q, %q for the canonical text", text, sql, i, got, a, b)
				break
			}
		}
	}
	o.t.Logf("%d pairs, %d of them errors in both, %d left open as servers differ; %d of %d expressions refused", pairs, failing, differing, refused, clauses)
	if *rounds >= 900 && pairs < least {
		o.t.Errorf("only %d pairs were compared", pairs)
	}
}

// checkComputedRefusal: what fails for its types or its constants does so in
// Postgres too, on any row; but a constant that a COALESCE or CASE of constants
// leaves aside.
func (o *oracle) checkComputedRefusal(text string, refusal *expr.Error) {
	o.t.Helper()
	lower := strings.ToLower(text)
	aside := strings.Contains(refusal.Msg, "constant arguments") && (strings.Contains(lower, "coalesce") || strings.Contains(lower, "case"))
	if aside || strings.Contains(refusal.Msg, "servers differ") {
		return
	}
	for _, reason := range []string{"overload", "constant arguments", "invalid syntax", "syntax error"} {
		if !strings.Contains(refusal.Msg, reason) {
			continue
		}
		rows, err := o.query("select pg_typeof(" + text + ") from x where id = 0")
		if err == nil && string(rows[0][0]) != "jsonb" { // 'x' - name is jsonb - text
			o.t.Errorf("%s: %v, but Postgres computes it", text, refusal)
		}
		return
	}
}

func outcome(text []byte, err error) string {
	switch {
	case err != nil:
		return "error"
	case text == nil:
		return "ok NULL"
	}
	return "ok " + string(text)
}

// conflict: two columns have collations of their own. It depends on the rows
// whether Postgres says so.
const conflict = "error 42P22"

// verdict is what tryRow said; an error of the class 42 is one of the expression
// itself, not of a value.
func verdict(b []byte) string {
	if code, failed := strings.CutPrefix(string(b), "error "); failed && !strings.HasPrefix(code, "42") {
		return "error"
	}
	return string(b)
}
