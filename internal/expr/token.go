package expr

// tokenKind classifies a token.
type tokenKind uint8

const (
	tokEnd     tokenKind = iota
	tokIdent             // an unquoted word that is no keyword of ours, or a quoted identifier
	tokKeyword           // an unquoted word that Postgres reserves in some way
	tokString            // 'x', E'x', $$x$$
	tokBits              // B'01', X'1F'
	tokInt               // digits only
	tokDecimal           // with a point or an exponent
	tokParam             // $n
	tokOp                // an operator of any length
	tokPunct             // ( ) [ ] , ; : . :: and what else no expression may hold
	tokBad               // the lexer's own fault; text is the reason
)

// token is a piece of the clause. pos and end are byte offsets.
type token struct {
	kind     tokenKind
	pos, end int
	// text is the folded word, the decoded string, the digits, or the operator
	// with != already written <>.
	text string
	// class of a keyword.
	class keywordClass
}

// is reports whether the token is that operator or piece of punctuation.
func (t token) is(text string) bool {
	return (t.kind == tokOp || t.kind == tokPunct) && t.text == text
}

// word reports whether the token is that keyword.
func (t token) word(text string) bool {
	return t.kind == tokKeyword && t.text == text
}

// keywordClass is where Postgres allows a keyword as a name
// (pg_get_keywords().catcode).
type keywordClass uint8

const (
	unreserved   keywordClass = iota // as any name
	columnName                       // as a column, not as a function or type
	typeFuncName                     // as a function or type, not as a column
	reserved                         // nowhere
)

// keywords holds the words with a meaning inside an expression, and all that
// may not be used as a column's name. Other unreserved words are plain names.
var keywords = makeKeywords()

func makeKeywords() map[string]keywordClass {
	m := make(map[string]keywordClass, 200)
	add := func(class keywordClass, words ...string) {
		for _, w := range words {
			m[w] = class
		}
	}
	add(unreserved, "at", "double", "escape", "operator", "unknown", "filter", "over", "within", "xml", "zone")
	add(columnName, "between", "bigint", "bit", "boolean", "char", "character", "coalesce", "dec", "decimal", "exists",
		"extract", "float", "greatest", "grouping", "inout", "int", "integer", "interval", "least", "national", "nchar",
		"none", "normalize", "nullif", "numeric", "out", "overlay", "position", "precision", "real", "row", "setof",
		"smallint", "substring", "time", "timestamp", "treat", "trim", "values", "varchar", "xmlattributes", "xmlconcat",
		"xmlelement", "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize", "xmltable")
	add(typeFuncName, "authorization", "binary", "collation", "concurrently", "cross", "current_schema", "freeze", "full",
		"ilike", "inner", "is", "isnull", "join", "left", "like", "natural", "notnull", "outer", "overlaps", "right",
		"similar", "tablesample", "verbose")
	add(reserved, "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both", "case", "cast",
		"check", "collate", "column", "constraint", "create", "current_catalog", "current_date", "current_role",
		"current_time", "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else",
		"end", "except", "false", "fetch", "for", "foreign", "from", "grant", "group", "having", "in", "initially",
		"intersect", "into", "lateral", "leading", "limit", "localtime", "localtimestamp", "not", "null", "offset", "on",
		"only", "or", "order", "placing", "primary", "references", "returning", "select", "session_user", "some",
		"symmetric", "system_user", "table", "then", "to", "trailing", "true", "union", "unique", "user", "using", "variadic", "when",
		"where", "window", "with")
	return m
}
