package shape

import (
	"bytes"
	"strings"

	"github.com/spillway-sync/spillway/internal/wal"
)

// AppendKey appends the row key (http-protocol §13.6, shape-semantics §1.4):
//
//	"<schema>"."<table>"/"<v1>"/"<v2>"…
//
// row is indexed like t.Columns. It is the one function that makes a key, so
// that a row has the same key in snapshot, log and subset.
//
// The key is unique: inside a quoted part every '/' is doubled, so a single '/'
// can only be the border between two parts, and NULL is the only part without
// quotes. Quotes inside a value are left alone, as clients expect.
func AppendKey(dst []byte, t *Table, row wal.Tuple) []byte {
	return AppendKeyValues(AppendKeyRelation(dst, t), t, row)
}

// AppendKeyRelation appends the part of a key that all rows of t share.
func AppendKeyRelation(dst []byte, t *Table) []byte {
	dst = appendKeyName(dst, t.Schema)
	dst = append(dst, '.')
	return appendKeyName(dst, t.Name)
}

// AppendKeyValues appends the rest of a key: '/' and a value for each column.
func AppendKeyValues(dst []byte, t *Table, row wal.Tuple) []byte {
	if len(t.PK) == 0 {
		for i := range t.Columns {
			dst = appendKeyValue(dst, row[i])
		}
		return dst
	}
	for _, i := range t.PK {
		dst = appendKeyValue(dst, row[i])
	}
	return dst
}

// appendKeyName doubles '"', as SQL does, and '/', so that relation and values
// cannot run into each other. Nothing else is escaped.
func appendKeyName(dst []byte, name string) []byte {
	dst = append(dst, '"')
	if strings.IndexByte(name, '"') < 0 && strings.IndexByte(name, '/') < 0 {
		dst = append(dst, name...)
		return append(dst, '"')
	}
	for i := range len(name) {
		if c := name[i]; c == '"' || c == '/' {
			dst = append(dst, c)
		}
		dst = append(dst, name[i])
	}
	return append(dst, '"')
}

func appendKeyValue(dst, value []byte) []byte {
	dst = append(dst, '/')
	if value == nil {
		return append(dst, '_')
	}
	dst = append(dst, '"')
	for {
		i := bytes.IndexByte(value, '/')
		if i < 0 {
			break
		}
		dst = append(dst, value[:i+1]...)
		dst = append(dst, '/')
		value = value[i+1:]
	}
	dst = append(dst, value...)
	return append(dst, '"')
}
