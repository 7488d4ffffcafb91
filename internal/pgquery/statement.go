package pgquery

import (
	"strconv"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/expr"
)

// statement is the text of an SQL statement or of a part of one. Constants are
// statements by themselves; of any other text only the functions of this file make
// one, and a text that is joined to a statement does not compile. So nothing that a
// client sent is part of a statement but through a printer or in quotes;
// TestOnlyStatementsAreSent looks that nobody goes around it.
type statement string

// whole is the text that is sent to Postgres.
func (s statement) whole() string { return string(s) }

// quote quotes an identifier.
func quote(name string) statement { return statement(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`) }

// quoteLiteral quotes a text so that standard_conforming_strings does not matter: what
// is in one script with the statement that sets it is read before that is run.
func quoteLiteral(s string) statement {
	return statement(`E'` + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(s) + `'`)
}

// relation is a table's name as SQL.
func relation(schema, name string) statement { return quote(schema) + "." + quote(name) }

// number is a number without quotes.
func number[N int64 | uint32](n N) statement { return statement(strconv.FormatInt(int64(n), 10)) }

// clause is a WHERE clause as its own printer prints it, in parentheses so that
// nothing beside it can change what it means.
func clause(w *expr.Expr) statement { return statement("(" + w.SQL() + ")") }

// ordering is what follows ORDER BY, "" if there is nothing to order by.
func ordering(o *expr.Order) statement {
	if o == nil {
		return ""
	}
	return statement(o.SQL())
}

// limits sets the time limits of a transaction; 0 is none.
func limits(query, lock time.Duration) statement {
	return "SET LOCAL statement_timeout = " + number(query.Milliseconds()) + ";\n" +
		"SET LOCAL lock_timeout = " + number(lock.Milliseconds()) + ";\n"
}
