package expr_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// items are the columns that the tables below speak of.
var items = []expr.Column{
	0:  col("id", 23, "int4"),
	1:  col("n", 23, "int4"),
	2:  col("title", 25, "text"),
	3:  col("ok", 16, "bool"),
	4:  col("ok2", 16, "bool"),
	5:  col("u", 2950, "uuid"),
	6:  col("j", 3802, "jsonb"),
	7:  col("userId", 20, "int8"),
	8:  col("c", 1042, "bpchar"),
	9:  col("price", 1700, "numeric"),
	10: col("d", 1082, "date"),
	11: col("ts", 1114, "timestamp"),
	12: col("f4", 700, "float4"),
	13: {Name: "mood", Type: expr.Type{OID: 90001, Base: 90001, Name: "mood", Enum: []string{"sad", "ok"}}},
	14: {Name: "mood2", Type: expr.Type{OID: 90002, Base: 90002, Name: "other", Enum: []string{"sad", "ok"}}},
	15: {Name: "en", Type: expr.Type{OID: 25, Base: 25, Name: "text"}, Deterministic: true, Case: expr.CaseUnicode},
	16: {Name: "nd", Type: expr.Type{OID: 25, Base: 25, Name: "text"}},
	17: {Name: "tags", Type: expr.Type{OID: 1009, Base: 1009, Name: "_text", Array: true}},
	18: {Name: "pos", Type: expr.Type{OID: 90003, Base: 23, Name: "pos"}},
	19: {Name: "pair", Type: expr.Type{OID: 90004, Base: 90004, Name: "pair", Row: true}},
	20: col("end", 23, "int4"),
	21: {Name: "xx", Type: expr.Type{OID: 25, Base: 25, Name: "text"}, Deterministic: true},
}

func col(name string, oid uint32, typ string) expr.Column {
	return expr.Column{Name: name, Type: expr.Type{OID: oid, Base: oid, Name: typ}, Bytewise: true, Deterministic: true,
		Case: expr.CaseASCII}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("(", 10000) + "true" + strings.Repeat(")", 10000)
	for _, c := range []struct{ where, want string }{
		{"1 x 1", `At location 17: syntax error at or near "x"`},
		{"n + ", `At location 19: syntax error at end of input`},
		{"", `At location 15: syntax error at end of input`},
		{"ä = = 1", `At location 19: syntax error at or near "="`},
		{"end = 1", `At location 15: syntax error at or near "end"`},
		{"n = 'abc", `At location 19: unterminated quoted string at or near "'abc"`},
		{"n = 1 /* x", `At location 21: unterminated /* comment at or near "/* x"`},
		{`"" = 1`, `At location 15: zero-length delimited identifier at or near """"`},
		{"n = 1x", `At location 19: trailing junk after numeric literal at or near "1x"`},
		{"n = 1 = 1", `At location 21: syntax error at or near "="`},
		{"title like 'a' like 'b'", `At location 30: syntax error at or near "like"`},
		{"left = 1", `At location 20: syntax error at or near "="`},
		{"1", "WHERE clause must return a boolean"},
		{"n", "WHERE clause must return a boolean"},
		{"'x'", "WHERE clause must return a boolean"},
		{"NULL", "WHERE clause must return a boolean"},
		{"true; select 1", `unescaped ";" causing statement split`},
		{"n = 1; drop table x", `unescaped ";" causing statement split`},
		{"n=1 ORDER BY n", "malformed query ending with SQL clauses"},
		{"n=1 GROUP BY n", "malformed query ending with SQL clauses"},
		{"n=1 FOR UPDATE", "malformed query ending with SQL clauses"},
		{"n=1 LIMIT 1", "malformed query ending with SQL clauses"},
		{"true UNION SELECT 1", "malformed query ending with SQL clauses"},
		{"zzz = 1", "At location 0: unknown reference zzz"},
		{"userid = 1", "At location 0: unknown reference userid"},
		{"items.n = 1", "At location 0: unknown reference items.n"},
		{"id=$1", "At location 3: parameter $1 was not provided"},
		{"count(*) > 1", "At location 0: aggregation is not supported in this context"},
		{"sum(n) OVER () > 1", "At location 0: aggregation is not supported in this context"},
		{"now() > ts", "At location 0: unknown or unsupported function now/0"},
		{"length(title) = 1", "At location 0: unknown or unsupported function length/1"},
		{"concat(VARIADIC tags) = 'x'", "At location 0: explicit VARIADIC function calls are not currently supported"},
		{"CASE WHEN ok THEN true", "At location 37: syntax error at end of input"},
		{"CASE END", `At location 20: syntax error at or near "END"`},
		{"CASE WHEN n THEN true END", "At location 10: expression of type int4 is not castable to bool"},
		{"CASE n WHEN 1 THEN 2 ELSE title END = 2", "At location 0: CASE types text and int4 cannot be matched"},
		{"CURRENT_DATE = '2020-01-01'", "At location 0: SQLValueFunction is not supported in this context"},
		{`title COLLATE "C" = 'x'`, "At location 6: CollateClause is not supported in this context"},
		{"EXISTS (SELECT 1)", "At location 0: only `value IN (SELECT ...)` sublinks are supported right now"},
		{"(SELECT 1) = 1", "At location 1: only `value IN (SELECT ...)` sublinks are supported right now"},
		{"n IN (SELECT 1)", "At location 6: subqueries are not supported yet"},
		{"NULLIF(n) = 2", `At location 23: syntax error at or near ")"`},
		{"NULLIF(n, 1, 2) = 2", `At location 26: syntax error at or near ","`},
		{"NULLIF(n, title) = 2", "At location 0: Could not select an operator overload"},
		{"greatest(n, title) = 1", "At location 0: GREATEST types int4 and text cannot be matched"},
		{"least(title, 'a', en) = 'a'", `At location 0: the order of text cannot be decided here, as the collation of "title" does not compare bytes (C, POSIX and C.UTF-8 do)`},
		{"lower(n) = 'x'", "At location 0: Could not select a function overload for lower(int4)"},
		{"lower(title, 'x') = 'x'", "At location 0: unknown or unsupported function lower/2"},
		{"upper(xx) = 'x'", "At location 0: upper() is not supported here, as the rules for upper and lower case of the collation are not known"},
		{"lower('I') = title", "At location 0: lower() is not supported here, as the rules for upper and lower case of the collation are not known"},
		{"concat() = 'x'", "At location 0: unknown or unsupported function concat/0"},
		{"concat(pair) = 'x'", "At location 0: Could not select a function overload for concat(pair)"},
		{"like(title, n)", "At location 0: Could not select a function overload for like(text, int4)"},
		{"int4('x') = n", `At location 5: could not cast value "x" from text to int4`},
		{"uuid(n) = u", "At location 0: Could not select a function overload for uuid(int4)"},
		{"title || pair = 'x'", "At location 6: Could not select an operator overload"},
		{"title SIMILAR TO 'a'", "At location 6: unknown or unsupported function similar_to_escape/1"},
		{"title LIKE 'a!%' ESCAPE '!!'", "At location 6: Failed to apply function to constant arguments"},
		{"B'1' = B'1'", "At location 0: BitString values are not supported"},
		{"title ~ 'x'", `At location 6: unknown binary operator "~"`},
		{"(ts, ts) OVERLAPS (ts, ts)", "At location 9: unknown or unsupported function overlaps/4"},
		{"title IS NFC NORMALIZED", "At location 6: unknown or unsupported function is_normalized/2"},
		{"COLLATION FOR (title) = 'C'", "At location 0: unknown or unsupported function pg_collation_for/1"},
		{"n << 2 = 0", `At location 2: unknown binary operator "<<"`},
		{"! n = 0", `At location 0: unknown unary operator "!"`},
		{"- title = 0", "At location 0: Could not select an operator overload"},
		{"coalesce(n, title) = 1", "At location 0: COALESCE types int4 and text cannot be matched"},
		{"coalesce() = 1", `At location 24: syntax error at or near ")"`},
		{"n + title = 1", "At location 2: Could not select an operator overload"},
		{"d + '1' = d", "At location 2: Could not select an operator overload"},
		{"1/0 = 1", "At location 1: Failed to apply function to constant arguments"},
		{"2147483647 + 1 = 1", "At location 11: Failed to apply function to constant arguments"},
		{"n = title", "At location 2: Could not select an operator overload"},
		{"mood = mood2", "At location 5: Could not select an operator overload"},
		{"mood = 'glad'", "At location 7: invalid syntax for type enum mood: glad"},
		{"j = '{'", "At location 4: invalid syntax for type jsonb: {"},
		{"j < '{}'", "At location 2: the order of jsonb cannot be decided here, as it depends on the database's collation"},
		{"greatest(j, '1') = '1'", "At location 0: GREATEST of type jsonb is not supported"},
		{"j - 'a' = '{}'", "At location 2: Could not select an operator overload"},
		{"j['a'] = '1'", "At location 1: cannot subscript type jsonb"},
		{"j @? '$.a'", `At location 2: unknown binary operator "@?"`},
		{"'{}' @> '{}'", "At location 5: Could not select an operator overload"},
		{"'{}' -> 'a' = '1'", "At location 5: Could not select an operator overload"},
		{"title ?| '{a}'", "At location 6: Could not select an operator overload"},
		{"n::jsonb is null", "At location 1: unknown cast from type int4 to type jsonb"},
		{"j = '" + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + "'", "At location 4: invalid syntax for type jsonb: " +
			strings.Repeat("[", 1001) + strings.Repeat("]", 1001)},
		{`j = '"\u0000"'`, `At location 4: invalid syntax for type jsonb: "\u0000"`},
		{"json_object('a' : 1) is null", "At location 0: JsonObjectConstructor is not supported in this context"},
		{"title is json", "At location 6: JsonIsPredicate is not supported in this context"},
		{"title is not document", "At location 6: XmlExpr is not supported in this context"},
		{"title is normalized", "At location 6: unknown or unsupported function is_normalized/1"},
		{"xmlelement(name x) is null", "At location 0: XmlExpr is not supported in this context"},
		{"grouping(n) = 1", "At location 0: GroupingFunc is not supported in this context"},
		{"n = any(5)", "At location 2: argument of ANY must be an array"},
		{"n > all(title)", "At location 2: argument of ALL must be an array"},
		{"n + any(tags) = 1", "At location 2: ANY/ALL requires operator that returns bool"},
		{"ARRAY[1, 'x'::text] = tags", "At location 0: ARRAY types int4 and text cannot be matched"},
		{"ARRAY[] = tags", "At location 0: cannot determine type of empty array"},
		{"n[1] = 1", "At location 1: cannot subscript type int4"},
		{"tags[ok] = 'a'", "At location 5: array subscript must have type integer"},
		{"tags = '{{{{{{{a}}}}}}}'", "At location 7: number of dimensions (7) exceeds maximum of 6"},
		{"(n, id) = (1, 2, 3)", "At location 8: unequal number of entries in row expressions"},
		{"max(n) FILTER (WHERE ok) = 1", "At location 0: aggregation is not supported in this context"},
		{"count(DISTINCT n) = 1", "At location 0: aggregation is not supported in this context"},
		{"n::xml is null", "At location 1: unsupported type xml"},
		{"title::varchar(0) = 'x'", "At location 5: the length of varchar must be a number from 1 to 10485760"},
		{"title::varchar(a) = 'x'", `At location 30: syntax error at or near "a"`},
		{"price::numeric(3, 4) = 1", "At location 5: the precision of numeric must be a number from 1 to 1000, its scale one from 0 to the precision"},
		{"n::float(54) = 1", "At location 11: the precision of float must be a number from 1 to 53"},
		{"ts::timestamp(9) = ts", "At location 2: the precision of timestamp must be a number from 0 to 6"},
		{"12345::numeric(3) = 1", "At location 5: Failed to apply function to constant arguments"},
		{"n::uuid = u", "At location 1: unknown cast from type int4 to type uuid"},
		{"n = 'abc'", "At location 4: invalid syntax for type int4: abc"},
		{"n='99999999999'", "At location 2: invalid syntax for type int4: 99999999999"},
		{"'a'::int4 = n", `At location 0: could not cast value "a" from text to int4`},
		{"ok = 'maybe'", "At location 5: invalid syntax for type bool: maybe"},
		{"n IS TRUE", "At location 2: argument of IS TRUE must be bool, not int4"},
		{"n IS NOT UNKNOWN", "At location 2: argument of IS NOT UNKNOWN must be bool, not int4"},
		{"n AND ok", "At location 0: expression of type int4 is not castable to bool"},
		{"NOT n", "At location 4: expression of type int4 is not castable to bool"},
		{`title LIKE 'a\'`, "At location 6: LIKE pattern must not end with escape character"},
		{"en < 'x'", `At location 3: the order of text cannot be decided here, as the collation of "en" does not compare bytes (C, POSIX and C.UTF-8 do)`},
		{"'a' < 'b'", "At location 4: the order of text cannot be decided here, as the database's collation does not compare bytes (C, POSIX and C.UTF-8 do)"},
		{"nd = 'x'", `At location 3: text cannot be compared here, as the collation of "nd" is not deterministic`},
		{"xx ILIKE 'x'", "At location 3: ILIKE is not supported here, as the rules for upper and lower case of the collation are not known"},
		{"en ILIKE 'ſ'", `At location 3: ILIKE is not supported for the letter 'ſ': the lower case of a letter depends on the server's locale`},
		{"\xff = 1", `invalid byte sequence for encoding "UTF8"`},
		{deep, "At location 4000: expression is nested too deeply"},
		{strings.Repeat("not ", 2000) + "true", "At location 4000: expression is nested too deeply"},
		{nested("ok in (%, ok2)", 40), "At location 0: expression is too complex"},
	} {
		_, err := expr.Compile(c.where, nil, items)
		var refusal *expr.Error
		if !errors.As(err, &refusal) || refusal.Field != "where" {
			t.Errorf("%.80s: got %v, want a refusal", c.where, err)
			continue
		}
		if refusal.Msg != c.want && !(strings.HasSuffix(c.want, "too complex") && strings.HasSuffix(refusal.Msg, "too complex")) {
			t.Errorf("%.80s:\n got %s\nwant %s", c.where, refusal.Msg, c.want)
		}
	}
}

// nested puts a form into itself, in the place of %.
func nested(form string, n int) string {
	s := "ok"
	for range n {
		s = strings.Replace(form, "%", s, 1)
	}
	return s
}

func TestSize(t *testing.T) {
	fits := "ok" + strings.Repeat(" ", expr.MaxSize-2)
	if _, err := expr.Compile(fits, nil, items); err != nil {
		t.Error(err)
	}
	_, err := expr.Compile(fits+" ", nil, items)
	if err == nil || !strings.Contains(err.Error(), "bigger than maximum size") {
		t.Errorf("got %v", err)
	}
	long := "ok" + strings.Repeat(" and ok", 9000)
	if _, err := expr.Compile(long, nil, items); err != nil {
		t.Error(err)
	}
}

// TestCanonical: each group means one shape, and reads as the first column says.
func TestCanonical(t *testing.T) {
	for _, group := range [][]string{
		{`("n" = '1'::int4)`, "n=1", "N = 1", `"n"=01`, " ( ((n)) = (1) ) ", "n = /* c /* d */ */ 1 -- end", "n = 0x1", "n=1;"},
		{"false", "FALSE", "(False)"},
		{`(("n" = '1'::int4) AND "ok" AND "ok2")`, "n=1 and ok and ok2", "(n=1 and ok) and ok2", "n=1 AND (ok AND ok2)"},
		{`(("n" = '1'::int4) OR ("ok" AND "ok2"))`, "n=1 or ok and ok2", "n=1 or (ok and ok2)"},
		{`(NOT ("n" = '1'::int4))`, "not n=1", "NOT (n = 1)"},
		{`((NOT "ok") AND "ok2")`, "not ok and ok2"},
		{`(("ok" = "ok2") IS NULL)`, "ok = ok2 is null", "ok = ok2 isnull"},
		{`("ok" = ("title" LIKE 'a'::text))`, "ok = title like 'a'"},
		{`("ok" IS DISTINCT FROM ("n" = '1'::int4))`, "ok is distinct from n = 1"},
		{`(("n" >= '1'::int4) AND ("n" <= '2'::int4))`, "n between 1 and 2", "n >= 1 and n <= 2", "n between asymmetric 1 and 2"},
		{`(("n" < '1'::int4) OR ("n" > '2'::int4))`, "n not between 1 and 2"},
		{`(((("n" >= '1'::int4) AND ("n" <= '2'::int4)) OR (("n" >= '2'::int4) AND ("n" <= '1'::int4))) AND "ok")`,
			"n between symmetric 1 and 2 and ok"},
		{`("n" IN ('1'::int4, '2'::int4))`, "n in (1,2)", "n IN (1, '2')"},
		{`("n" IN ('2'::int4, '1'::int4))`, "n in (2,1)"},
		{`("n" = '1'::int4)`, "n in (1)"},
		{`(NOT ("n" IN ('1'::int4, NULL::int4)))`, "n not in (1, null)"},
		{`("n"::numeric = '2.5'::numeric)`, "n = 2.5", "n = 25e-1"},
		{`("userId" = '5'::int4)`, `"userId" = 5`},
		{`("userId" = '99999999999'::int8)`, `"userId" = 99999999999`},
		{`("n" = '-2147483648'::int4)`, "n = -2147483648", "n = - 2147483648", "n = -(2147483648)"},
		{`("u" = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid)`, "u = 'A0EEBC999C0B4EF8BB6D6BB9BD380A11'"},
		{`("title" = 'it''s'::text)`, "title = 'it''s'", `title = E'it\'s'`, "title = $$it's$$", "title = $q$it's$q$", "title = 'it'\n'''s'"},
		{`("title" = E'a\\b'::text)`, `title = 'a\b'`, `title = E'a\\b'`, `title = E'\141\x5c\u0062'`},
		{`("title" LIKE 'a%'::text)`, "title like 'a%'", "title ~~ 'a%'", "title LIKE text 'a%'"},
		{`("title" NOT ILIKE 'a'::text)`, "title not ilike 'a'", "title !~~* 'a'"},
		{`("j" IS NOT NULL)`, "j is not null", "j notnull", "j is distinct from null"},
		{`("pair" IS NOT NULL)`, "pair is not null"},
		{`("pair" IS DISTINCT FROM NULL)`, "pair is distinct from null", "null is distinct from pair"},
		{`("mood" = 'sad')`, "mood = 'sad'"},
		{`("mood"::text = 'sad'::text)`, "mood::text = 'sad'", "cast(mood as text) = 'sad'"},
		{`("pos" = '5'::int4)`, "pos = 5"},
		{`("end" = '1'::int4)`, `"end" = 1`},
		{`("f4" = '0.1'::float8)`, "f4 = 0.1", "f4 = double precision '0.1'"},
		{`("f4" IN ('0.1'::float4, '0.2'::float4))`, "f4 in (0.1, 0.2)"},
		{`("ts" <> '2024-01-01 00:00:00'::timestamp)`, "ts <> '2024-01-01'", "ts != timestamp without time zone '2024-01-01'"},
		{`("ok" = true)`, "ok = 'yes'", "ok = 'T'", "ok = true"},
		{`("c" = 'ab '::bpchar)`, "c = 'ab '"},
		{`(("n" + '1'::int4) = '3'::int4)`, "n + 1 = 1 + 2", "n + '1' = 3"},
		{`(COALESCE("n", '0'::int4) = '0'::int4)`, "coalesce(n, 0) = 0", "COALESCE(n, '0') = 0"},
		{`COALESCE("ok", false)`, "coalesce(ok, false)", "coalesce(ok, 'f')"},
		{`((- "n") = '3'::int4)`, "- n = 3", "-n = 3"},
		{`(("n" % '2'::int4) = '0'::int4)`, "n % 2 = 0"},
		{`(("title" || 'x'::text) = 'ax'::text)`, "title || 'x' = 'a' || 'x'"},
		{`("price" = '0.33333333333333333333'::numeric)`, "price = 1 / 3.0"},
		{"true", "1 = 1", "n = 1 or true", "not false", "null is null", "1 in (1, 2)", "'a' like 'a%'", "1 between 0 and 2"},
		{"NULL::bool", "n = null", "null::bool and null"},
		{`"ok"`, "ok and true", "false or ok"},
		{`(NULL::bool AND "ok" AND "ok2")`, "null and ok and (n = null and ok2)"},
		{`(NULLIF("n", '1'::int4) = '2'::int4)`, "nullif(n, 1) = 2"},
		{`(CASE WHEN ("n" = '1'::int4) THEN 'a'::text ELSE "title" END = 'a'::text)`, "case n when 1 then 'a' else title end = 'a'",
			"case when n = 1 then 'a' else title end = 'a'", "case when null then 'b' when n = 1 then 'a' when true then title end = 'a'"},
		{`(GREATEST("n", '1'::int4) = LEAST("n", '2'::int4))`, "greatest(n, 1) = least(n, '2')"},
		{`(concat("title", NULL::text, "n", 'x'::text) = 'ax'::text)`, "concat(title, NULL, n, 'x') = 'ax'"},
		{`(("title" || "n"::text) = 'a1'::text)`, "title || n = 'a1'"},
		{`("title" LIKE E'a\\%%'::text)`, "title like 'a!%%' escape '!'"},
		{`("title" LIKE like_escape("title", '!'::text))`, "title like title escape '!'"},
		{`("title" ILIKE 'a'::text)`, "ilike(title, 'a')"},
		{`("j" = '{"a": 2, "bb": [1.0, null]}'::jsonb)`, `j = '{"bb":[1.0,null], "a":1, "a":2}'`},
		{`(("j" -> 'a'::text) @> '[1]'::jsonb)`, "j -> 'a' @> '[1]'"},
		{`(("j" ->> '0'::int4) = 'x'::text)`, "j ->> 0 = 'x'"},
		{`(("j" #>> '{a,b}'::text[]) IS NULL)`, "j #>> '{a,b}' is null", "j #>> array['a', 'b'] is null"},
		{`("j" ?| '{a,b}'::text[])`, "j ?| '{a,b}'", "j ?| ARRAY['a', 'b']"},
		{`(("j" -> 'n'::text)::int4 = '5'::int4)`, "(j -> 'n')::int = 5"},
		{`(int4out("n")::text = '5'::text)`, "int4out(n) = '5'"},
		{`("n" = '5'::int4)`, "n = int4('5')", "n = int4(text '5')", "n = pg_catalog.int4(5.2)"},
		{`("title"::varchar::varchar(3)::text = 'abc'::text)`, "title::varchar(3) = 'abc'", "title::character varying(3) = 'abc'"},
		{`("title"::bpchar::bpchar(1) = 'a'::bpchar)`, "title::char = 'a'", "title::character(1) = 'a'"},
		{`("n"::numeric::numeric(5,2) = '1.5'::numeric)`, "n::numeric(5,2) = 1.5", "n::decimal(5, 2) = '1.5'"},
		{`("n"::float4 = '1.5'::float8)`, "n::float(24) = 1.5"},
	} {
		for _, where := range group[1:] {
			e, err := expr.Compile(where, nil, items)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			if e.SQL() != group[0] {
				t.Errorf("%s:\n got %s\nwant %s", where, e.SQL(), group[0])
			}
			checkCanonical(t, e, items)
		}
	}
}

func TestParams(t *testing.T) {
	p := func(list ...string) map[string]string {
		m := map[string]string{}
		for i, s := range list {
			m[string(rune('1'+i))] = s
		}
		return m
	}
	for _, c := range []struct {
		where  string
		params map[string]string
		want   string // canonical text, or field and message
	}{
		{"id = $1", p("5"), `("id" = '5'::int4)`},
		{"id = $1", p(" 05"), `("id" = '5'::int4)`},
		{"id = $1", p("5", "unused"), `("id" = '5'::int4)`},
		{"$1 = id", p("5"), `('5'::int4 = "id")`},
		{"title = $1", p(`it's \ $2;--`), `("title" = E'it''s \\ $2;--'::text)`},
		{"title = $1", p("NULL"), `("title" = 'NULL'::text)`},
		{"id IN ($1, $2)", p("1", "2"), `("id" IN ('1'::int4, '2'::int4))`},
		{"id = $1 or n = $1", p("1"), `(("id" = '1'::int4) OR ("n" = '1'::int4))`},
		{`id = $1 or "userId" = $1`, p("1"), `(("id" = '1'::int4) OR ("userId" = '1'::int4))`},
		{"f4 = $1", p("0.1"), `("f4" = '0.1'::float4)`},
		{"$1 is null or ok", p("x"), `"ok"`},
		{"ok and $1", p("t"), `"ok"`},
		{"title = $1::text", p("x"), `("title" = 'x'::text)`},
		{"id = $1 and title = $1::text", p("05"), `(("id" = '5'::int4) AND ("title" = '5'::text))`},
		{"id=$1 AND title=$1", p("1"), "where: At location 16: type conflict for $1: int4 and text"},
		{"id=$1", p("test"), "where: At location 3: invalid syntax for type int4: test"},
		{"id=$1::int4", p("test"), "where: At location 3: invalid syntax for type int4: test"},
		{"id=$2", p("1"), "where: At location 3: parameter $2 was not provided"},
		{"id=$1", p("\xff"), `params: invalid byte sequence for encoding "UTF8" in parameter $1`},
		{"id=$1", map[string]string{"2": "1"}, "params: Parameters must be numbered sequentially, starting from 1"},
		{"id=$1", map[string]string{"x": "1"}, "params: Parameters can only use numbers as keys"},
	} {
		e, err := expr.Compile(c.where, c.params, items)
		got := ""
		var refusal *expr.Error
		if errors.As(err, &refusal) {
			got = refusal.Field + ": " + refusal.Msg
		} else if err == nil {
			got = e.SQL()
			checkCanonical(t, e, items)
		}
		if got != c.want {
			t.Errorf("%s %q:\n got %s\nwant %s", c.where, c.params, got, c.want)
		}
	}
	many := map[string]string{}
	for _, k := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12") {
		many[k] = k
	}
	if _, err := expr.Compile("id in ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)", many, items); err != nil {
		t.Error(err)
	}
}

// TestColumnsAndTerms: terms are written as column=value, or column[from,to) with
// values of ints; "|" is between terms, "-" is unknown.
func TestColumnsAndTerms(t *testing.T) {
	for _, c := range []struct {
		where   string
		columns []int
		want    string
	}{
		{"true", nil, "-"},
		{"id = 5", []int{0}, "0=5"},
		{"5 = id", []int{0}, "0=5"},
		{"id = '005'", []int{0}, "0=5"},
		{"id = null", nil, ""},
		{"id = 1 and false", nil, ""},
		{"id = 1 or 1 = 1", nil, "-"},
		{"id <> 5", []int{0}, "-"},
		{"id < 5", []int{0}, "0[,5)"},
		{"5 < id", []int{0}, "0[5+,)"},
		{"id >= 5", []int{0}, "0[5,)"},
		{"id between 3 and 5", []int{0}, "0[3,5+)"},
		{"id between 5 and 3", []int{0}, ""},
		{"id > 3 and id < 3", []int{0}, ""},
		{"id > 3 and id <= 9 and id < 7", []int{0}, "0[3+,7)"},
		{"id = 4 and id < 7", []int{0}, "0=4"},
		{"id = 7 and id < 7", []int{0}, ""},
		{"id = 4 and id = 5", []int{0}, ""},
		{"id > 1 and n between 3 and 5", []int{0, 1}, "1[3,5+)"},
		{"id = n", []int{0, 1}, "-"},
		{"id = 5.0", []int{0}, "-"},
		{"not id = 5", []int{0}, "-"},
		{"(id = 5) is true", []int{0}, "0=5"},
		{"(id = 5) is not false", []int{0}, "-"},
		{"id is not distinct from 5", []int{0}, "0=5"},
		{"id is distinct from 5", []int{0}, "-"},
		{"id in (1, 2, 1)", []int{0}, "0=1|0=2"},
		{"id in (1, null)", []int{0}, "0=1"},
		{"id not in (1, 2)", []int{0}, "-"},
		{"id = 1 and title like 'a%'", []int{0, 2}, "0=1"},
		{"title like 'a%' and id = 1", []int{0, 2}, "0=1"},
		{"title = 'a' and id = 1 and n < 4", []int{0, 1, 2}, "0=1 2=a 1[,4)"},
		{"id in (1,2) and n = 3", []int{0, 1}, "0=1 1=3|0=2 1=3"},
		{"ok = true", []int{3}, "3=t"},
		{"ok and not ok2", []int{3, 4}, "3=t 4=f"},
		{"id = 1 or title = 'a'", []int{0, 2}, "0=1|2=a"},
		{"id = 1 or n > 4", []int{0, 1}, "0=1|1[4+,)"},
		{"id = 1 or title like 'a%'", []int{0, 2}, "-"},
		{"(id = 1 or title like 'a%') and n = 2", []int{0, 1, 2}, "1=2"},
		{"(id = 1 or n = 2) and title = 'x'", []int{0, 1, 2}, "0=1 2=x|1=2 2=x"},
		{"id in (1,2,3,4,5,6,7,8,9) and n in (1,2,3,4,5,6,7,8)", []int{0, 1}, "1=1|1=2|1=3|1=4|1=5|1=6|1=7|1=8"},
		{`"userId" = 5`, []int{7}, "7=5"},
		{"c = 'ab  '", []int{8}, "8=ab"},
		{"c::text = 'ab'", []int{8}, "8=ab"},
		{"title::bpchar = 'ab'::bpchar", []int{2}, "-"},
		{"u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", []int{5}, "5=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"mood = 'sad'", []int{13}, "13=sad"},
		{"d = '2000-01-02'", []int{10}, "10=1"},
		{"d = timestamp '2000-01-02'", []int{10}, "-"},
		{"title::int4 = 5", []int{2}, "-"},
		{"title LIKE '%Overdue-12'", []int{2}, "2~due-12"},
		{"title ILIKE 'A_bCd%'", []int{2}, "2~bcd"},
		{"title LIKE 'a%bc_d'", []int{2}, "-"},
		{`title LIKE '%a\%b%'`, []int{2}, "2~a%b"},
		{"title ILIKE '日本abc日'", []int{2}, "2~abc"},
		{"title LIKE 'a日'", []int{2}, "2~\xe6\x97\xa5"},
		{"title NOT LIKE 'abc'", []int{2}, "-"},
		{"title LIKE 'abc' AND title LIKE 'defghij'", []int{2}, "2~efghij"},
		{"title LIKE 'abc' AND id = 5", []int{0, 2}, "0=5"},
		{"title LIKE 'abc' OR id = 5", []int{0, 2}, "2~abc|0=5"},
	} {
		e, err := expr.Compile(c.where, nil, items)
		if err != nil {
			t.Errorf("%s: %v", c.where, err)
			continue
		}
		if !slices.Equal(e.Columns(), c.columns) {
			t.Errorf("%s: columns %v, want %v", c.where, e.Columns(), c.columns)
		}
		if got := termText(e); got != c.want {
			t.Errorf("%s: terms %q, want %q", c.where, got, c.want)
		}
	}
}

// What is decided by the terms alone is what many shapes have, and nothing in which a
// comparison does more than look at a column as it is.
func TestWhole(t *testing.T) {
	columns := append(slices.Clone(items), col("v", 1043, "varchar"), expr.Column{Name: "ids", Type: expr.Type{OID: 1007, Base: 1007, Name: "_int4", Array: true}})
	for where, want := range map[string]bool{
		"id = 5": true, "5 = id": true, "id = 5 and title = 'a'": true, "id in (1, null, 3)": true, "id = 1 or n in (2, 3)": true,
		"(id = 1 and n = 2) or title = 'x'": true, "c = 'ab  '": true, "mood = 'sad'": true, "v = 'x'": true, "v::bpchar = 'x'::bpchar": false, "v::int4 = 1": false,
		"ids @> '{1}'": false, "ids = '{1}'": false, "1 = any(ids)": false, "id = 4 and id = 5": true, "id = any('{1,2}')": true,
		"id = n": false, "id = 5.0": false, "id = null": false, "id <> 5": false, "not id = 5": false, "id not in (1, 2)": false,
		"id > 5": false, "id = 1 and n > 4": false, "id = 1 and title like 'a%'": false, "id = 1 or title like 'a%'": false,
		"id in (1,2) and n = 3": false, "c::text = 'ab'": false, "title::bpchar = 'ab'::bpchar": false, "pos = 3": true, "id::int8 = 5": false, "title like 'a'": false, "true": false,
	} {
		e, err := expr.Compile(where, nil, columns)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if got := e.Whole(); got != want {
			t.Errorf("%s: %t, want %t", where, got, want)
		}
	}
}

func termText(e *expr.Expr) string {
	terms, known := e.Terms()
	if !known {
		return "-"
	}
	var list []string
	for _, term := range terms {
		var parts []string
		for _, a := range term {
			switch a.Kind {
			case expr.AnchorIs:
				parts = append(parts, fmt.Sprintf("%d=%s", a.Col, keyText(a.Low)))
				continue
			case expr.AnchorPart:
				parts = append(parts, fmt.Sprintf("%d~%s", a.Col, a.Low))
				continue
			case expr.AnchorHas:
				parts = append(parts, fmt.Sprintf("%d∋%s", a.Col, keyText(a.Low)))
				continue
			}
			parts = append(parts, fmt.Sprintf("%d[%s,%s)", a.Col, keyText(a.Low), keyText(a.High)))
		}
		list = append(list, strings.Join(parts, " "))
	}
	return strings.Join(list, "|")
}

// keyText reads a key of an int or a text; a plus is its successor.
func keyText(key string) string {
	successor := ""
	if strings.HasSuffix(key, "\x00") && len(key) != 8 {
		key, successor = key[:len(key)-1], "+"
	}
	if len(key) == 8 {
		return strconv.FormatInt(int64(binary.BigEndian.Uint64([]byte(key))^1<<63), 10) + successor
	}
	return key + successor
}
