package expr

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
}

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
}

// Expr is a checked WHERE clause.
type Expr struct{}

// SQL is the canonical text.
func (e *Expr) SQL() string { return "" }
