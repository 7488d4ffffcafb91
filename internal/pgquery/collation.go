package pgquery

import (
	"strings"

	"github.com/spillway-sync/spillway/internal/expr"
)

// collation is what pg_collation, or pg_database for the default one, says.
type collation struct {
	Provider string `json:"provider"` // 'c' libc, 'i' ICU, 'b' builtin, 'd' the database's
	Collate  string `json:"collate"`  // libc
	CType    string `json:"ctype"`    // libc
	Locale   string `json:"locale"`   // ICU and builtin
}

// bytewise: the collation orders UTF-8 text by its bytes. What Postgres compares are the
// bytes that it stores: of other encodings only LATIN1 has the order of UTF-8.
func (c collation) bytewise(encoding string) bool {
	switch encoding {
	case "UTF8", "LATIN1", "SQL_ASCII":
	default:
		return false
	}
	switch c.Provider {
	case "b":
		return true // all builtin ones compare with memcmp
	case "c":
		switch strings.ToLower(c.Collate) {
		case "c", "posix", "c.utf-8", "c.utf8":
			return true
		}
	}
	return false
}

// letters: what lower() does. ICU is left unknown: it maps text as a whole (a
// final sigma, a dotted capital I), not letter by letter.
func (c collation) letters(encoding string) expr.Case {
	ctype := c.CType
	switch c.Provider {
	case "c":
	case "b":
		ctype = c.Locale
	default:
		return expr.CaseUnknown
	}
	switch strings.ToLower(ctype) {
	case "c", "posix":
		return expr.CaseASCII
	case "pg_unicode_fast":
		return expr.CaseUnknown // full mapping
	}
	if encoding != "UTF8" {
		return expr.CaseUnknown
	}
	for _, language := range []string{"tr", "az", "lt"} {
		if strings.HasPrefix(ctype, language+"_") || ctype == language {
			return expr.CaseUnknown
		}
	}
	return expr.CaseUnicode
}
