package expr_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

func TestArrayAnchors(t *testing.T) {
	cols := []expr.Column{
		col("tags", 1009, "_text"), col("n", 23, "int4"), col("nums", 1007, "_int4"), col("f", 1021, "_float4"),
	}
	for i := range cols {
		cols[i].Type.Array = cols[i].Type.Name[0] == '_'
	}
	tags := func(keys ...string) string {
		var list []expr.Anchor
		for _, k := range keys {
			list = append(list, expr.Anchor{Col: 0, Key: k, Element: true})
		}
		return fmt.Sprint(list)
	}
	for _, c := range []struct{ where, want string }{
		{"tags @> '{a,b}'", tags("a")},
		{"'{NULL,b}' <@ tags", tags("b")},
		{"'a' = ANY(tags)", tags("a")},
		{"tags && '{a,b,a}'", tags("a", "b")},
		{"tags = '{c}'", tags("c")},
		{"'x' = ANY(tags) OR tags @> ARRAY['y']", tags("x", "y")},
		{"tags <@ '{a}'", tags()},
		{"tags @> '{}'", tags()},
		{"tags <> '{a}'", tags()},
		{"'a' = ALL(tags)", tags()},
		{"'a' <> ANY(tags)", tags()},
		{"tags || 'b'::text @> '{a}'", tags()},
		{"0.1 = ANY(f)", tags()},
		{"n = ANY('{1}')", fmt.Sprint(anchorsOf(t, cols, "n = 1"))},
		{"n = ANY('{2,1,NULL}')", fmt.Sprint(anchorsOf(t, cols, "n IN (2, 1)"))},
		{"(n, tags) = (1, '{a}')", fmt.Sprint(anchorsOf(t, cols, "n = 1"))},
		{"n IN (1) AND tags @> '{a}'", fmt.Sprint(anchorsOf(t, cols, "n = 1"))},
	} {
		if got := fmt.Sprint(anchorsOf(t, cols, c.where)); got != c.want {
			t.Errorf("%s: anchors %s, want %s", c.where, got, c.want)
		}
	}
	one := anchorsOf(t, cols, "7::int8 = ANY(nums::int8[]) OR '7' = ANY(nums)")
	if one != nil {
		t.Errorf("an array that is cast has anchors: %v", one)
	}
	seven := anchorsOf(t, cols, "7 = ANY(nums)")[0].Key
	keys, ok := expr.AppendKeys(nil, cols[2].Type, []byte("[2:4]={1,NULL,7}"))
	if !ok || len(keys) != 2 || !slices.Contains(keys, seven) {
		t.Errorf("keys %q, %v: want two, %q among them", keys, ok, seven)
	}
	if _, ok := expr.AppendKeys(nil, cols[2].Type, []byte("{1,")); ok {
		t.Error("keys of a text that is no array")
	}
}

func anchorsOf(t *testing.T, cols []expr.Column, where string) []expr.Anchor {
	t.Helper()
	e, err := expr.Compile(where, nil, cols)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return e.Anchors()
}
