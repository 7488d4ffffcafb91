package shape

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIdentifier is Postgres's NAMEDATALEN-1. It is compared with the number of
// characters, not of bytes, as the protocol asks; a name of more bytes than
// that simply does not exist in the catalogue.
const maxIdentifier = 63

// wireText is an error whose text clients see as it is, capital letter and all.
type wireText string

func (e wireText) Error() string { return string(e) }

// ParseRelation reads the "table" parameter: name or schema.name, each part
// quoted or not. There is no search path: without a schema it is "public". The
// errors are the texts a client sees (shape-semantics §1.2).
func ParseRelation(s string) (schema, table string, err error) {
	parts := splitUnquoted(s, '.')
	if len(parts) > 2 {
		return "", "", wireText("Invalid relation identifier, too many delimiters: " + s)
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		if names[i], err = parseIdentifier(p); err != nil {
			return "", "", err
		}
	}
	if len(names) == 1 {
		return "public", names[0], nil
	}
	return names[0], names[1], nil
}

// ParseColumns reads a comma-separated list of identifiers ("columns",
// "queryable_columns"). White space is not trimmed: a space is a special
// character of an unquoted name.
func ParseColumns(s string) ([]string, error) {
	parts := splitUnquoted(s, ',')
	names := make([]string, len(parts))
	for i, p := range parts {
		name, err := parseIdentifier(p)
		if err != nil {
			return nil, err
		}
		names[i] = name
	}
	return names, nil
}

// splitUnquoted splits s at each sep that is outside of double quotes. A
// doubled quote inside quotes toggles twice and so needs no care.
func splitUnquoted(s string, sep byte) []string {
	var parts []string
	quoted, start := false, 0
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case sep:
			if !quoted {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, s[start:])
}

// parseIdentifier reads one part and returns the name it stands for.
func parseIdentifier(s string) (string, error) {
	name := s
	if len(s) >= 1 && s[0] == '"' && s[len(s)-1] == '"' {
		if len(s) == 1 {
			return "", wireText("Invalid identifier with unescaped quote: " + s)
		}
		inner := s[1 : len(s)-1]
		if strings.Contains(strings.ReplaceAll(inner, `""`, ""), `"`) {
			return "", wireText("Invalid identifier with unescaped quote: " + inner)
		}
		name = strings.ReplaceAll(inner, `""`, `"`)
	} else if s != "" {
		if !plainIdentifier(s) {
			return "", wireText("Invalid unquoted identifier contains special characters: " + s)
		}
		name = lowerASCII(s)
	}
	if name == "" {
		return "", wireText("Invalid zero-length delimited identifier")
	}
	if utf8.RuneCountInString(name) > maxIdentifier {
		return "", wireText("Identifier is too long (max length is 63)")
	}
	return name, nil
}

// plainIdentifier reports whether s may stand without quotes.
func plainIdentifier(s string) bool {
	for i, r := range s {
		switch {
		case r == '_' || unicode.IsLetter(r):
		case i > 0 && (r >= '0' && r <= '9' || r == '$' || unicode.IsMark(r)):
		case i > 0 && unicode.IsDigit(r):
		default:
			return false
		}
	}
	return s != ""
}

// lowerASCII folds A–Z only: Postgres leaves other letters alone in databases
// with a multi-byte encoding.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
