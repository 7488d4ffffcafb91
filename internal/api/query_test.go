package api

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseQuery(t *testing.T) {
	text := func(s string) *value { return &value{kind: kindText, text: s} }
	list := func(s ...string) *value { return &value{kind: kindList, list: s} }
	object := func(kv ...string) *value {
		v := &value{kind: kindObject, object: map[string]string{}}
		for i := 0; i < len(kv); i += 2 {
			v.object[kv[i]] = kv[i+1]
		}
		return v
	}
	for _, c := range []struct {
		in   string
		want query
	}{
		{"", query{}},
		{"&&", query{}},
		{"a=1&b=2", query{"a": text("1"), "b": text("2")}},
		{"a", query{"a": text("")}},
		{"a=1=2", query{"a": text("1=2")}},
		{"a=1&a=2", query{"a": text("2")}},
		{"a+b=c+d%20e", query{"a b": text("c d e")}},
		{"a=%zz%4&b=%", query{"a": text("%zz%4"), "b": text("%")}},
		{"a=1;b=2", query{"a": text("1;b=2")}},
		{"a=%C3%A9", query{"a": text("é")}},
		{"p[1]=x&p[2]=y&p[1]=z", query{"p": object("1", "z", "2", "y")}},
		{"p%5B1%5D=x", query{"p": object("1", "x")}},
		{"c[]=x&c[]=y", query{"c": list("x", "y")}},
		{"c[]=", query{"c": list("")}},
		{"c=x&c[]=y", query{"c": list("y")}},
		{"c[]=y&c=x", query{"c": text("x")}},
		{"c[]=y&c[a]=x", query{"c": object("a", "x")}},
		{"p[a][b]=x", query{"p": {kind: kindObject, odd: true}}},
		{"p[][b]=x", query{"p": {kind: kindList, odd: true}}},
		{"a[b=x", query{"a[b": text("x")}},
		{"[b]=x", query{"[b]": text("x")}},
		{"a]=x", query{"a]": text("x")}},
		{"=x", query{"": text("x")}},
	} {
		got, err := parseQuery(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("parseQuery(%q) = %v, %v", c.in, got, err)
			for k, v := range got {
				t.Logf("  %s: %+v", k, *v)
			}
		}
	}
}

func TestParseQueryNotText(t *testing.T) {
	for _, in := range []string{"a=%ff", "%ff=a", "secret=x&b=%c3", "b[%ff]=1"} {
		if _, err := parseQuery(in); !errors.Is(err, errQueryText) {
			t.Errorf("parseQuery(%q): %v", in, err)
		}
	}
	q, _ := parseQuery("a=%ff&secret=x")
	if q["secret"] == nil || q["secret"].text != "x" {
		t.Error("the secret behind invalid text is not found")
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("a=1&b[c]=2&d[]=3&d[]=%ff&e[f][g]=%zz")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseQuery(s)
		n := 0
		for k, v := range q {
			if !utf8.ValidString(k) || !utf8.ValidString(v.text) {
				t.Fatalf("%q: invalid text in %q", s, k)
			}
			n += 1 + len(v.list) + len(v.object)
		}
		if max := 2 * (1 + strings.Count(s, "&")); n > max {
			t.Fatalf("%q: %d values", s, n)
		}
		if err != nil && utf8.ValidString(s) && !strings.Contains(s, "%") {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
