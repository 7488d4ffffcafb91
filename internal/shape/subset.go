package shape

import (
	"strings"

	"github.com/spillway-sync/spillway/internal/expr"
)

// Subset is a query over the rows of a shape, checked against the catalogue. It
// is immutable. What it asks Postgres is made of its parts' SQL methods only.
type Subset struct {
	Def *Def
	// Where narrows the rows of Def; nil: all of them.
	Where *expr.Expr
	// Order is nil when no order was asked for.
	Order *expr.Order
	// Limit is the greatest number of rows, 0: no limit. Offset is how many are
	// passed over.
	Limit, Offset int64
}

// SubsetParams is what a request says about a subset.
type SubsetParams struct {
	Where         string            // blank: all rows
	Params        map[string]string // of $1, $2 … in Where
	Zones         expr.Zones        // that Where may name
	OrderBy       string            // blank: in no order
	Limit, Offset int64
	// Queryable are the names of the columns that Where and OrderBy may use;
	// nil: all of the table's.
	Queryable []string
}

// BuildSubset checks p and makes the subset. The only error it returns is a
// *FieldError; its field is one of where, params, order_by.
func BuildSubset(def *Def, p SubsetParams) (*Subset, error) {
	cols := queryable(def.Table, p.Queryable)
	s := &Subset{Def: def, Limit: p.Limit, Offset: p.Offset}
	if strings.TrimSpace(p.Where) != "" {
		if expr.HasSubquery(p.Where) {
			return nil, &FieldError{Field: "where", Msg: "Subqueries are not allowed in subsets"}
		}
		where, err := p.Zones.Compile(p.Where, p.Params, cols)
		if err != nil {
			return nil, fieldError("where", err)
		}
		s.Where = where
	}
	if strings.TrimSpace(p.OrderBy) != "" {
		order, err := expr.CompileOrder(p.OrderBy, cols)
		if err != nil {
			return nil, fieldError("order_by", err)
		}
		s.Order = order
	}
	return s, nil
}

// queryable are the columns a subset's clauses may name.
func queryable(t *Table, names []string) []expr.Column {
	allowed := setOf(names)
	var cols []expr.Column
	for i := range t.Columns {
		if names == nil || allowed[t.Columns[i].Name] {
			cols = append(cols, t.Columns[i].Column)
		}
	}
	return cols
}
