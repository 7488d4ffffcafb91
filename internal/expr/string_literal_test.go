package expr_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// TestStringLiterals: all notations of strings mean what they mean to Postgres, and
// fail where they fail there.
func TestStringLiterals(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	g := &generator{rand.New(rand.NewPCG(*seed, 23))}
	exprs := []string{`U&'\0061\+01F642'`, `u&'d!0061t\' UESCAPE '!'`, `U&'\D83D\DE42'`, `U&'\+00D83D\+00DE42'`, "N'ab '", "n'a''b'",
		"'a' -- c\n -- d\n 'b'", "'a' -- c\n\n\t'b'", "'a' --c", "E'a' --c\n'\\n'", "U&'a' --c\n'\\0062'", "U&'a'\n'b' /* c */ uescape '!'", "U&'a' uescapes"}
	for range 2000 {
		var b strings.Builder
		for range g.IntN(5) {
			b.WriteString(g.of("a", "''", `\\`, `\0061`, `\+000062`, `\D83D`, `\DE42`, `\d83d\de42`, `\+00D83D`, `\0000`, `\+110000`, `\`, `\q`, `\00`, "!0041", "!!", "+", "日",
				`\n`, `\x41`, `\u0041`, `\U0001F642`, `\uD83D\uDE42`, `\101`, "'\n'", "' -- c\n'", `\'`))
		}
		exprs = append(exprs, g.of("U&", "u&", "U&", "E", "e", "N", "")+"'"+b.String()+"'"+
			g.of("", "", "", " UESCAPE '!'", "\nuescape/**/'!'", " UESCAPE '+'", " UESCAPE 'a'", " UESCAPE ''", " UESCAPE"))
	}
	o.checkFolding(exprs, nil, func(string) bool { return false })
}

// TestUnicodeIdentifiers: U&"…" is a name.
func TestUnicodeIdentifiers(t *testing.T) {
	o := newOracle(t)
	g := &generator{rand.New(rand.NewPCG(*seed, 29))}
	o.fill(g, 10)
	for _, text := range []string{`U&"\0069\0034" = 5`, `u&"!00694" UESCAPE '!' < 7 AND b`, `U&"i4" > 1`} {
		o.agrees(text)
	}
}

// TestFractions: digits behind the sixth are rounded in floating point, as there.
func TestFractions(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	g := &generator{rand.New(rand.NewPCG(*seed, 31))}
	var exprs []string
	for range 1500 {
		text := g.of("10:11:12.", "23:59:59.", "00:00:00.", "24:00:00.") + g.of("", "999999", "000000", "123456", "5")
		for range 1 + g.IntN(9) {
			text += g.of("0", "5", "9", g.digits(1, 0))
		}
		text = strings.ReplaceAll(text, "-", "")
		typ := g.of("time", "timetz", "timestamp", "timestamptz")
		if strings.HasPrefix(typ, "timestamp") {
			text = "2024-12-31 " + text
		}
		exprs = append(exprs, quote(text+g.of("", "", "+02", "Z"))+"::"+typ)
	}
	carried := 0
	o.checkFolding(exprs, nil, func(e string) bool { // what becomes the next second is refused
		carried++
		return strings.Contains(e, ".999999")
	})
	if carried > len(exprs)/4 {
		t.Errorf("%d of %d are refused", carried, len(exprs))
	}
}

// TestNumericScale: digits that the type cannot hold.
func TestNumericScale(t *testing.T) {
	o := newOracle(t)
	o.exec(tryFunction)
	o.checkFolding([]string{
		"'1e-10000'::numeric * '1e-10000'::numeric", "'5e-8192'::numeric * '1e-8192'", "'-5e-8192'::numeric * '1e-8192'",
		"'4.9e-8192'::numeric * '1e-8191'", "'1e-16383'::numeric * '0.5'", "'1e-16383'::numeric * '0.49'", "'1e-16383'::numeric * '1e20'",
		"'1e-16383'::numeric * '1.5e16383'", "'1e100000'::numeric * '1e-16000'", "'1e100000'::numeric * '1e100000'", "'1e131071'::numeric * 10",
		"'1e-16383'::numeric - '1e-16383'", "'1e-16383'::numeric / '1e-16383'", "'1e-16383'::numeric % '3e-16382'", "'1e-16384'::numeric",
	}, nil, func(string) bool { return false })
}

// TestSubscriptOfNothing: bounds of an array that is NULL are not computed.
func TestSubscriptOfNothing(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(*seed, 37))}
	o := newOracle(t)
	o.fill(g, 40)
	for _, text := range []string{"arr[i8] = 1", "arr[1 / i4] IS NULL", "arr[i4:1 / i4] IS NULL", "arr[n:n2] = '{}'"} {
		o.agrees(text)
	}
}

// agrees compares a clause on all rows.
func (o *oracle) agrees(text string) {
	o.t.Helper()
	yes, err := expr.Compile(text, nil, o.cols)
	if err != nil {
		o.t.Errorf("%s: %v", text, err)
		return
	}
	no, err := expr.Compile("NOT ("+text+")", nil, o.cols)
	if err != nil {
		o.t.Fatal(err)
	}
	var sum tally
	o.compare(text, yes, no, &sum)
	checkCanonical(o.t, yes, o.cols)
}
