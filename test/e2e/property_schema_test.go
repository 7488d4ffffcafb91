package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// kind is a type of columns in the property test: its name in SQL, and literals
// that are few enough to meet again. The first of them orders nothing.
type kind struct {
	name    string
	values  []string
	ordered bool // < and > are accepted whatever the database's collation is
}

var kinds = []kind{
	{"int4", []string{"0", "1", "-7", "42", "2147483647"}, true},
	{"int8", []string{"0", "1", "9007199254740993", "-9223372036854775808"}, true},
	{"text", []string{"''", "'a'", "'A'", "'ä/\"_%'", "repeat('long ', 800)", "E'two\\nlines'"}, false},
	{"bool", []string{"true", "false"}, false},
	{"numeric", []string{"0", "1.0", "1.00", "-0.5", "'NaN'", "123456789012345678901234567890.5"}, true},
	{"float8", []string{"0", "'-0'", "1e300", "0.1", "'NaN'", "'Infinity'"}, true},
	{"date", []string{"'2026-01-01'", "'1999-12-31'", "'infinity'", "'0044-03-15 BC'"}, true},
	{"timestamptz", []string{"'2026-01-01 00:00:00+00'", "'2026-01-01 01:00:00+01'", "'1970-01-01 00:00:00.000001+00'"}, true},
	{"uuid", []string{"'00000000-0000-0000-0000-000000000001'", "'AAAAAAAA-0000-0000-0000-000000000001'"}, true},
	{"varchar(20)", []string{"''", "'x'", "'x '"}, false},
}

func (k kind) literal(rng *rand.Rand) string {
	if rng.IntN(6) == 0 {
		return "NULL"
	}
	return k.value(rng)
}

func (k kind) value(rng *rand.Rand) string {
	return "CAST(" + k.values[rng.IntN(len(k.values))] + " AS " + k.name + ")"
}

// column is one of a random table.
type column struct {
	name string // quoted
	kind kind
}

// table is a random one.
type table struct {
	name    string // quoted
	columns []column
	key     []string // quoted names; none: no primary key
	ids     int
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func randomTable(rng *rand.Rand, n int) *table {
	names := []string{"plain", "Mixed Case", `quo"te`, "slash/dot.", "ünïcode"}
	t := &table{name: quoted(fmt.Sprintf("%s %d", names[rng.IntN(len(names))], n))}
	t.columns = []column{{`"id"`, kinds[0]}, {`"part"`, kinds[2]}}
	for i := range 2 + rng.IntN(4) {
		t.columns = append(t.columns, column{quoted(fmt.Sprintf(`c%d%s`, i, []string{"", " x", "ö", `"`}[rng.IntN(4)])), kinds[rng.IntN(len(kinds))]})
	}
	switch rng.IntN(4) {
	case 0:
		t.key = []string{`"part"`, `"id"`}
	case 1:
		// no key: every column is one
	default:
		t.key = []string{`"id"`}
	}
	return t
}

func (t *table) create() string {
	var defs []string
	for _, c := range t.columns {
		defs = append(defs, c.name+" "+c.kind.name)
	}
	if t.key != nil {
		defs = append(defs, "PRIMARY KEY ("+strings.Join(t.key, ", ")+")")
	}
	return "CREATE TABLE " + t.name + " (" + strings.Join(defs, ", ") + ")"
}

// insert makes some rows with ids of their own.
func (t *table) insert(rng *rand.Rand, n int) string {
	var rows []string
	for range n {
		t.ids++
		vals := []string{fmt.Sprint(t.ids), "'p" + fmt.Sprint(rng.IntN(3)) + "'"}
		for _, c := range t.columns[2:] {
			vals = append(vals, c.kind.literal(rng))
		}
		rows = append(rows, "("+strings.Join(vals, ", ")+")")
	}
	return "INSERT INTO " + t.name + " (" + strings.Join(t.names(), ", ") + ") VALUES " + strings.Join(rows, ", ")
}

func (t *table) names() []string {
	var out []string
	for _, c := range t.columns {
		out = append(out, c.name)
	}
	return out
}

// statement is one random change.
func (t *table) statement(rng *rand.Rand) string {
	some := fmt.Sprintf(" WHERE id %% %d = %d", 2+rng.IntN(7), rng.IntN(2))
	switch rng.IntN(10) {
	case 0, 1, 2:
		return t.insert(rng, 1+rng.IntN(5))
	case 3:
		return "DELETE FROM " + t.name + some + " AND id > " + fmt.Sprint(t.ids-10)
	case 4:
		return fmt.Sprintf("UPDATE %s SET id = id + 100000 WHERE id = %d", t.name, 1+rng.IntN(t.ids+1))
	case 5:
		return "UPDATE " + t.name + " SET id = id" + some // nothing changes
	}
	c := t.columns[2+rng.IntN(len(t.columns)-2)]
	return "UPDATE " + t.name + " SET " + c.name + " = " + c.kind.literal(rng) + some
}

// condition is a random WHERE clause.
func (t *table) condition(rng *rand.Rand, depth int) string {
	if depth > 0 && rng.IntN(2) == 0 {
		a, b := t.condition(rng, depth-1), t.condition(rng, depth-1)
		switch rng.IntN(3) {
		case 0:
			return "(" + a + " AND " + b + ")"
		case 1:
			return "(" + a + " OR " + b + ")"
		}
		return "NOT (" + a + ")"
	}
	c := t.columns[rng.IntN(len(t.columns))]
	literal := func() string {
		// The form that a client would send.
		v := c.kind.values[rng.IntN(len(c.kind.values))]
		if strings.HasPrefix(v, "repeat") || strings.HasPrefix(v, "E'") {
			v = "'a'"
		}
		return v
	}
	switch n := rng.IntN(6); {
	case c.kind.name == "bool" && n < 3:
		return c.name
	case n == 0:
		return c.name + " IS NOT NULL"
	case n == 1:
		return c.name + " IN (" + literal() + ", " + literal() + ")"
	case n == 2 && c.kind.name == "text":
		return c.name + " LIKE '%a%'"
	case n <= 3 && c.kind.ordered:
		return c.name + " " + []string{"<", "<=", ">", ">="}[rng.IntN(4)] + " " + literal()
	}
	return c.name + " " + []string{"=", "<>"}[rng.IntN(2)] + " " + literal()
}

// randomShape returns the request's parameters.
func (t *table) randomShape(rng *rand.Rand) (params []string, columns []string) {
	params = []string{"table", t.name}
	if rng.IntN(4) > 0 {
		params = append(params, "where", t.condition(rng, 2))
	}
	if rng.IntN(2) == 0 {
		params = append(params, "replica", "full")
	}
	if t.key != nil && rng.IntN(2) == 0 {
		columns = slices.Clone(t.key)
		for _, c := range t.columns {
			if !slices.Contains(columns, c.name) && rng.IntN(2) == 0 {
				columns = append(columns, c.name)
			}
		}
		params = append(params, "columns", strings.Join(columns, ","))
	}
	return params, columns
}

// stateOf is what a client holds, in one text; rows of a table without a key that
// are equal are one.
func stateOf(rows map[string]map[string]*string) string {
	set := make(map[string]bool)
	for _, row := range rows {
		var cells []string
		for _, name := range slices.Sorted(maps.Keys(row)) {
			cells = append(cells, name+"="+cell(row[name]))
		}
		set[strings.Join(cells, "|")] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), "\n")
}

func cell(v *string) string {
	if v == nil {
		return "NULL"
	}
	// Whether a bool is t or true is its reader's business.
	switch *v {
	case "true":
		return "'t'"
	case "false":
		return "'f'"
	}
	return "'" + *v + "'"
}
