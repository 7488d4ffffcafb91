package expr_test

import (
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

// TestHostile: texts as large as they may be, which ask for depth, size or time.
// Each is taken and evaluated, or refused with a reason. (The operators once took
// forty seconds, as the rest of their run was looked at for each.)
func TestHostile(t *testing.T) {
	rep := strings.Repeat
	list := func(one string, n int) string { return strings.TrimSuffix(rep(one+",", n), ",") }
	const deep, complicated = "nested too deeply", "too complex"
	row := make(wal.Tuple, len(items))
	row[0], row[1], row[2], row[3], row[4], row[9] = []byte("1"), []byte("5"), []byte("a"), []byte("t"), []byte("f"), []byte("1.5")
	for _, c := range []struct{ text, refusal string }{
		{rep("(", 30000) + "ok" + rep(")", 30000), deep},
		{rep("(", 900) + "ok" + rep(")", 900), ""},
		{rep("NOT ", 16000) + "ok", deep},
		{rep("NOT ", 900) + "ok", ""},
		{"n = " + rep("- ", 30000) + "n", deep},
		{"n" + rep("+", 65000) + "1 = 1", deep},
		{"n" + rep("+", 900) + "1 = 6", ""},
		{"n " + rep("~", 65000) + "1 = 1", "unknown binary operator"},
		{"n" + rep("::int8", 10000) + " = 1", deep},
		{"ok" + rep(" IS TRUE", 8000), deep},
		{"n = 1" + rep("+1", 30000), deep},
		{"n = 1" + rep(" OR n = 2", 7000), ""},
		{"n = 5" + rep(" AND n = 5", 6000), ""},
		{"n IN (" + list("123", 16000) + ")", ""},
		{"n IN (" + list("NULL", 13000) + ")", ""},
		{"n IN (" + list("id", 20000) + ")", ""},
		{"n = ANY ('{" + list("7", 30000) + "}')", ""},
		{"n = ANY (ARRAY[" + list("n", 30000) + "])", ""},
		{rep("(", 15) + "n" + rep(" between symmetric n and n)::int4", 15) + " = 1", complicated},
		{"title LIKE '" + rep("%a", 30000) + "'", ""},
		{"price = 1e100000", ""},
		{"price = 1e100000" + rep(" OR price = 1e100000", 3000), complicated},
		{"price > 1" + rep("*1.00000000001", 4000), deep},
		{"1 < price" + rep("*price", 900), ""},
		{"price" + rep("^1.5", 6) + " > 1", ""},
		{"price ^ 90000 > 1", ""},
		{"concat(title" + rep(",title", 10000) + ") = 'a'", ""},
		{"case" + rep(" when n=1 then ok", 3500) + " end", ""},
		{rep("ARRAY[", 9000) + "1" + rep("]", 9000) + " = tags", deep},
		{"tags = '" + rep("{", 30000) + rep("}", 30000) + "'", "exceeds maximum of 6"},
		{"tags = '[1:2000000000]={a}'", "invalid syntax"},
		{"j = '" + rep("[", 30000) + rep("]", 30000) + "'", "invalid syntax"},
		{"ok " + rep("/*", 16000) + rep("*/", 16000), ""},
		{"ok " + rep("/*", 32000), "unterminated"},
		{rep("$a", 32000), "syntax error"},
		{"title = '" + rep("'", 65000), "unterminated"},
		{"a" + rep(".a", 32000) + " = 1", "unknown reference"},
		{"title = U&'" + rep(`\0061`, 13000) + "'", ""},
		{"n = " + rep("9", 65000), ""},
		{"price = 0x" + rep("f", 65000), ""},
		{"price = 1e" + rep("9", 65000), "overflows"},
		{"interval '" + rep("9", 65000) + " days' > '1 day'", "could not cast"},
		{"(" + list("n", 15000) + ") < (" + list("n", 15000) + ")", ""},
		{"tags" + rep("[1:2]", 12000) + " = '{}'", "exceeds maximum of 6"},
		{"title = '" + rep("x", expr.MaxSize-9) + "'", "bigger than maximum size"},
	} {
		name := c.text[:min(len(c.text), 40)]
		e, err := expr.Compile(c.text, nil, items)
		switch {
		case err == nil && c.refusal != "":
			t.Errorf("%s…: accepted, want %s", name, c.refusal)
		case err != nil && (c.refusal == "" || !strings.Contains(err.Error(), c.refusal)):
			t.Errorf("%s…: %.200s, want %q", name, err.Error(), c.refusal)
		case err == nil:
			if _, err := e.Match(row); err != nil {
				t.Errorf("%s…: %v", name, err)
			}
			checkCanonical(t, e, items)
		}
	}
}
