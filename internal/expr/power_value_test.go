package expr_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/wal"
)

var powerItems = []expr.Column{
	col("n", 23, "int4"), col("f", 701, "float8"), col("p", 1700, "numeric"), col("t", 25, "text"),
}

var powerRow = wal.Tuple{[]byte("3"), []byte("1.1"), []byte("100.00"), []byte("1")}

// TestPowerValues: what all servers give. TestDifferentialPowers goes further.
func TestPowerValues(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"n ^ 2", "9"},
		{"n ^ '2'", "9"},
		{"2 ^ 3 ^ 3", "512"},
		{"-2 ^ 2", "4"},
		{"2 * n ^ 2", "18"},
		{"n ^ NULL", ""},
		{"'2' ^ '3'", "8"},
		{"NULL ^ '3'", ""},
		{"power('2', '3')", "8"},
		{"power(n, 0.5::float8) > 1.7", "t"},
		{"pow(f, 2)", "1.2100000000000002"},
		{"4 ^ -0.5::float8", "0.5"},
		{"0::float8 ^ 0", "1"},
		{"'NaN'::float8 ^ 0", "1"},
		{"1::float8 ^ 'NaN'", "1"},
		{"f ^ 'NaN'", "NaN"},
		{"f ^ 'infinity'", "Infinity"},
		{"(-f) ^ '-infinity'", "0"},
		{"(-1)::float8 ^ 'infinity'", "1"},
		{"'-infinity'::float8 ^ 3", "-Infinity"},
		{"'-infinity'::float8 ^ -3", "-0"},
		{"'-0'::float8 ^ 3", "-0"},
		{"(-f) ^ 2", "1.2100000000000002"},
		{"(n - 3)::float8 ^ (-1)", "zero raised to a negative power"},
		{"(-n)::float8 ^ f", "complex result"},
		{"f ^ 10000", "value out of range"},
		{"f ^ -10000", "value out of range"},
		{"2::float8 ^ (n - 1077)", "servers differ"}, // below the normal numbers
		{"p ^ 0.25", "3.1622776601683793"},
		{"(p - 100) ^ 0.5", "0.0000000000000000"},
		{"(p - 100) ^ (-1)", "zero raised to a negative power"},
		{"(-p) ^ 0.5", "complex result"},
		{"p ^ 1::float8", "100"},
		{"p ^ n = 1000000", "t"},                      // of two scales
		{"p ^ n::numeric BETWEEN 1 AND 1000000", "t"}, // the same
		{"(p ^ n)::text", "servers differ"},
		{"(p ^ n)::text LIKE '1000000.00%'", "t"},
		{"p ^ n / 3 > 333333.33333", "t"},
		{"2::numeric ^ 10 = 1024", "t"},
		{"p > 10::numeric ^ 3", "f"},
		{"(2::numeric ^ 10)::text = '1024.0000000000000'", "servers differ"},
		{"1.5::numeric ^ 3", "3.3750000000000000"},
		{"'NaN'::numeric ^ 0", "1"},
		{"1::numeric ^ 'NaN'", "1"},
		{"p ^ 'NaN'", "NaN"},
		{"p ^ '-infinity'", "0"},
		{"(-p) ^ 'infinity'", "Infinity"},
		{"'-infinity'::numeric ^ 3", "-Infinity"},
		{"p ^ 1000000", "out of range"},
		{"f ^ 0.5 IN (1, 2)", "f"},
		{"coalesce(f ^ 0.5, p) > 1", "t"},
	} {
		eval, _, err := expr.Value(c.text, powerItems)
		var got []byte
		if err == nil {
			got, err = eval(powerRow)
		}
		if err != nil && strings.Contains(err.Error(), c.want) && c.want != "" {
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.text, got, err, c.want)
		}
	}
}

func TestPowerCanonical(t *testing.T) {
	for _, c := range [][2]string{
		{"n ^ 2 = 4", `(("n"::float8 ^ '2'::float8) = '4'::float8)`},
		{"p ^ 2 = 4", `(("p" ^ '2'::numeric) = '4'::numeric)`},
		{"p ^ f > 4", `(("p"::float8 ^ "f") > '4'::float8)`},
		{"power(p, '2') < 4", `(power("p", '2'::numeric) < '4'::numeric)`},
		{"pow(n, 2) < 4", `(pow("n"::float8, '2'::float8) < '4'::float8)`},
		{"f < 2 ^ 10", `("f" < '1024'::float8)`},
		{"2::numeric ^ 10 = 1024 AND n = 1", `("n" = '1'::int4)`},
		{"p < 10::numeric ^ 2", `("p" < ('10'::numeric ^ '2'::numeric))`}, // of two scales, so it stays
		{"n = 1 AND n ^ 2 > 4", `(("n" = '1'::int4) AND (("n"::float8 ^ '2'::float8) > '4'::float8))`},
	} {
		e, err := expr.Compile(c[0], nil, powerItems)
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		if e.SQL() != c[1] {
			t.Errorf("%s:\n got %s\nwant %s", c[0], e.SQL(), c[1])
		}
		checkCanonical(t, e, powerItems)
	}
}

func TestPowerRefused(t *testing.T) {
	many := make([]string, 7)
	for i := range many {
		many[i] = "p ^ 0." + string(rune('1'+i)) + " > 1"
	}
	for _, c := range [][2]string{
		{"n ^ ok > 1", "At location 4: unknown reference ok"},
		{"t ^ 2 = 1", "At location 2: Could not select an operator overload"},
		{"power(t, 2) = 1", "At location 0: Could not select a function overload for power(text, int4)"},
		{"power(n) = 1", "At location 0: unknown or unsupported function power/1"},
		{"n = 1 ^ ANY ('{1}')", "At location 6: ANY/ALL requires operator that returns bool"},
		{"0 ^ -1 = n", "At location 2: Failed to apply function to constant arguments"},
		{strings.Join(many, " AND "), "At location 0: more than 6 different powers are not supported"},
	} {
		_, err := expr.Compile(c[0], nil, powerItems)
		var refusal *expr.Error
		if !errors.As(err, &refusal) || refusal.Msg != c[1] {
			t.Errorf("%s:\n got %v\nwant %s", c[0], err, c[1])
		}
	}
	// The same power counts once.
	if _, err := expr.Compile(strings.Repeat("n ^ 0.5 > 1 AND ", 20)+"true", nil, powerItems); err != nil {
		t.Error(err)
	}
}

// TestPowerLimits: no pair of numbers takes long or much, whatever its size.
func TestPowerLimits(t *testing.T) {
	nines, tiny := strings.Repeat("9", 131072), "0."+strings.Repeat("0", 16000)+"1"
	for _, c := range []struct{ a, b, want string }{
		{"1.3", "1000000", "servers differ"}, // 113,943 digits
		{"1.3", "2147483647", "out of range"},
		{"1.3", "-2147483648", ""},
		{"1." + strings.Repeat("0", 16000) + "1", "1" + strings.Repeat("0", 16000), "1.1051709180756476"},
		{nines, "2", "out of range"},
		{nines, "1", "servers differ"}, // more digits than we compute
		{nines, nines, "out of range"},
		{nines, "-" + nines, "0.000"},
		{nines, tiny, "1.0000"},
		{tiny, "2147483647.5", "0.000"},
		{tiny, "-" + tiny, "1.0000"},
		{"0." + nines[:16383], nines, "0.000"},
		{"1", nines, "1.0000000000000000"},
		{"-1", nines, "-1.0000000000000000"},
	} {
		list, err := expr.Power("numeric", c.a, c.b)
		switch {
		case err != nil && c.want != "" && strings.Contains(err.Error(), c.want):
		case err != nil || !strings.HasPrefix(list[0], c.want):
			t.Errorf("%.30s ^ %.30s: got %.60q, %v, want %s", c.a, c.b, list, err, c.want)
		}
	}
}
