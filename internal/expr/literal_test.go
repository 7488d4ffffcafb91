package expr_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

// allTypes are the types that casts know.
var allTypes = []string{"bool", "int2", "int4", "int8", "numeric", "float4", "float8", "text", "varchar", "bpchar", "name",
	"uuid", "bytea", "json", "jsonb", "date", "timestamp", "timestamptz", "time", "timetz", "interval"}

// tryFunction gives the result of an expression as text, or the error.
const tryFunction = `create function try(e text) returns text language plpgsql as $$
	declare result text;
	begin
		execute 'select coalesce((' || e || ')::text, ''NULL'')' into result;
		return 'ok ' || result;
	exception when others then return 'error ' || sqlstate || ' ' || sqlerrm;
	end $$`

// try asks Postgres for many expressions of constants at once.
func (o *oracle) try(list []string) []string {
	o.t.Helper()
	var b strings.Builder
	b.WriteString("select try(e) from unnest(array[")
	for i, e := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(e))
	}
	b.WriteString("]::text[]) with ordinality as x(e, n) order by n")
	rows, err := o.query(b.String())
	if err != nil {
		o.t.Fatal(err)
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = string(r[0])
	}
	return out
}

// fold gives the text of a constant expression.
func (o *oracle) fold(e string) (string, error) {
	eval, _, err := expr.ValueIn(o.zones, "("+e+")::text", nil)
	if err != nil {
		return "", err
	}
	text, err := eval(nil)
	if text == nil {
		return "NULL", err
	}
	return string(text), err
}

// checkFolding compares constants here and there. What we take, Postgres takes
// and prints alike; what we refuse may be legal there only if lenient says so.
func (o *oracle) checkFolding(exprs, types []string, lenient func(e string) bool) {
	o.t.Helper()
	wants := o.try(exprs)
	refused := 0
	for i, e := range exprs {
		want, isOK := strings.CutPrefix(wants[i], "ok ")
		got, err := o.fold(e)
		switch {
		case err != nil && strings.Contains(err.Error(), "servers"):
			refused++
		case err != nil && isOK && !lenient(e):
			o.t.Errorf("%s: %v, Postgres gives %q", e, err, want)
		case err != nil && isOK:
			refused++
		case err == nil && !isOK:
			o.t.Errorf("%s: gives %q, Postgres: %s", e, got, wants[i])
		case err == nil && got != want:
			o.t.Errorf("%s: gives %q, Postgres %q", e, got, want)
		}
	}
	o.t.Logf("%d constants, %d refused that Postgres takes", len(exprs), refused)
}

// TestConstantCasts casts edge values of every type to every other.
func TestConstantCasts(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	g := &generator{rand.New(rand.NewPCG(*seed, 1))}
	var exprs, types []string
	for _, from := range allTypes {
		for _, to := range allTypes {
			for range 12 {
				exprs = append(exprs, quote(g.value(from))+"::"+from+"::"+to)
				types = append(types, to)
			}
		}
	}
	o.checkFolding(exprs, types, func(e string) bool {
		// Postgres before 17 overflows in the cast to time; 18 makes NULL of a null, and
		// has casts between bytea and integers.
		return strings.Contains(e, "-2562047788") || strings.Contains(e, "null'::jsonb") || byteaOfInt.MatchString(e)
	})
}

// TestLiterals feeds spoilt texts to the input functions.
func TestLiterals(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	g := &generator{rand.New(rand.NewPCG(*seed, 2))}
	var exprs, types []string
	for _, typ := range allTypes {
		for range 400 {
			text := g.value(typ)
			for range 1 + g.IntN(3) {
				text = g.spoil(text)
			}
			exprs = append(exprs, quote(text)+"::"+typ)
			types = append(types, typ)
		}
	}
	o.checkFolding(exprs, types, func(e string) bool {
		// Postgres takes many more forms of dates and times, some of which
		// depend on settings; and what C's strtod and strtol know besides numbers.
		return strings.HasSuffix(e, "date") || strings.Contains(e, "::time") ||
			strings.Contains(e, "float") && oddFloat.MatchString(e) ||
			strings.Contains(e, "numeric") && blankExponent.MatchString(e) ||
			newNumber.MatchString(e)
	})
}

var byteaOfInt = regexp.MustCompile(`::int\d::bytea|::bytea::int\d`)

var (
	oddFloat = regexp.MustCompile(`(?i)0x|[-+]nan`)
	// newNumber is what the input of numbers knows from Postgres 16 on.
	newNumber     = regexp.MustCompile(`(?i)\d_\d|0[xob]`)
	blankExponent = regexp.MustCompile(`(?i)e\s`)
)

// spoil changes one place of a text.
func (g *generator) spoil(text string) string {
	runes := []rune(text)
	i := g.IntN(len(runes) + 1)
	piece := g.of("", " ", "-", "+", "0", "1", "9", "e", ".", "E5", ":", "T", "Z", " BC", "a", "f", "nan", "{", "}", "00", "_", "\n", "inf", "x")
	end := min(i+g.IntN(2), len(runes))
	return string(runes[:i]) + piece + string(runes[end:])
}

// TestFloatText compares the shortest form of random floats.
func TestFloatText(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	r := rand.New(rand.NewPCG(*seed, 3))
	var exprs, types []string
	for range 2000 {
		typ := [...]string{"float4", "float8", "numeric"}[r.IntN(3)]
		exp := r.IntN(76) - 38
		if typ != "float4" && r.IntN(2) == 0 {
			exp = r.IntN(600) - 300
		}
		exprs = append(exprs, fmt.Sprintf("'%.*ge%d'::%s", 1+r.IntN(17), r.Float64()*10, exp, typ))
		types = append(types, typ)
	}
	o.checkFolding(exprs, types, func(e string) bool { return strings.HasSuffix(e, "float4") })
}

// TestLowerCase compares the letters that ILIKE knows with lower() of Postgres:
// no other character may become one of them.
func TestLowerCase(t *testing.T) {
	o := newOracle(t)
	rows, err := o.query(`select chr(i), lower(chr(i) collate "C.utf8") from generate_series(128, 201546) i
		where i not between 55296 and 57343 and lower(chr(i) collate "C.utf8") <> chr(i)`)
	if err != nil {
		t.Fatal(err)
	}
	cols := []expr.Column{{Name: "t", Type: expr.Type{OID: 25, Base: 25, Name: "text"}, Bytewise: true, Deterministic: true,
		Case: expr.CaseUnicode}}
	checked := 0
	for _, r := range rows {
		upper, lower := string(r[0]), string(r[1])
		if upper == "İ" {
			continue // refused
		}
		e, err := expr.Compile("t ilike "+quote(lower), nil, cols)
		if err != nil {
			continue // not a letter we know
		}
		checked++
		if ok, err := e.Match([][]byte{[]byte(upper)}); err != nil || !ok {
			t.Errorf("%s ilike %s: %v, %v", upper, lower, ok, err)
		}
	}
	if checked < 100 {
		t.Errorf("only %d letters were checked", checked)
	}
}

// TestLetters compares lower() and upper() with those of Postgres, for every
// character: either they agree, or ours refuses.
func TestLetters(t *testing.T) {
	o := newOracle(t)
	for _, c := range []struct {
		collate string
		letters expr.Case
		least   int
	}{{"C.utf8", expr.CaseUnicode, 100000}, {"C", expr.CaseASCII, 1100000}} {
		rows, err := o.query(`select c, lower(c), upper(c) from (select chr(i) collate "` + c.collate + `" as c
			from generate_series(1, 1114111) i where i not between 55296 and 57343 offset 0) s`)
		if err != nil {
			t.Fatal(err)
		}
		cols := []expr.Column{{Name: "t", Type: expr.Type{OID: 25, Base: 25, Name: "text"}, Deterministic: true, Case: c.letters}}
		lower, _, err := expr.Value("lower(t)", cols)
		if err != nil {
			t.Fatal(err)
		}
		upper, _, err := expr.Value("upper(t)", cols)
		if err != nil {
			t.Fatal(err)
		}
		known := 0
		for _, r := range rows {
			low, err := lower(wal.Tuple{r[0]})
			up, err2 := upper(wal.Tuple{r[0]})
			if err == nil && string(low) != string(r[1]) || err2 == nil && string(up) != string(r[2]) {
				t.Errorf("%s: %q has the lower case %q, the upper case %q; here %q, %q", c.collate, r[0], r[1], r[2], low, up)
			}
			if err == nil && err2 == nil {
				known++
			}
		}
		if known < c.least {
			t.Errorf("%s: only %d characters are known", c.collate, known)
		}
	}
}

// catalogueKinds are the types of the tables, by OID.
const catalogueKinds = "(16, 21, 23, 20, 1700, 700, 701, 25, 1043, 1042, 19, 2950, 17, 1082, 1114, 1184, 1083, 1266, 1186, 114, 3802)"

// TestTables compares the tables of casts and operators with the catalogue.
func TestTables(t *testing.T) {
	o := newOracle(t)
	rows, err := o.query(`select s.typname || ' ' || d.typname || case castcontext when 'i' then ' implicit' else '' end
		from pg_cast join pg_type s on s.oid = castsource join pg_type d on d.oid = casttarget
		where castsource <> casttarget and castsource in ` + catalogueKinds + ` and casttarget in ` + catalogueKinds + `
		and 'bytea'::regtype not in (castsource, casttarget)`) // Postgres 18 has some
	if err != nil {
		t.Fatal(err)
	}
	compareSets(t, "cast", texts(rows), expr.CastNames())
	rows, err = o.query(`select o.oprname || ' ' || l.typname || ' ' || r.typname
		from pg_operator o join pg_type l on l.oid = oprleft join pg_type r on r.oid = oprright
		where oprname in ('=', '<>', '<', '<=', '>', '>=', '~~', '!~~', '~~*', '!~~*', '@>', '<@', '?')
		and oprleft in ` + catalogueKinds + ` and oprright in ` + catalogueKinds + ``)
	if err != nil {
		t.Fatal(err)
	}
	compareSets(t, "operator", texts(rows), expr.OperatorNames())
}

// TestFunctionCatalogue: of each name and number of operands we have all rows of
// pg_proc over our types, so that the choice among them is Postgres's.
func TestFunctionCatalogue(t *testing.T) {
	o := newOracle(t)
	var ours, known []string
	for _, f := range expr.FunctionNames() {
		if !strings.HasPrefix(f, "ilike ") { // Electric's
			ours = append(ours, f)
			known = append(known, fmt.Sprintf("(%s, %d)", quote(strings.Fields(f)[0]), len(strings.Fields(f))-1))
		}
	}
	rows, err := o.query(`select proname || ' ' || (select string_agg(t.typname, ' ' order by n) from unnest(proargtypes) with ordinality a(oid, n)
			join pg_type t on t.oid = a.oid)
		from pg_proc p where pronamespace = 'pg_catalog'::regnamespace and (proname, pronargs) in (` + strings.Join(known, ", ") + `)
		and not exists (select from unnest(proargtypes) a(oid) where a.oid not in ` + catalogueKinds + `)`)
	if err != nil {
		t.Fatal(err)
	}
	compareSets(t, "function", texts(rows), ours)
}

func texts(rows []wal.Tuple) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = string(r[0])
	}
	return out
}

func compareSets(t *testing.T, what string, want, got []string) {
	t.Helper()
	have := map[string]bool{}
	for _, g := range got {
		have[g] = true
	}
	for _, w := range want {
		if !have[w] {
			t.Errorf("%s %s is missing", what, w)
		}
		delete(have, w)
	}
	for g := range have {
		t.Errorf("%s %s is not in the catalogue", what, g)
	}
}
