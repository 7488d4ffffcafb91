package expr

import (
	"strconv"
	"strings"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Type is a Postgres type as the evaluator sees it.
type Type struct {
	OID  uint32 // pg_type.oid
	Name string // pg_type.typname
	// Base is the OID of a domain's base type, else OID itself.
	Base uint32
	// Array: the type is an array.
	Array bool
	// Enum holds an enum's labels in their sort order; nil for other types.
	Enum []string
	// Elem is the element type of an array of an enum; nil for other types.
	Elem *Type
	// Row: the type, or a domain's base type, is composite. IS NULL then looks
	// at the fields, as it does in Postgres.
	Row bool
}

func (t *Type) isDomain() bool { return t.Base != 0 && t.Base != t.OID }

// Case says which letters lower() changes under a collation. It decides what
// ILIKE can be evaluated exactly.
type Case uint8

const (
	// CaseUnknown: nothing is known of the locale. ILIKE is refused, unless the
	// collation is Bytewise.
	CaseUnknown Case = iota
	// CaseASCII: only A to Z (the ctype C or POSIX).
	CaseASCII
	// CaseUnicode: the simple mapping of Unicode without rules of a language.
	// Not to be used for Turkish, Azeri and Lithuanian locales, nor when the
	// server's encoding is not UTF8.
	CaseUnicode
)

// Column is a column that an expression may name.
type Column struct {
	Name string
	Type Type
	// Bytewise: the column's collation orders text by its bytes (C, POSIX,
	// C.UTF-8, ucs_basic).
	Bytewise bool
	// Deterministic: the column's collation calls two texts equal only if their
	// bytes are (pg_collation.collisdeterministic; true for types without one).
	Deterministic bool
	// Case is what lower() does under the column's collation.
	Case Case
}

// Error is a clause that was refused. Its text is meant for the client.
type Error struct {
	Field string // the request parameter at fault: "where" or "params"
	Msg   string // complete, "At location N: " included
	// Zone is the time zone whose rules are missing among those given: with them the
	// clause may be good. "": that is not what it lacks.
	Zone string
}

func (e *Error) Error() string { return e.Msg }

// MaxSize is the largest clause accepted, in bytes.
const MaxSize = 65536

// Expr is a checked WHERE clause. It is immutable. Of the clauses that there may be a
// million of it is one object, and its texts another, all that a garbage collector finds.
type Expr struct {
	// What each change reads of most clauses is one line of a processor's cache.
	test    intTest // the clause, if it has a rel
	columns []int

	match  boolFn // the clause, if test has none
	text   string // its SQL, behind it its plan: see Terms
	zones  []*Zone
	sqlLen int32
	whole  bool
}

// Compile reads, checks and compiles a clause over the columns of one table, without
// zones that have a history. Every refusal is an *Error.
func Compile(where string, params map[string]string, cols []Column) (*Expr, error) {
	return Zones(nil).Compile(where, params, cols)
}

// Compile is Compile with zones. If one is missing the error says which.
func (z Zones) Compile(where string, params map[string]string, cols []Column) (*Expr, error) {
	if len(where) > MaxSize {
		return nil, whereError("WHERE clause is bigger than maximum size of " + strconv.Itoa(MaxSize) + " bytes")
	}
	if err := checkParams(params); err != nil {
		return nil, err
	}
	return z.compile(where, params, cols, maxNodes)
}

// Reload compiles the SQL of an earlier Expr without zones. It is longer than the user's
// text was and has more nodes, so it is not held to the same limits.
func Reload(sql string, cols []Column) (*Expr, error) { return Zones(nil).Reload(sql, cols) }

// Reload is Reload with zones: those of the earlier Expr.
func (z Zones) Reload(sql string, cols []Column) (*Expr, error) {
	return z.compile(sql, nil, cols, 4*maxNodes)
}

func (z Zones) compile(where string, params map[string]string, cols []Column, limit int) (*Expr, error) {
	tree, err := parse(where)
	if err != nil {
		return nil, err
	}
	c := newChecker(where, params, cols)
	c.limit, c.zones = limit, z
	root, err := c.clause(tree)
	if err != nil {
		return nil, err
	}
	sql := printSQL(root)
	e := &Expr{
		text:    strings.Clone(sql + planOf(root)),
		sqlLen:  int32(len(sql)),
		columns: columnsOf(root),
		zones:   zonesOf(root),
		whole:   wholeTerms(root),
	}
	if test, ok := intTestOf(root); ok {
		e.test = test
	} else {
		e.match = compileRoot(root)
	}
	return e, nil
}

// SQL is the canonical text: the identity of the clause, and what Postgres is
// asked when rows are read. It holds nothing of the user's text but values as
// quoted literals and names as quoted identifiers.
func (e *Expr) SQL() string { return e.text[:e.sqlLen] }

// Columns returns the positions of the columns the clause reads, sorted. The
// caller must not change the slice.
func (e *Expr) Columns() []int { return e.columns }

// Zones are the zones with a history that the clause looks at. The caller must not change
// the slice.
func (e *Expr) Zones() []*Zone { return e.zones }

// Match reports whether the clause is TRUE for a row, which is indexed like the
// columns given to Compile and holds Postgres's output text under DateStyle
// ISO, TimeZone UTC, extra_float_digits 1. An error means that Postgres would
// fail on this row as well, or that the answer cannot be given exactly.
func (e *Expr) Match(row wal.Tuple) (bool, error) {
	if e.test.rel != relNone {
		t, err := e.test.match(row)
		return t == yes, err
	}
	t, err := e.match(row)
	return t == yes, err
}
