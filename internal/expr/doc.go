// Package expr is the WHERE language: a part of Postgres's expressions, read,
// type-checked, printed in a canonical form and evaluated on rows of the
// stream.
//
// A clause is used twice, as SQL when a shape's first rows are read, and here
// for every change afterwards. A difference between the two would never heal, so
// the language is closed: whatever cannot be evaluated exactly as Postgres does
// is refused with a message that says so.
//
// It owns the lexer, the grammar, the tables of types, casts and operators, and
// the canonical text by which two clauses are the same. Invariants:
//
//  1. For every accepted clause and readable row, Match says TRUE just when
//     Postgres does for SQL() under UTF8, DateStyle ISO, TimeZone UTC. Where
//     Postgres would raise an error, Match returns one, or a result that does
//     not depend on the failing part.
//  2. SQL() is accepted again by Reload and gives the same SQL(): every cast is
//     written out and every constant has its type. It holds no text of the
//     user's but quoted values and names.
//  3. A row for which no anchor's key equals the key of its column is never TRUE.
//  4. No input panics or recurses without bound: text, nesting and the size of
//     the checked tree are limited.
//  5. An Expr is immutable; Match may be called by many goroutines. Comparisons
//     of columns with constants do not allocate.
//
// It has no data of time zones: a clause that names one with a history is refused with
// its name (Error.Zone), and accepted with the rules that the server has (Zones).
//
// It never reads a clock, starts a goroutine, takes a lock or does I/O.
//
// To add an operator, add rows to the table in operators.go (all rows that
// pg_operator has under that name for the kinds we know, since the choice among
// them follows Postgres's rules); a cast, a row in casts.go; a type, a row in
// kind.go; a function, a row in function.go's families. docs/where.md has the
// tables and is written by go test -run TestReference -rewrite.
//
// Decisions about text. Order (< <= > >=) needs a collation that compares bytes;
// equality and LIKE one that is deterministic; ILIKE depends on what is known of
// lower() (ilike.go). A literal, or what is cast to text from another type, takes
// the collation of its partner; two of these can be compared for equality, not
// ordered.
//
// Files: expr.go the exported API · token.go lexer.go strings*.go text to tokens
// · ast.go cursor.go parser.go parse_word.go parse_type.go sublink.go tokens to syntax tree · kind.go
// value_*.go bytea.go interval*.go json.go types, their input and output · casts.go
// operators.go like.go ilike.go the tables · arithmetic*.go time_*.go unary.go
// power*.go bigfloat.go json_*.go what gives no bool · doubt.go values on which servers
// differ · work.go what may be spent on a row · function.go func_text.go zone*.go functions ·
// conditional.go CASE and its like · modifier.go lengths and precisions · array*.go
// arrays, their text, functions and operators, ANY and ALL · row.go rows ·
// resolve.go which operator is meant · check.go check_truth.go collation.go node.go
// the checked tree · print.go canonical text · eval.go closures · anchor*.go term.go
// what the routing index can use · order.go ORDER BY.
package expr
