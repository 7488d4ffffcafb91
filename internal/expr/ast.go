package expr

// The syntax tree, as the grammar gives it: no types, no names resolved. Every
// node carries the byte offset at which Postgres would report a fault of it.

type ast interface{ at() int }

type position int

func (p position) at() int { return int(p) }

type (
	// astColumn is a name with its qualifiers.
	astColumn struct {
		position
		parts []string
	}
	// astString is a quoted literal, of no type yet.
	astString struct {
		position
		text string
	}
	// astNumber is a number with its sign.
	astNumber struct {
		position
		text    string
		decimal bool // it has a point or an exponent
	}
	astBool struct {
		position
		value bool
	}
	astNull  struct{ position }
	astParam struct {
		position
		name string // digits
	}
	// astUnary is an operator before its operand.
	astUnary struct {
		position
		op  string
		arg ast
	}
	// astBinary is an operator between two operands. LIKE is ~~, NOT ILIKE !~~*.
	astBinary struct {
		position
		op   string
		l, r ast
	}
	// astLogic is a chain of AND or of OR; chains in chains are flattened.
	astLogic struct {
		position
		or   bool
		args []ast
	}
	astNot struct {
		position
		arg ast
	}
	// astNullTest is IS [NOT] NULL.
	astNullTest struct {
		position
		arg ast
		not bool
	}
	// astTruthTest is IS [NOT] TRUE, FALSE, UNKNOWN.
	astTruthTest struct {
		position
		arg  ast
		not  bool
		what string
	}
	astDistinct struct {
		position
		l, r ast
		not  bool
	}
	astIn struct {
		position
		arg  ast
		list []ast
		not  bool
	}
	astBetween struct {
		position
		arg, low, high ast
		not, symmetric bool
	}
	astCast struct {
		position
		arg ast
		to  typeName
	}
	// astSpecial is COALESCE, GREATEST, LEAST or NULLIF.
	astSpecial struct {
		position
		name string
		args []ast
	}
	// astCase is CASE [arg] WHEN … THEN … ELSE otherwise END.
	astCase struct {
		position
		arg       ast // nil: the conditions are bools
		whens     []when
		otherwise ast
	}
	astCall struct {
		position
		name string
		args []ast
	}
	// astArray is ARRAY[…], or a bracket inside of one.
	astArray struct {
		position
		elems []ast
	}
	// astSubscript is arg[…][…].
	astSubscript struct {
		position
		arg  ast
		subs []subscript
	}
	// astAny is arg op ANY (array), or ALL.
	astAny struct {
		position
		op     string
		all    bool
		l, arr ast
	}
	// astRow is (a, b) or ROW(…).
	astRow struct {
		position
		fields []ast
	}
)

// subscript is [low:high] or [high]. A bound that was left out is nil.
type subscript struct {
	low, high ast
	slice     bool
}

type when struct{ condition, result ast }

// typeName is a type as written after :: or in CAST.
type typeName struct {
	position
	name string // in pg_type's spelling: int4 for integer
	// array: brackets follow, however many.
	array bool
	// span is what an interval's type leaves of its value.
	span intervalMod
	// mods are the numbers in parentheses.
	mods []string
}
