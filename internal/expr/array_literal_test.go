package expr_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// TestArrayLiterals reads texts, most of them wrong, here and in Postgres.
func TestArrayLiterals(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 13))}
	o := newOracle(t)
	o.exec(`create function arr(s text) returns text language plpgsql as
		$$ begin return s::text[]::text; exception when others then return null; end $$`)
	texts := []string{"", "{", "}", "{{{{{{1}}}}}}", "{{{{{{{1}}}}}}}", "{{}}", "{{},{}}", "{{},{1}}", "{{1},{}}", "{1,{2}}", "{{1},2}",
		"{{1,2},{3}}", "[1]={1}", "[2]={1,2}", "[1:2]={1}", "[2:1]={}", "[1:1]={}", "[0:0]={1}", "[-1:-1]={a}", "[1:2147483647]={1}",
		"[ 1:2]={1,2}", "[1:2] = {1,2}", "[1:1][1:2]={{1,2}}", "[+1:2]={1,2}", "[1 :2]={1,2}", "[1:2]{1,2}"}
	for range 3000 {
		var b strings.Builder
		b.WriteString(g.of("", "", "", " ", "[1:2]=", "[2]=", "[0:1][1:1]="))
		open := 0
		for n := 1 + g.IntN(9); n > 0; n-- {
			piece := g.of("{", "{", "}", ",", ",", ",", "a", "b", " ", "NULL", "nUll", `"x"`, `""`, `"a\"b"`, `\a`, `\ `, `\\`, "\t", `"`, "a b", `"NULL"`, `\NULL`)
			if open == 0 {
				piece = "{"
			}
			open += strings.Count(piece, "{") - strings.Count(piece, "}")
			b.WriteString(piece)
		}
		if !g.chance(8) {
			b.WriteString(strings.Repeat("}", max(open, 0)))
		}
		texts = append(texts, b.String()+g.of("", "", "", " ", "x"))
	}
	quoted := make([]string, len(texts))
	for i, s := range texts {
		quoted[i] = quote(s)
	}
	rows, err := o.query("select arr(s) from unnest(array[" + strings.Join(quoted, ",") + "]::text[]) with ordinality u(s, n) order by n")
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, s := range texts {
		got, err := expr.ArrayLiteral(s)
		switch want := rows[i][0]; {
		case (err == nil) != (want != nil):
			t.Errorf("%q: here %q, %v; Postgres %q", s, got, err, want)
		case err == nil && got != string(want):
			t.Errorf("%q: here %q, Postgres %q", s, got, want)
		case err == nil:
			right++
		}
	}
	t.Logf("%d literals, %d of them right", len(texts), right)
	if right < 300 {
		t.Error("too few literals are right")
	}
}
