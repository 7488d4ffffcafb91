package expr

import (
	"errors"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

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
