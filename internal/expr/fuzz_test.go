package expr

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/spillway-sync/spillway/internal/wal"
)

func fuzzColumns() []Column {
	oids := []struct {
		name string
		oid  uint32
	}{{"b", 16}, {"i", 23}, {"l", 20}, {"n", 1700}, {"f", 700}, {"g", 701}, {"t", 25}, {"v", 1043}, {"c", 1042}, {"m", 19},
		{"u", 2950}, {"d", 1082}, {"ts", 1114}, {"tz", 1184}, {"tm", 1083}, {"tt", 1266}, {"iv", 1186}, {"j", 3802}, {"js", 114}, {"ti", 1083}, {"iv", 1186}}
	var cols []Column
	for _, c := range oids {
		cols = append(cols, Column{Name: c.name, Type: Type{OID: c.oid, Base: c.oid, Name: c.name}, Bytewise: true,
			Deterministic: true, Case: CaseUnicode})
	}
	mood := Type{OID: 99999, Name: "mood", Enum: []string{"sad", "ok"}}
	cols = append(cols,
		Column{Name: "a", Type: Type{OID: 1009, Base: 1009, Name: "_text", Array: true}, Bytewise: true, Deterministic: true, Case: CaseUnicode},
		Column{Name: "ea", Type: Type{OID: 99998, Base: 99998, Name: "_mood", Array: true, Elem: &mood}, Deterministic: true})
	return append(cols, Column{Name: "e", Type: mood})
}

// FuzzCompile: no text panics; what is accepted has a canonical text that is
// accepted again and does not change; no row panics.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"i = 1", "t like 'a%_\\%' and not b", "n in (1, 2.5, 'NaN')", "d between symmetric '2020-01-01' and 'infinity'",
		"u = '{a0eebc999c0b4ef8bb6d6bb9bd380a11}'", "e = 'sad' or e is null", "t = E'\\u00e4' || $q$x$q$", "f in (0.1, 0.2) is not true",
		"(c::text)::name = m", "ts = timestamp with time zone '2020-01-01 10:00+02'", "-i < - -5", "i::bool is distinct from b", "1e5 = n",
		"t ilike 'ä%'", "b in (i = 1, l = 2)", "cast(t as int4) = $1", "j is distinct from null", "a.b.c()", "x COLLATE \"C\"", "/* /* */ */ true --",
		"case i when 1 then 'a' when l then t else v end = 'a'", "nullif(n, 1) = greatest(f, g, null) and least(t, m) < 'x'",
		"concat(t, i, null, b) like lower(c) || upper('x') escape '!'", "t::varchar(3) = 'a' or n::numeric(5,2) = 1.5::float(3)", "like(t, 'a%') is unknown",
		"j -> 'a' ->> 0 = 'x'", "j @> '{\"a\": [1.0, null]}' and js #>> '{a,-1}' is null", "j ?| array['a', t] or j = '[1]'", "(j -> 'n')::int4 = 1",
		"'sad' = any(ea) and ea < array[e, 'ok']", "a[1:2] || t @> $1", "int4('5') = i and int4out(i) = '5'", "t || i || j = u || 'x'",
		"iv > '1 day 2:03:04.5 ago' or iv = interval 'P1Y2M' year to month", "ts + iv < tz at time zone '-02:30'", "extract(epoch from tt) = date_part('julian', d)",
		"date_trunc('week', ts + '1 mon')::time(3) <= tm", "t::interval day to second(2) * 1.5 = - iv",
	} {
		f.Add(s, "2024-02-29 10:11:12")
	}
	cols := fuzzColumns()
	f.Fuzz(func(t *testing.T, where, text string) {
		e, err := Compile(where, map[string]string{"1": text}, cols)
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Msg == "" {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		again, err := Reload(e.SQL(), cols)
		if err != nil {
			t.Fatalf("canonical text refused: %v\n%s", err, e.SQL())
		}
		if again.SQL() != e.SQL() {
			t.Fatalf("canonical text changes:\n%s\n%s", e.SQL(), again.SQL())
		}
		row := make(wal.Tuple, len(cols))
		for i := range row {
			row[i] = []byte(text)
		}
		for range 2 {
			ok, err := e.Match(row)
			ok2, err2 := again.Match(row)
			if ok != ok2 || (err == nil) != (err2 == nil) {
				t.Fatalf("%s: %v, %v; read again: %v, %v", e.SQL(), ok, err, ok2, err2)
			}
			row = make(wal.Tuple, len(cols))
		}
	})
}

// TestPatternTwin compares the matcher with one that tries everything.
func TestPatternTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pick := func(alphabet []string, n int) []byte {
		var b []byte
		for range r.IntN(n) {
			b = append(b, alphabet[r.IntN(len(alphabet))]...)
		}
		return b
	}
	for range 200000 {
		text := pick([]string{"a", "b", "ä", "%"}, 8)
		pattern := pick([]string{"a", "b", "ä", "%", "%", "_", `\%`, `\a`}, 8)
		got, err := matchPattern(text, pattern, &sameByte)
		if want := matchAll(text, pattern); err != nil || got != want {
			t.Fatalf("%q like %q: %v, %v, want %v", text, pattern, got, err, want)
		}
		match, err := constantPattern(pattern)
		if err != nil {
			t.Fatalf("%q as a constant: %v", pattern, err)
		}
		if again, err := match(text); err != nil || again != got {
			t.Fatalf("%q like %q: as a constant %v, %v", text, pattern, again, err)
		}
	}
}

// matchAll is the definition of LIKE, without any haste.
func matchAll(text, pattern []byte) bool {
	if len(pattern) == 0 {
		return len(text) == 0
	}
	switch pattern[0] {
	case '%':
		return matchAll(text, pattern[1:]) || len(text) > 0 && matchAll(text[charLen(text):], pattern)
	case '_':
		return len(text) > 0 && matchAll(text[charLen(text):], pattern[1:])
	case '\\':
		pattern = pattern[1:]
	}
	return len(text) > 0 && text[0] == pattern[0] && matchAll(text[1:], pattern[1:])
}
