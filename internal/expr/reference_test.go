package expr

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Reference writes the tables of types, casts, operators and functions for
// docs/where.md.
func Reference() string {
	var b strings.Builder
	table := func(title, head string, rows []string) {
		fmt.Fprintf(&b, "### %s\n\n| %s |\n|%s\n", title, head, strings.Repeat("---|", strings.Count(head, "|")+1))
		for _, r := range rows {
			b.WriteString("| " + r + " |\n")
		}
		b.WriteByte('\n')
	}
	table("Types", "type | arrays of it | how changes are looked up", typeRows())
	table("Casts", "from | also without being written | when written", castRows())
	table("Operators", "left | operators | right | result | collation", operatorRows())
	table("Functions", "function | result", functionRows())
	return b.String()
}

// code quotes for Markdown; in a table a bar would end the cell.
func code(s string) string { return "`" + strings.ReplaceAll(s, "|", `\|`) + "`" }

func codes(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = code(s)
	}
	return strings.Join(quoted, ", ")
}

func typeRows() []string {
	arrays := map[kind]bool{kindEnum: true}
	for _, k := range arrayOIDs {
		arrays[k] = true
	}
	var rows []string
	for k := kindBool; k <= kindEnum; k++ {
		t, array, by := k.info(), "–", "one by one"
		if arrays[k] {
			array = code(t.name + "[]")
		}
		switch {
		case t.ordered:
			by = "value, range"
		case t.key != nil:
			by = "value"
		}
		name := code(t.name)
		if k == kindEnum {
			name, array = "any enum", "yes"
		}
		rows = append(rows, name+" | "+array+" | "+by)
	}
	return rows
}

func castRows() []string {
	var rows []string
	for k := kindBool; k < kindEnum; k++ {
		var implicit, written []string
		for _, r := range castTable {
			switch {
			case r.from != k:
			case r.implicit:
				implicit = append(implicit, r.to.info().name)
			default:
				written = append(written, r.to.info().name)
			}
		}
		slices.Sort(implicit)
		slices.Sort(written)
		rows = append(rows, code(k.info().name)+" | "+codes(implicit)+" | "+codes(written))
	}
	return append(rows, "any type | | "+codes([]string{"text", "varchar", "bpchar", "name"})+", as its output function writes it",
		"`text`, `varchar`, `bpchar`, `name` | | any type but enums, as its input function reads it",
		"an array | an array of what its elements become | an array of what its elements can be cast to")
}

// operatorRows brings operators of the same operands into one row, then right
// operands of the same operators.
func operatorRows() []string {
	type operands struct{ left, right, result, need string }
	type group struct{ left, names, result, need string }
	needs := map[need]string{needDeterministic: "deterministic", needBytewise: "bytewise", needCase: "`lower()` known"}
	names := map[operands][]string{}
	add := func(name, left, right, result, need string) {
		o := operands{left, right, result, need}
		names[o] = append(names[o], name)
	}
	for _, rows := range []map[string][]*operator{operators, computations} {
		for _, list := range rows {
			for _, op := range list {
				if op.left == kindJSONB && op.prepare != nil { // refused
					continue
				}
				add(op.name, op.left.info().name, op.right.info().name, op.result.info().name, needs[op.need])
			}
		}
	}
	for _, r := range unaryRows {
		add(r.name, "", r.kind.info().name, r.kind.info().name, "")
	}
	for name, op := range pathOperators {
		for _, left := range []kind{kindJSON, kindJSONB} {
			result := op.result
			if result == kindUnknown {
				result = left
			}
			if left == kindJSONB || op.json {
				add(name, left.info().name, "text[]", result.info().name, "")
			}
		}
	}
	for _, c := range comparisons {
		add(c.name, "an array", "one of the same type", "bool", "as its elements")
	}
	for name := range arrayOperators {
		add(name, "an array", "one of the same type", "bool", "as its elements")
	}
	for _, pair := range [][2]string{{"an array", "an array"}, {"an array", "an element"}, {"an element", "an array"}} {
		add("||", pair[0], pair[1], "an array", "")
	}
	add("||", "a text", "anything but arrays", "text", "")
	add("||", "anything but arrays", "a text", "text", "")
	rights := map[group][]string{}
	for o, list := range names {
		slices.Sort(list)
		g := group{o.left, strings.Join(list, " "), o.result, o.need}
		rights[g] = append(rights[g], o.right)
	}
	var rows []string
	for g, list := range rights {
		slices.Sort(list)
		rows = append(rows, fmt.Sprintf("%s | %s | %s | %s | %s", plain(g.left), code(g.names), plain(list...), plain(g.result), g.need))
	}
	slices.Sort(rows)
	return rows
}

// plain leaves what is said in words as it is.
func plain(list ...string) string {
	for i, s := range list {
		if s != "" && !strings.Contains(s, " ") {
			list[i] = code(s)
		}
	}
	return strings.Join(list, ", ")
}

func functionRows() []string {
	rows := map[string]string{}
	for name, list := range functions {
		for _, f := range list {
			args := make([]string, len(f.args))
			for i, k := range f.args {
				args[i] = k.info().name
			}
			rows[code(name+"("+strings.Join(args, ", ")+")")] = code(f.result.info().name)
		}
	}
	slots := map[slot]string{slotArray: "array", slotElement: "element", slotInt: "int4"}
	for name, f := range arrayFunctions {
		args := make([]string, len(f.slots))
		for i, s := range f.slots {
			args[i] = slots[s]
		}
		result := "an array"
		if f.int {
			result = "`int4`"
		}
		rows[code(name+"("+strings.Join(args, ", ")+")")] = result
	}
	rows["`concat(x, …)`"] = "`text`: what the output functions write, but for NULLs"
	rows["`int4(x)` and all other names of types"] = "as the cast"
	var out []string
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, name+" | "+rows[name])
	}
	return out
}
