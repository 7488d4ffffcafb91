package expr_test

import (
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

func TestArrayTerms(t *testing.T) {
	cols := []expr.Column{
		col("tags", 1009, "_text"), col("n", 23, "int4"), col("nums", 1007, "_int4"), col("f", 1021, "_float4"),
	}
	for i := range cols {
		cols[i].Type.Array = cols[i].Type.Name[0] == '_'
	}
	for _, c := range []struct{ where, want string }{
		{"tags @> '{b,a,b}'", "0∋a 0∋b"},
		{"'{NULL,b}' <@ tags", "0∋b"},
		{"'a' = ANY(tags)", "0∋a"},
		{"tags && '{a,b,a}'", "0∋a|0∋b"},
		{"tags = '{c}'", "0∋c"},
		{"'x' = ANY(tags) OR tags @> ARRAY['y']", "0∋x|0∋y"},
		{"tags @> '{b}' AND 'a' = ANY(tags) AND n = 1", "1=1 0∋a 0∋b"},
		{"tags @> '{b}' AND n > 1", "0∋b 1[1+,)"},
		{"tags <@ '{a}'", "-"},
		{"tags @> '{}'", "-"},
		{"tags <> '{a}'", "-"},
		{"'a' = ALL(tags)", "-"},
		{"'a' <> ANY(tags)", "-"},
		{"tags || 'b'::text @> '{a}'", "-"},
		{"7::int8 = ANY(nums::int8[]) OR '7' = ANY(nums)", "-"},
		{"n = ANY('{1}')", "1=1"},
		{"n = ANY('{2,1,NULL}')", "1=2|1=1"},
		{"(n, tags) = (1, '{a}')", "1=1 0∋a"},
	} {
		e, err := expr.Compile(c.where, nil, cols)
		if err != nil {
			t.Fatalf("%s: %v", c.where, err)
		}
		if got := termText(e); got != c.want {
			t.Errorf("%s: terms %s, want %s", c.where, got, c.want)
		}
	}
	seven, _ := expr.AppendKey(nil, cols[1].Type, []byte("7"))
	keys, ok := expr.AppendKeys(nil, cols[2].Type, []byte("[2:4]={1,NULL,7}"))
	if !ok || len(keys) != 2 || !slices.Contains(keys, string(seven)) {
		t.Errorf("keys %q, %v: want two, %q among them", keys, ok, seven)
	}
	if _, ok := expr.AppendKeys(nil, cols[2].Type, []byte("{1,")); ok {
		t.Error("keys of a text that is no array")
	}
}
