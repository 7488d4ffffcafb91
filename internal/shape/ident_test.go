package shape

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseRelation(t *testing.T) {
	long := strings.Repeat("é", 63)
	for _, c := range []struct{ in, schema, table, err string }{
		{in: "foo", schema: "public", table: "foo"},
		{in: "FOO", schema: "public", table: "foo"},
		{in: `"Foo"`, schema: "public", table: "Foo"},
		{in: "Foo.Bar", schema: "foo", table: "bar"},
		{in: `"foo.bar".baz`, schema: "foo.bar", table: "baz"},
		{in: `foo."bar.baz"`, schema: "foo", table: "bar.baz"},
		{in: `"foo""bar"`, schema: "public", table: `foo"bar`},
		{in: `"fo""o"."x"`, schema: `fo"o`, table: "x"},
		{in: "table$", schema: "public", table: "table$"},
		{in: "_x1", schema: "public", table: "_x1"},
		{in: "θtable", schema: "public", table: "θtable"},
		{in: "Éa", schema: "public", table: "Éa"},
		{in: "e\u0301", schema: "public", table: "e\u0301"},
		{in: `"!table "".a"`, schema: "public", table: `!table ".a`},
		{in: `""""`, schema: "public", table: `"`},
		{in: `fleet."Big Boats"`, schema: "fleet", table: "Big Boats"},
		{in: long, schema: "public", table: long},

		{in: "", err: "Invalid zero-length delimited identifier"},
		{in: `""`, err: "Invalid zero-length delimited identifier"},
		{in: "foo.", err: "Invalid zero-length delimited identifier"},
		{in: ".foo", err: "Invalid zero-length delimited identifier"},
		{in: "1table", err: "Invalid unquoted identifier contains special characters: 1table"},
		{in: "foo bar", err: "Invalid unquoted identifier contains special characters: foo bar"},
		{in: " foo", err: "Invalid unquoted identifier contains special characters:  foo"},
		{in: `fo"o`, err: `Invalid unquoted identifier contains special characters: fo"o`},
		{in: "$a", err: "Invalid unquoted identifier contains special characters: $a"},
		{in: "\u0301a", err: "Invalid unquoted identifier contains special characters: \u0301a"},
		{in: `"foo"bar"`, err: `Invalid identifier with unescaped quote: foo"bar`},
		{in: `"`, err: `Invalid identifier with unescaped quote: "`},
		{in: `"""`, err: `Invalid identifier with unescaped quote: "`},
		{in: "foo.bar.baz", err: "Invalid relation identifier, too many delimiters: foo.bar.baz"},
		{in: strings.Repeat("a", 64), err: "Identifier is too long (max length is 63)"},
		{in: `"` + strings.Repeat("é", 64) + `"`, err: "Identifier is too long (max length is 63)"},
	} {
		schema, table, err := ParseRelation(c.in)
		if got := errText(err); got != c.err || schema != c.schema || table != c.table {
			t.Errorf("ParseRelation(%q) = %q, %q, %q; want %q, %q, %q", c.in, schema, table, got, c.schema, c.table, c.err)
		}
	}
}

func TestParseColumns(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
		err  string
	}{
		{in: "id", want: []string{"id"}},
		{in: "id,Name", want: []string{"id", "name"}},
		{in: `"id","Home Port"`, want: []string{"id", "Home Port"}},
		{in: `id,"Weird, Col"`, want: []string{"id", "Weird, Col"}},
		{in: `"a""b",c`, want: []string{`a"b`, "c"}},
		{in: "id,id", want: []string{"id", "id"}},
		{in: "order,user", want: []string{"order", "user"}},
		{in: "a.b", err: "Invalid unquoted identifier contains special characters: a.b"},
		{in: "id, name", err: "Invalid unquoted identifier contains special characters:  name"},
		{in: ",,", err: "Invalid zero-length delimited identifier"},
		{in: "id,", err: "Invalid zero-length delimited identifier"},
	} {
		got, err := ParseColumns(c.in)
		if errText(err) != c.err || !slices.Equal(got, c.want) {
			t.Errorf("ParseColumns(%q) = %q, %v; want %q, %q", c.in, got, err, c.want, c.err)
		}
	}
}

// FuzzParseRelation: what is accepted reads the same when it is quoted.
func FuzzParseRelation(f *testing.F) {
	for _, s := range []string{"a", "A.b", `"a.b"."c"`, `""""`, `"a""`, "é.ü", "a.b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		schema, table, err := ParseRelation(s)
		if err != nil {
			return
		}
		quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
		s2, t2, err := ParseRelation(quote(schema) + "." + quote(table))
		if err != nil || s2 != schema || t2 != table {
			t.Fatalf("%q read as %q.%q, quoted as %q.%q, %v", s, schema, table, s2, t2, err)
		}
	})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
