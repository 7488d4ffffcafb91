package shape

import (
	"strconv"
	"unicode/utf8"
)

// AppendSchema appends the electric-schema header of d (http-protocol §14.2):
// one JSON object, column name → type, in the table's column order. It is pure
// ASCII, since browsers read header bytes as Latin-1: other characters become
// \u escapes.
//
// The header describes d.Table as it is, so a caller who wants the catalogue of
// today hands in a definition made today.
func AppendSchema(dst []byte, d *Def) []byte {
	dst = append(dst, '{')
	for n, i := range d.Columns {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendASCII(dst, d.Table.Columns[i].Name)
		dst = append(dst, ':')
		dst = appendColumnSchema(dst, d.Table, i)
	}
	return append(dst, '}')
}

func appendColumnSchema(dst []byte, t *Table, i int) []byte {
	c := &t.Columns[i]
	typ := c.SchemaType
	if typ == "" {
		typ = c.Type.Name
	}
	dst = append(dst, `{"type":`...)
	dst = appendASCII(dst, typ)
	// attndims is documentation only to Postgres, and 0 for arrays made by
	// CREATE TABLE AS; without dims a client would not parse the array.
	dims := c.Dims
	if dims == 0 && c.Type.Array {
		dims = 1
	}
	if dims > 0 {
		dst = appendField(dst, "dims", dims)
	}
	for k, p := range t.PK {
		if p == i {
			dst = appendField(dst, "pk_index", k)
		}
	}
	if c.NotNull {
		dst = append(dst, `,"not_null":true`...)
	}
	return append(appendModifiers(dst, typ, int(c.TypMod)), '}')
}

// varhdrsz is what Postgres adds to the modifiers of character and numeric
// types (VARHDRSZ), in bytes.
const varhdrsz = 4

// appendModifiers appends what the type modifier says of a (scalar or element)
// type.
func appendModifiers(dst []byte, typ string, mod int) []byte {
	if mod < 0 {
		return dst
	}
	switch typ {
	case "varchar", "text":
		if mod > varhdrsz {
			return appendField(dst, "max_length", mod-varhdrsz)
		}
	case "bpchar":
		if mod > varhdrsz {
			return appendField(dst, "length", mod-varhdrsz)
		}
	case "bit", "varbit":
		return appendField(dst, "length", mod)
	case "numeric":
		if mod < varhdrsz {
			return dst
		}
		// Eleven bits of scale with a sign since Postgres 15 (numeric.c,
		// numeric_typmod_scale); the upper half is the precision.
		m := mod - varhdrsz
		dst = appendField(dst, "precision", m>>16&0xffff)
		return appendField(dst, "scale", (m&0x7ff)^1024-1024)
	case "date", "time", "timetz", "timestamp", "timestamptz":
		return appendField(dst, "precision", mod)
	case "interval":
		return appendInterval(dst, mod)
	default:
		return appendField(dst, "type_mod", mod)
	}
	return dst
}

// Bits of an interval's range (Postgres, datetime.h and timestamp.h).
const (
	intervalMonth  = 1 << 1
	intervalYear   = 1 << 2
	intervalDay    = 1 << 3
	intervalHour   = 1 << 10
	intervalMinute = 1 << 11
	intervalSecond = 1 << 12

	intervalAnyPrecision = 0xffff
)

func appendInterval(dst []byte, mod int) []byte {
	if p := mod & 0xffff; p != intervalAnyPrecision {
		dst = appendField(dst, "precision", p)
	}
	if f := intervalFields(mod >> 16 & 0x7fff); f != "" {
		dst = append(dst, `,"fields":"`...)
		dst = append(dst, f...)
		dst = append(dst, '"')
	}
	return dst
}

// intervalFields names a range as DDL does; "" is the full range.
func intervalFields(bits int) string {
	switch bits {
	case intervalYear:
		return "YEAR"
	case intervalMonth:
		return "MONTH"
	case intervalDay:
		return "DAY"
	case intervalHour:
		return "HOUR"
	case intervalMinute:
		return "MINUTE"
	case intervalSecond:
		return "SECOND"
	case intervalYear | intervalMonth:
		return "YEAR TO MONTH"
	case intervalDay | intervalHour:
		return "DAY TO HOUR"
	case intervalDay | intervalHour | intervalMinute:
		return "DAY TO MINUTE"
	case intervalDay | intervalHour | intervalMinute | intervalSecond:
		return "DAY TO SECOND"
	case intervalHour | intervalMinute:
		return "HOUR TO MINUTE"
	case intervalHour | intervalMinute | intervalSecond:
		return "HOUR TO SECOND"
	case intervalMinute | intervalSecond:
		return "MINUTE TO SECOND"
	}
	return ""
}

func appendField(dst []byte, name string, n int) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return strconv.AppendInt(dst, int64(n), 10)
}

// appendASCII appends s as a JSON string of ASCII characters only.
func appendASCII(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	unit := func(u uint16) {
		dst = append(dst, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r < utf8.RuneSelf-1:
			dst = append(dst, byte(r))
		case r > 0xffff: // a surrogate pair
			r -= 0x10000
			unit(uint16(0xd800 + r>>10))
			unit(uint16(0xdc00 + r&0x3ff))
		default:
			unit(uint16(r))
		}
	}
	return append(dst, '"')
}
