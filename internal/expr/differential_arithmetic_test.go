package expr_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// tryRow gives the output text of an expression for one row, or the SQLSTATE.
const tryRow = `create function try_row(e text, i int) returns text language plpgsql as $$
	declare result text;
	begin
		execute 'select format(''%s'', ' || e || ') || case when (' || e || ') is null then ''NULL'' else '''' end from x where id = $1'
			into result using i;
		return 'ok ' || result;
	exception when others then return 'error ' || sqlstate;
	end $$`

// computed is a random expression that is no bool.
func (g *generator) computed(depth int) string {
	family := g.of("number", "number", "number", "number", "time", "string", "bool", "uuid", "zoned")
	return g.term(family, depth)
}

func (g *generator) term(family string, depth int) string {
	if depth == 0 || g.chance(5) {
		if g.chance(3) {
			return g.constant(family)
		}
		return g.columnOf(family)
	}
	l, r := g.term(family, depth-1), g.term(family, depth-1)
	if g.chance(30) { // mostly to be refused
		r = g.term(g.of("number", "string", "time"), depth-1)
	}
	if g.chance(6) {
		return g.of("coalesce(", "COALESCE (") + l + ", " + r + ")"
	}
	switch family {
	case "bool", "uuid", "zoned":
		return "coalesce(" + l + ", " + r + ")"
	case "string":
		return "(" + l + " || " + r + ")"
	case "time":
		if g.chance(3) {
			return "(" + g.of("d", "d2") + " - " + g.of("d", "d2", "'2024-02-29'", "epoch") + ")"
		}
		return "(" + g.of("d", "d2", "date '2024-02-29'") + g.of(" + ", " - ") + g.of("i2", "i4", "1", "365", "-7", "i4b") + ")"
	}
	if g.chance(5) {
		return "(" + g.of("- ", "+ ", "@ ", "~ ", "|/ ") + l + ")"
	}
	return "(" + l + g.of(" + ", " - ", " * ", " / ", " % ", " & ", " | ", " # ", " / ", " * ") + r + ")"
}

// TestDifferentialArithmetic computes random expressions on random rows here and
// in Postgres: the same text, NULL, or an error in both.
func TestDifferentialArithmetic(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 11))}
	o := newOracle(t)
	o.exec(tryRow)
	o.fill(g, 50)
	pairs, failing, refused := 0, 0, 0
	for range *rounds {
		text := g.computed(2)
		eval, err := expr.Value(text, o.cols)
		var refusal *expr.Error
		if errors.As(err, &refusal) {
			refused++
			o.checkComputedRefusal(text, refusal)
			continue
		}
		rows, err := o.query(fmt.Sprintf("select try_row(%s, i) from generate_series(0, %d) i order by i", quote(text), len(o.rows)-1))
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range o.rows {
			pairs++
			got := "error"
			if b, err := eval(row); err == nil {
				got = "ok " + string(b)
				if b == nil {
					got = "ok NULL"
				}
			} else {
				failing++
			}
			want := string(rows[i][0])
			if code, failed := strings.CutPrefix(want, "error "); failed && !strings.HasPrefix(code, "42") {
				want = "error"
			}
			if got != want {
				t.Errorf("%s on row %d: here %q, Postgres %q", text, i, got, want)
				break
			}
		}
	}
	t.Logf("%d pairs, %d of them errors in both; %d expressions refused", pairs, failing, refused)
	if *rounds >= 900 && pairs < 20000 {
		t.Errorf("only %d pairs were compared", pairs)
	}
}

// checkComputedRefusal: Postgres refuses it as well, on any row, but for || of a
// text and something else, which we want cast.
func (o *oracle) checkComputedRefusal(text string, refusal *expr.Error) {
	o.t.Helper()
	if !strings.Contains(refusal.Msg, "overload") && !strings.Contains(refusal.Msg, "constant arguments") &&
		!strings.Contains(refusal.Msg, "invalid syntax") {
		return
	}
	if strings.Contains(text, "||") {
		return
	}
	if _, err := o.query("select " + text + " from x where id = 0"); err == nil {
		o.t.Errorf("%s: %v, but Postgres computes it", text, refusal)
	}
}

// TestComputationCatalogue: for each name we know all rows of pg_operator over
// our types, but those that give an interval or a timestamp from parts.
func TestComputationCatalogue(t *testing.T) {
	o := newOracle(t)
	names := quoteList(allTypes)
	rows, err := o.query(`select oprname || ' ' || coalesce(l.typname, '-') || ' ' || r.typname || ' ' || res.typname
		from pg_operator o left join pg_type l on l.oid = oprleft join pg_type r on r.oid = oprright
		join pg_type res on res.oid = oprresult
		where oprnamespace = 'pg_catalog'::regnamespace and (oprleft = 0 or l.typname in (` + names + `))
		and r.typname in (` + names + `) and res.typname in (` + names + `)
		and (oprleft <> 0 and oprname in ('+', '-', '*', '/', '%', '&', '|', '#', '||')
			or oprleft = 0 and oprname in ('+', '-', '@', '~', '|/'))`)
	if err != nil {
		t.Fatal(err)
	}
	compareSets(t, "computation", texts(rows), expr.ComputationNames())
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ", ")
}
