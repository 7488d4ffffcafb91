package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// kind is a type of columns in the property test: its name in SQL, and literals
// that are few enough to meet again.
type kind struct {
	name    string
	values  []string
	ordered bool     // < and > are accepted whatever the database's collation is
	more    []string // conditions of its own, where %[1]s is the column
}

var kinds = []kind{
	{"int4", []string{"0", "1", "-7", "42", "2147483647"}, true, []string{"%[1]s %% 5 = 2", "%[1]s / 2 * 2 = %[1]s", "%[1]s & 1 = 1", "%[1]s::int8 + 1 > 1", "- %[1]s < 7"}},
	{"int8", []string{"0", "1", "9007199254740993", "-9223372036854775808"}, true, []string{"%[1]s / 3 > 0", "%[1]s %% 2 = 1", "%[1]s::numeric * 2 + 1 < 3", "%[1]s = ANY ('{0,1}')"}},
	{"text", []string{"''", "'a'", "'A'", "'ä/\"_%'", "repeat('long ', 800)", "E'two\\nlines'"}, false, []string{"%[1]s LIKE '%%a%%'", "%[1]s || 'x' = 'ax'", "COALESCE(%[1]s, 'a') = 'a'", "%[1]s ILIKE 'A%%'",
		"CASE WHEN %[1]s = 'a' THEN id > 20 WHEN %[1]s IS NULL THEN id < 30 ELSE part = 'p1' END", "%[1]s NOT BETWEEN 'A' AND 'a'"}},
	{"bool", []string{"true", "false"}, false, []string{"%[1]s", "%[1]s IS NOT TRUE"}},
	{"numeric", []string{"0", "1.0", "1.00", "-0.5", "'NaN'", "123456789012345678901234567890.5"}, true, []string{"%[1]s * 2 - 1 > 0.5", "%[1]s / 3 < 1", "%[1]s %% 1 = 0.5"}},
	{"float8", []string{"0", "'-0'", "1e300", "0.1", "'NaN'", "'Infinity'"}, true, []string{"%[1]s / 2 + 1 > 1", "- %[1]s < 0"}},
	{"date", []string{"'2026-01-01'", "'1999-12-31'", "'infinity'", "'0044-03-15 BC'"}, true, []string{"%[1]s - 1 < '2026-01-01'", "%[1]s + 7 > '2026-01-01'"}},
	{"timestamptz", []string{"'2026-01-01 00:00:00+00'", "'2026-01-01 01:00:00+01'", "'1970-01-01 00:00:00.000001+00'"}, true, nil},
	{"uuid", []string{"'00000000-0000-0000-0000-000000000001'", "'AAAAAAAA-0000-0000-0000-000000000001'"}, true, nil},
	{"varchar(20)", []string{"''", "'x'", "'x '"}, false, []string{"%[1]s LIKE 'x%%'"}},
	{"interval", []string{"'1 day'", "'24:00:00'", "'1 mon -30 days'", "'0'", "'-1 year 00:00:00.5'"}, true, []string{"%[1]s * 2 > '1 day'", "%[1]s + '1 day' <= '48:00:00'"}},
	{"time", []string{"'00:00'", "'24:00'", "'12:30:45.123456'"}, true, []string{"%[1]s + '1 hour' > '12:00'"}},
	{"mood", []string{"'sad'", "'ok'", "'very \"glad\"'"}, true, []string{"%[1]s = ANY ('{sad,ok}')"}},
	{"int4[]", []string{"'{}'", "'{1}'", "'{2,NULL,1}'", "'{{1,2},{3,4}}'", "'[0:1]={1,2}'"}, false,
		[]string{"%[1]s @> '{1}'", "%[1]s <@ '{1,2,3}'", "%[1]s && '{2,4}'", "1 = ANY (%[1]s)", "%[1]s[1] > 1", "array_length(%[1]s, 1) = 2", "%[1]s > '{1}'"}},
	{"text[]", []string{"'{}'", "'{a}'", "'{\"a,b\",NULL,\"NULL\"}'", "'{\"q\\\"\",a}'"}, false, []string{"%[1]s @> '{a}'", "%[1]s && '{NULL,a}'", "'a' = ANY (%[1]s)", "%[1]s[1] = 'a'"}},
	{"mood[]", []string{"'{sad}'", "'{ok,\"very \\\"glad\\\"\"}'"}, false, []string{"'ok' = ANY (%[1]s)", "%[1]s @> '{sad}'", "%[1]s && '{sad,ok}'"}},
}

// moodType is what kinds need.
const moodType = `CREATE TYPE mood AS ENUM ('sad', 'ok', 'very "glad"')`

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
	added   int // columns that were added, the last ones
	// leaves are its partitions, for part = 'p0' and so on; none: it has no such.
	leaves []string
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// plain is the name that was quoted.
func plain(name string) string { return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`) }

func randomTable(rng *rand.Rand, n int, partitioned bool) *table {
	names := []string{"plain", "Mixed Case", `quo"te`, "slash/dot.", "ünïcode"}
	t := &table{name: quoted(fmt.Sprintf("%s %d", names[rng.IntN(len(names))], n))}
	t.columns = []column{{`"id"`, kinds[0]}, {`"part"`, kinds[2]}}
	for i := range 2 + rng.IntN(4) {
		t.columns = append(t.columns, column{quoted(fmt.Sprintf(`c%d%s`, i, []string{"", " x", "ö", `"`}[rng.IntN(4)])), kinds[rng.IntN(len(kinds))]})
	}
	switch n := rng.IntN(4); {
	case n == 1:
		// no key: every column is one
	case n == 0 || partitioned:
		t.key = []string{`"part"`, `"id"`}
	default:
		t.key = []string{`"id"`}
	}
	if partitioned {
		for range 3 {
			t.leaf()
		}
	}
	return t
}

// leaf names another partition.
func (t *table) leaf() string {
	t.leaves = append(t.leaves, quoted(fmt.Sprintf("%s leaf %d", plain(t.name), len(t.leaves))))
	return t.leaves[len(t.leaves)-1]
}

// of says which rows belong to a partition.
func (t *table) of(leaf int) string { return fmt.Sprintf(" FOR VALUES IN ('p%d')", leaf) }

func (t *table) create(rng *rand.Rand) string {
	var defs []string
	for _, c := range t.columns {
		defs = append(defs, c.name+" "+c.kind.name)
	}
	key := ""
	if t.key != nil {
		key = ", PRIMARY KEY (" + strings.Join(t.key, ", ") + ")"
	}
	sql := "CREATE TABLE " + t.name + " (" + strings.Join(defs, ", ") + key + ")"
	if t.leaves == nil {
		return sql
	}
	sql += ` PARTITION BY LIST ("part")`
	for n, leaf := range t.leaves {
		if rng.IntN(2) == 0 {
			sql += "; CREATE TABLE " + leaf + " PARTITION OF " + t.name + t.of(n)
			continue
		}
		// Its columns are in another order.
		rng.Shuffle(len(defs), func(i, j int) { defs[i], defs[j] = defs[j], defs[i] })
		sql += "; CREATE TABLE " + leaf + " (" + strings.Join(defs, ", ") + key + "); ALTER TABLE " + t.name + " ATTACH PARTITION " + leaf + t.of(n)
	}
	return sql
}

// insert makes some rows with ids of their own.
func (t *table) insert(rng *rand.Rand, n int) string {
	return t.insertInto(rng, n, t.name, -1)
}

// insertInto is insert into a partition; -1 is any.
func (t *table) insertInto(rng *rand.Rand, n int, name string, leaf int) string {
	var rows []string
	for range n {
		t.ids++
		vals := []string{fmt.Sprint(t.ids), t.part(rng)}
		if leaf >= 0 {
			vals[1] = fmt.Sprintf("'p%d'", leaf)
		}
		for _, c := range t.columns[2:] {
			vals = append(vals, c.kind.literal(rng))
		}
		rows = append(rows, "("+strings.Join(vals, ", ")+")")
	}
	return "INSERT INTO " + name + " (" + strings.Join(t.names(), ", ") + ") VALUES " + strings.Join(rows, ", ")
}

// part is a value of the column that decides about the partition.
func (t *table) part(rng *rand.Rand) string {
	return fmt.Sprintf("'p%d'", rng.IntN(max(3, len(t.leaves))))
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
	name := t.name
	if t.leaves != nil && rng.IntN(4) == 0 {
		leaf := rng.IntN(len(t.leaves))
		if name = t.leaves[leaf]; rng.IntN(3) == 0 {
			return t.insertInto(rng, 2, name, leaf)
		}
	}
	switch rng.IntN(11) {
	case 0, 1, 2:
		return t.insert(rng, 1+rng.IntN(5))
	case 3:
		return "DELETE FROM " + name + some + " AND id > " + fmt.Sprint(t.ids-10)
	case 4:
		return fmt.Sprintf("UPDATE %s SET id = id + 100000 WHERE id = %d", name, 1+rng.IntN(t.ids+1))
	case 5:
		return "UPDATE " + name + " SET id = id" + some // nothing changes
	case 6: // rows that move
		return fmt.Sprintf("UPDATE %s SET part = %s%s", t.name, t.part(rng), some)
	}
	c := t.columns[2+rng.IntN(len(t.columns)-2)]
	return "UPDATE " + name + " SET " + c.name + " = " + c.kind.literal(rng) + some
}

// much is many changes of rows of which few are left, in one transaction with all that
// is around it.
func (t *table) much(rng *rand.Rand) string {
	first, n := t.ids, 300+rng.IntN(1200)
	t.ids += n
	vals := []string{fmt.Sprintf("%d + g", first), fmt.Sprintf("'p' || g %% %d", max(3, len(t.leaves)))}
	for _, c := range t.columns[2:] {
		vals = append(vals, c.kind.literal(rng))
	}
	these := fmt.Sprintf(" WHERE id > %d AND id <= %d", first, first+n)
	c := t.columns[2+rng.IntN(len(t.columns)-2)]
	return fmt.Sprintf("INSERT INTO %[1]s (%[2]s) SELECT %[3]s FROM generate_series(1, %[4]d) g; UPDATE %[1]s SET %[5]s = %[6]s%[7]s; DELETE FROM %[1]s%[7]s AND id %% 100 <> 0",
		t.name, strings.Join(t.names(), ", "), strings.Join(vals, ", "), n, c.name, c.kind.literal(rng), these)
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
	switch n := rng.IntN(8); {
	case n < 3 && c.kind.more != nil:
		return fmt.Sprintf(c.kind.more[rng.IntN(len(c.kind.more))], c.name)
	case n == 3:
		return c.name + " IS NOT NULL"
	case n == 4:
		return c.name + " IN (" + literal() + ", " + literal() + ")"
	case n <= 6 && c.kind.ordered:
		return c.name + " " + []string{"<", "<=", ">", ">="}[rng.IntN(4)] + " " + literal()
	}
	return c.name + " " + []string{"=", "<>"}[rng.IntN(2)] + " " + literal()
}

// randomShape returns the request's parameters, and the columns if it names some.
func (t *table) randomShape(rng *rand.Rand) (params []string, columns []string) {
	params = []string{"table", t.name}
	if t.leaves != nil && rng.IntN(2) == 0 {
		params[1] = t.leaves[rng.IntN(len(t.leaves))]
	}
	if rng.IntN(4) > 0 {
		params = append(params, "where", t.condition(rng, 2))
	}
	if rng.IntN(2) == 0 {
		params = append(params, "replica", "full")
	}
	if rng.IntN(4) == 0 {
		params = append(params, "log", "changes_only")
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

// state is what SELECT returned at one moment: its rows by key, each column with its
// text.
type state struct {
	rows map[string]map[string]string
	text string // all of it
}

// identity is a row's key: the columns given, or all.
func identity(row map[string]string, key []string) string {
	var cells []string
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if key == nil || slices.Contains(key, quoted(name)) {
			cells = append(cells, name+"="+row[name])
		}
	}
	return strings.Join(cells, "|")
}

// newState makes the state of some rows, which may be a client's.
func newState(rows []map[string]*string, key []string) *state {
	s := &state{rows: make(map[string]map[string]string)}
	for _, r := range rows {
		row := make(map[string]string)
		for name, v := range r {
			row[name] = cell(v)
		}
		s.rows[identity(row, key)] = row
	}
	var lines []string
	for _, row := range s.rows {
		lines = append(lines, identity(row, nil))
	}
	slices.Sort(lines)
	s.text = strings.Join(lines, "\n")
	return s
}

// view is what a client holds: the whole state of a shape, or, of one with changes
// only, what it was told of.
type view struct {
	*state
	partial bool
	gone    *state
}

func whatHolds(f *follower, key []string) view {
	values := func(m map[string]map[string]*string) *state {
		return newState(slices.Collect(maps.Values(m)), key)
	}
	return view{values(f.rows), f.params.Get("log") == "changes_only", values(f.gone)}
}

func (h view) String() string { return h.text + "\ngone:\n" + h.gone.text }

// fits reports whether it is what SELECT returned.
func (h view) fits(s *state) bool {
	return h.partial && len(h.against(s)) == 0 || !h.partial && h.text == s.text
}

// against lists how it differs from what SELECT returned.
func (h view) against(s *state) (diff []string) {
	for key, row := range h.rows {
		is := s.rows[key]
		for name, v := range row {
			if is == nil || is[name] != v {
				diff = append(diff, "+ "+identity(row, nil))
				break
			}
		}
	}
	for key, row := range s.rows {
		if h.gone.rows[key] != nil || !h.partial && h.rows[key] == nil {
			diff = append(diff, "- "+identity(row, nil))
		}
	}
	return diff
}

func cell(v *string) string {
	if v == nil {
		return "NULL"
	}
	return "'" + *v + "'"
}
