package shape

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spillway-sync/spillway/internal/expr"
)

// Params is what a request says about a shape besides its table.
type Params struct {
	// Where is the clause as sent; blank means none.
	Where string
	// Params are the values of $1, $2 … in Where, keyed by their numbers.
	Params map[string]string
	// Zones are the zones with a history that Where may name.
	Zones expr.Zones
	// Columns and Queryable are lists of plain column names; nil: not given.
	Columns   []string
	Queryable []string
	Replica   Replica
	Log       LogMode
}

// FieldError is a fault of one request parameter. Its text is what the client
// sees under errors.<Field>.
type FieldError struct {
	Field string
	Msg   string
	// Zone is expr.Error's: with the rules of that zone there may be no fault.
	Zone string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Msg }

// BuildDef checks p against the table and makes the definition. The only error
// it returns is a *FieldError: the first fault, in the order of
// shape-semantics §1.5.
func BuildDef(t *Table, p Params) (*Def, error) {
	cols, err := selectColumns(t, p)
	if err != nil {
		return nil, err
	}
	d := &Def{
		Table:      t,
		Columns:    cols,
		AllColumns: p.Columns == nil && p.Queryable == nil,
		Replica:    p.Replica,
		Log:        p.Log,
	}
	if strings.TrimSpace(p.Where) == "" {
		return d, nil
	}
	// Main WHERE clauses may read any column, also one outside Queryable.
	readable := make([]expr.Column, len(t.Columns))
	for i := range t.Columns {
		readable[i] = t.Columns[i].Column
	}
	d.Where, err = p.Zones.Compile(p.Where, p.Params, readable)
	if err != nil {
		return nil, fieldError("where", err)
	}
	for _, i := range d.Where.Columns() {
		if c := &t.Columns[i]; c.Generated != 0 {
			return nil, &FieldError{Field: "where", Msg: fmt.Sprintf("column %q is generated and not replicated: say what it is computed from", c.Name)}
		}
	}
	return d, nil
}

// fieldError says which parameter a fault of a clause belongs to.
func fieldError(field string, err error) *FieldError {
	if e, ok := errors.AsType[*expr.Error](err); ok {
		return &FieldError{Field: e.Field, Msg: e.Msg, Zone: e.Zone}
	}
	return &FieldError{Field: field, Msg: err.Error()}
}

// selectColumns returns the selected columns as sorted positions. Lists come
// from clients and may be long: every test of membership is a map's.
func selectColumns(t *Table, p Params) ([]int, error) {
	all := make([]string, len(t.Columns))
	for i := range t.Columns {
		all[i] = t.Columns[i].Name
	}
	names, implicit := all, true
	if p.Queryable != nil {
		if err := checkColumns(t, "queryable_columns", "queryable columns", p.Queryable, all); err != nil {
			return nil, err
		}
		names = p.Queryable
	}
	if p.Columns != nil {
		if err := checkColumns(t, "columns", "columns", p.Columns, names); err != nil {
			return nil, err
		}
		names, implicit = p.Columns, false
	}
	selected := setOf(names)
	var positions []int
	var generated []string
	for i := range t.Columns {
		c := &t.Columns[i]
		if !selected[c.Name] {
			continue
		}
		positions = append(positions, i)
		// Before Postgres 18 generated columns are not replicated, later stored ones
		// only if the publication says so, virtual ones never.
		if c.Generated != 0 {
			generated = append(generated, c.Name)
		}
	}
	if len(generated) == 0 {
		return positions, nil
	}
	msg := "The following columns are generated and cannot be included in the shape: " + strings.Join(generated, ", ")
	if implicit {
		msg += ". You can exclude them from the shape by explicitly listing which columns to fetch in the 'columns' query param"
	}
	return nil, &FieldError{Field: "columns", Msg: msg}
}

// checkColumns makes the checks that both column parameters share: list is what
// the request names, allowed what it may name.
func checkColumns(t *Table, field, noun string, list, allowed []string) error {
	var missing, unknown []string
	listed, known := setOf(list), setOf(allowed)
	for _, i := range t.KeyColumns() {
		if name := t.Columns[i].Name; !listed[name] {
			missing = append(missing, name)
		}
	}
	for _, name := range list {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	switch {
	case len(missing) > 0:
		return &FieldError{Field: field, Msg: "The list of " + noun + " must include all primary key columns, missing: " + strings.Join(missing, ", ")}
	case len(unknown) > 0:
		return &FieldError{Field: field, Msg: "The following " + noun + " are not found on the table: " + strings.Join(unknown, ", ")}
	case len(list) == 0:
		return &FieldError{Field: field, Msg: "The list of " + noun + " must not be empty"}
	}
	return nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
