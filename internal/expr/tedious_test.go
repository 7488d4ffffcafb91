package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

// A clause may name a large value as often as it likes: what comes of it is not kept.
func TestWhatIsPutTogether(t *testing.T) {
	text := Column{Name: "t", Type: Type{OID: 25, Name: "text", Base: 25}, Bytewise: true, Deterministic: true}
	numbers := Column{Name: "a", Type: Type{OID: 1007, Name: "_int4", Base: 1007, Array: true}}
	json := Column{Name: "j", Type: Type{OID: 3802, Name: "jsonb", Base: 3802}}
	long := strings.Repeat("x", 12<<20)
	row := wal.Tuple{[]byte(long), []byte("{1" + strings.Repeat(",1", 300_000) + "}"), []byte(`["` + long + `"]`)}
	times := func(n int, what, between string) string { return strings.Repeat(what+between, n-1) + what }
	for _, c := range []struct {
		where string
		err   error
	}{
		{"concat(" + times(100, "t", ",") + ") = 'x'", errComputed},
		{"(" + times(3, "t", "||") + ") = 'x'", errComputed},
		{"(" + times(2, "a", "||") + ") = '{}'", errComputed},
		{"ARRAY[" + times(100, "a", ",") + "] = '{}'", errComputed},
		{"(" + times(3, "j", "||") + ") = '1'", errComputed},
		{"a::text[]::char(8192)[] = '{}'", errComputed},
		{"concat(" + times(2, "t", ",") + ") = 'x'", nil},
		{"(a || 1) = '{}'", nil},
	} {
		e, err := Compile(c.where, nil, []Column{text, numbers, json})
		if err != nil {
			t.Fatalf("%.40s: %v", c.where, err)
		}
		if got, err := e.Match(row); got || !errors.Is(err, c.err) {
			t.Errorf("%.40s: %t, %v", c.where, got, err)
		}
	}
}

func TestTooManyParts(t *testing.T) {
	cols := []Column{
		{Name: "a", Type: Type{OID: 1007, Name: "_int4", Base: 1007, Array: true}},
		{Name: "j", Type: Type{OID: 3802, Name: "jsonb", Base: 3802}},
	}
	for _, c := range []struct {
		n   int
		err error
	}{{maxParts - 1, nil}, {maxParts + 1, errParts}} {
		list := strings.Repeat("1,", c.n-1) + "1"
		row := wal.Tuple{[]byte("{" + list + "}"), []byte("[" + list + "]")}
		for _, where := range []string{"a @> '{2}'", "j @> '2'"} {
			e, err := Compile(where, nil, cols)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := e.Match(row); got || !errors.Is(err, c.err) {
				t.Errorf("%s with %d parts: %t, %v", where, c.n, got, err)
			}
		}
	}
}

func TestTediousDocuments(t *testing.T) {
	cols := []Column{{Name: "j", Type: Type{OID: 3802, Name: "jsonb", Base: 3802}}}
	list := func(n int, name string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `, "%s%d"`, name, i)
		}
		return b.String()[2:]
	}
	many := list(5000, "a")
	for _, c := range []struct {
		where string
		want  bool
		err   error
	}{
		{`j @> '[` + list(4000, "b") + `]'`, false, errJSONPairs},
		{`j ?| '{` + list(4000, "b") + `}'`, false, errJSONPairs},
		{`j ?& '{` + list(4000, "a") + `}'`, false, errJSONPairs},
		{`j @> '[` + list(2000, "a") + `]'`, true, nil},
		{`j ?| '{` + list(2000, "b") + `}'`, false, nil},
		{`j <@ '["a"]'`, false, nil},
	} {
		e, err := Compile(c.where, nil, cols)
		if err != nil {
			t.Fatalf("%.40s: %v", c.where, err)
		}
		if got, err := e.Match(wal.Tuple{[]byte("[" + many + "]")}); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%.40s: %t, %v", c.where, got, err)
		}
	}
}

// Whoever chooses pattern and text must not keep everybody busy for minutes. What is in
// use in earnest is decided, however long the text.
func TestTediousPattern(t *testing.T) {
	cols := []Column{
		{Name: "t", Type: Type{OID: 25, Name: "text", Base: 25}, Bytewise: true, Deterministic: true, Case: CaseASCII},
		{Name: "p", Type: Type{OID: 25, Name: "text", Base: 25}, Bytewise: true, Deterministic: true, Case: CaseASCII},
	}
	same := strings.Repeat("a", 1<<20)
	tedious := "%" + strings.Repeat("a", 20_000) + "_b%"
	varied := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20_000)
	for _, c := range []struct {
		where, text, pattern string
		want                 bool
		err                  error
	}{
		{"t LIKE '" + tedious + "'", same, "", false, errTedious},
		{"t NOT LIKE '" + tedious + "'", same, "", false, errTedious},
		{"t ILIKE '" + tedious + "'", same, "", false, errTedious},
		{"t LIKE p", same, tedious, false, errTedious},
		{"t ILIKE p", same, tedious, false, errTedious},
		{"t LIKE '%aaaaaa_b%'", same, "", false, nil},
		{"t LIKE '%" + strings.Repeat("a", 20_000) + "b%'", same, "", false, nil}, // a search without wildcards in it
		{"t LIKE '%quick%br_wn%dog_%'", varied, "", true, nil},
		{"t ILIKE '%QUICK%br_wn%cat_%'", varied, "", false, nil},
		{"t LIKE p", varied[:4000], varied[:2000] + "%_", true, nil},
	} {
		e, err := Compile(c.where, nil, cols)
		if err != nil {
			t.Fatalf("%.40s: %v", c.where, err)
		}
		got, err := e.Match(wal.Tuple{[]byte(c.text), []byte(c.pattern)})
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%.40s over %.20s, %.20s: %t, %v", c.where, c.text, c.pattern, got, err)
		}
	}
}
