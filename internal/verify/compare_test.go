package verify

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// side is rows and messages as text: "=" a row of SELECT's, "+" an insert, "~" an
// update, "-" a delete, "?" what must be held; then the key, then a value for each
// column, "_" for NULL, "." for none given.
func comparing(t *testing.T, memory int64, keyed bool, lines ...string) (*Result, error) {
	t.Helper()
	c := &check{names: []string{"id", "n"}, keyed: keyed, store: newStore(memory)}
	t.Cleanup(func() {
		if err := c.store.close(); err != nil {
			t.Error(err)
		}
	})
	for _, line := range lines {
		words := strings.Fields(line)
		e := entry{kind: kind(strings.Index("=+~-?", words[0])), key: words[1], commit: 0x16B374D848}
		for i, v := range words[2:] {
			if v != "." {
				e.set(i, []byte(v), v != "_")
			}
		}
		if err := c.store.add(&e); err != nil {
			t.Fatal(err)
		}
	}
	r := new(Result)
	return r, c.compare(t.Context(), r)
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		what  string
		keyed bool
		lines string
		want  string // missing; extra; different
	}{
		{"equal", true, "= a 1 2; + a 1 2", "; ; "},
		{"an update", true, "= a 1 2; + a 1 1; ~ a 1 2", "; ; "},
		{"a deletion", true, "+ a 1 1; - a 1", "; ; "},
		{"deleted and back", true, "= a 1 _; + a 1 1; - a 1; + a 1 _", "; ; "},
		{"missing", true, "= a 1 2; = b 2 2; + b 2 2", "a; ; "},
		{"extra", true, "+ a 1 2", "; a; "},
		{"a value", true, "= a 1 2; + a 1 3", "; ; a: n"},
		{"NULL and a text", true, "= a 1 _; + a 1 3", "; ; a: n"},
		{"what it had", true, "= a 1 3; + a 1 2; ? a . 2; ~ a 1 3", "; ; "},
		{"equal rows", false, "= a 1 2; = a 1 2; + a 1 2; + a 1 2", "; ; "},
		{"equal rows, one lost", false, "= a 1 2; = a 1 2; = a 1 2; + a 1 2", "a (2 times); ; "},
		{"equal rows, one too many", false, "= a 1 2; + a 1 2; + a 1 2; + a 1 2; - a 1 2", "; a; "},
	} {
		r, err := comparing(t, 1<<20, c.keyed, strings.Split(c.lines, ";")...)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		got := strings.Join(r.Missing, " ") + "; " + strings.Join(r.Extra, " ") + "; " + strings.Join(r.Different, " ")
		if got != c.want || (r.Differing == 0) != (got == "; ; ") {
			t.Errorf("%s: %q (%d), want %q", c.what, got, r.Differing, c.want)
		}
	}
	for lines, want := range map[string]string{
		"+ a 1 1; + a 1 1":      "inserts a twice, at 16/B374D848",
		"~ a 1 1":               "updates a, which is not there",
		"- a 1":                 "deletes a, which is not there",
		"+ a 1 1; - a 1; - a 1": "deletes a, which is not there",
		"? a 1":                 "changes a, which is not there",
		"+ a 1 1; ? a . 2":      `column "n" of a had a value that it never gave`,
		"= a 1 1; = a 1 1":      "SELECT returns a twice",
	} {
		if _, err := comparing(t, 1<<20, true, strings.Split(lines, ";")...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", lines, err, want)
		}
	}
}

// With little memory the rows go to files, parts that are too large are cut again, and
// nothing else changes. The files are removed.
func TestCompareWithLittleMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const n = 20000
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("+ key%d %d 0", i, i))
	}
	for i := range n {
		lines = append(lines, fmt.Sprintf("~ key%d . 1", i), fmt.Sprintf("= key%d %d 1", i, i))
	}
	lines = append(lines, "- key77 77", "~ key78 . 2", "+ more 1 1", "+ hot 1 1", "= hot 1 5000")
	for i := range 5001 {
		lines = append(lines, fmt.Sprintf("~ hot . %d", i))
	}
	r, err := comparing(t, 16<<10, true, lines...)
	if err != nil || r.Differing != 3 || !slices.Equal(r.Missing, []string{"key77"}) || !slices.Equal(r.Extra, []string{"more"}) || !slices.Equal(r.Different, []string{"key78: n"}) {
		t.Errorf("%+v, %v", r, err)
	}
	dir, err := os.ReadDir(os.TempDir())
	if err != nil || len(dir) != 1 { // the one of this test
		t.Errorf("%v, %v", dir, err)
	}
}

// However many rows there are, what is kept in memory is what was allowed.
func TestMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newStore(64 << 10)
	most := int64(0)
	for i := range 100000 {
		e := entry{kind: selected, key: fmt.Sprint("a key of some length ", i)}
		e.set(0, []byte("x"), true)
		if err := s.add(&e); err != nil {
			t.Fatal(err)
		}
		held := int64(0)
		for i := range s.parts {
			held += int64(len(s.parts[i].memory))
		}
		if held != s.used {
			t.Fatalf("%d bytes are held, %d are known of", held, s.used)
		}
		most = max(most, held)
	}
	if most > 17<<10 {
		t.Errorf("%d bytes", most)
	}
	c := &check{names: []string{"id"}, keyed: true, store: s}
	largest := int64(0)
	for i := range s.parts {
		r := &rows{check: c, pairs: map[string]*pair{}, limit: s.memory / 2}
		if err := s.each(t.Context(), &s.parts[i], r.apply); err != errLarge {
			t.Fatalf("part %d: %v", i, err)
		}
		largest = max(largest, r.used)
	}
	if largest > 33<<10 {
		t.Errorf("a part has %d bytes", largest)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestKeyOf(t *testing.T) {
	if got, want := keyOf(`we.ird/na"me`, "t", [][]byte{[]byte(`a/"b"`), nil, {}}), `"we.ird//na""me"."t"/"a//"b""/_/""`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
