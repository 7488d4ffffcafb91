package expr

// kind is a type the language knows.
type kind uint8

const (
	kindUnknown kind = iota // an untyped literal, parameter or NULL
	kindBool
	kindInt2
	kindInt4
	kindInt8
	kindNumeric
	kindFloat4
	kindFloat8
	kindText
	kindVarchar
	kindBpchar
	kindName
	kindUUID
	kindBytea
	kindDate
	kindTimestamp
	kindTimestamptz
	kindTime
	kindTimetz
	kindInterval
	kindJSON
	kindJSONB
	kindEnum  // of any enum type
	kindOther // anything else: only IS NULL
	kindArray // of a kind that we know; typ says of which
	nKinds
)

// category is pg_type.typcategory, which steers the choice of operators.
type category byte

// kindInfo is one row of the type table.
type kindInfo struct {
	name      string
	oid       uint32 // 0: no single type
	category  category
	preferred bool // pg_type.typispreferred
	// parse is the type's input function; nil where there is none.
	parse func(text []byte) (value, error)
	// load reads what the output function wrote; nil: the text is the value.
	load func(text []byte) (value, error)
	// text is the output function for a value without a text of its own.
	text func(v value) []byte
	// key brings a loaded value into the one form of all equal values, for
	// the routing index; nil: not indexable.
	key func(dst []byte, v value) []byte
	// ordered: the keys order as comparisons do.
	ordered bool
	// collates: comparisons depend on a collation.
	collates bool
}

// kinds is the type table: add a row for a new type.
var kinds = [nKinds]kindInfo{
	kindUnknown: {name: "unknown", oid: 705, category: 'X', parse: parseText},
	kindBool: {name: "bool", oid: 16, category: 'B', preferred: true,
		parse: parseBool, load: loadBool, text: textBool, key: keyText},
	kindInt2: {name: "int2", oid: 21, category: 'N', parse: parseInt2, load: loadInt, text: textInt, key: keyInt, ordered: true},
	kindInt4: {name: "int4", oid: 23, category: 'N', parse: parseInt4, load: loadInt, text: textInt, key: keyInt, ordered: true},
	kindInt8: {name: "int8", oid: 20, category: 'N', parse: parseInt8, load: loadInt, text: textInt, key: keyInt, ordered: true},
	kindNumeric: {name: "numeric", oid: 1700, category: 'N',
		parse: parseNumeric, load: loadNumeric, key: keyNumeric, ordered: true},
	kindFloat4: {name: "float4", oid: 700, category: 'N', parse: parseFloat4, load: loadFloat4, text: textFloat4,
		key: keyFloat, ordered: true},
	kindFloat8: {name: "float8", oid: 701, category: 'N', preferred: true,
		parse: parseFloat8, load: loadFloat8, text: textFloat8, key: keyFloat, ordered: true},
	kindText:    {name: "text", oid: 25, category: 'S', preferred: true, parse: parseText, key: keyText, ordered: true, collates: true},
	kindVarchar: {name: "varchar", oid: 1043, category: 'S', parse: parseText, key: keyText, ordered: true, collates: true},
	kindBpchar:  {name: "bpchar", oid: 1042, category: 'S', parse: parseText, key: keyBpchar, ordered: true, collates: true},
	kindName:    {name: "name", oid: 19, category: 'S', parse: parseName, key: keyText, ordered: true, collates: true},
	kindUUID:    {name: "uuid", oid: 2950, category: 'U', parse: parseUUID, load: parseUUID, key: keyText, ordered: true},
	kindBytea:   {name: "bytea", oid: 17, category: 'U', parse: parseBytea, load: loadBytea, key: keyText, ordered: true},
	kindDate:    {name: "date", oid: 1082, category: 'D', parse: parseDate, load: parseDate, text: textDate, key: keyInt, ordered: true},
	kindTimestamp: {name: "timestamp", oid: 1114, category: 'D',
		parse: parseTimestamp, load: parseTimestamp, text: textTimestamp, key: keyInt, ordered: true},
	kindTimestamptz: {name: "timestamptz", oid: 1184, category: 'D', preferred: true,
		parse: parseTimestamptz, load: parseTimestamptz, text: textTimestamptz, key: keyInt, ordered: true},
	kindTime:   {name: "time", oid: 1083, category: 'D', parse: parseTime, load: parseTime, text: textTime, key: keyInt, ordered: true},
	kindTimetz: {name: "timetz", oid: 1266, category: 'D', parse: parseTimetz, load: parseTimetz, text: textTimetz, key: keyInt, ordered: true},
	kindInterval: {name: "interval", oid: 1186, category: 'T', preferred: true,
		parse: parseInterval, load: loadInterval, text: textInterval, key: keyInterval, ordered: true},
	kindJSON:  {name: "json", oid: 114, category: 'U', parse: parseJSON},
	kindJSONB: {name: "jsonb", oid: 3802, category: 'U', parse: parseJSONB},
	kindEnum:  {name: "enum", category: 'E', parse: parseText, key: keyText},
	kindOther: {name: "other", category: 'U'},
	kindArray: {name: "array", category: 'A'},
}

func (k kind) info() *kindInfo { return &kinds[k] }

// kindOf is what the language sees in a column's type.
func kindOf(t *Type) kind {
	switch {
	case t.Array && elementOf(t) != kindOther:
		return kindArray
	case t.Array || t.Row:
		return kindOther
	case t.Enum != nil:
		// Postgres has no operator for a domain over an enum.
		if t.isDomain() {
			return kindOther
		}
		return kindEnum
	}
	oid := t.Base
	if oid == 0 {
		oid = t.OID
	}
	for k := kindBool; k < kindEnum; k++ {
		if kinds[k].oid == oid {
			return k
		}
	}
	return kindOther
}

// kindNamed finds the type that a cast names.
func kindNamed(name string) (kind, bool) {
	for k := kindBool; k < kindEnum; k++ {
		if kinds[k].name == name {
			return k, true
		}
	}
	return 0, false
}

// typ is the type of a node.
type typ struct {
	kind kind
	decl *Type // the column's type, for kindEnum and kindOther; the element's, for an array of enums
	elem kind  // of an array
}

func (t typ) String() string {
	switch t.kind {
	case kindEnum:
		return "enum " + t.decl.Name
	case kindOther:
		return t.decl.Name
	case kindArray:
		return t.element().String() + "[]"
	}
	return t.kind.info().name
}

// nameless: a constant of the type has its type from its partner, since its name
// would need its schema. So it must not be left alone.
func (t typ) nameless() bool { return t.kind == kindEnum || t.elem == kindEnum }

// collates: comparisons depend on a collation.
func (t typ) collates() bool { return t.kind.info().collates || t.elem.info().collates }

// same reports whether both are one type.
func (t typ) same(u typ) bool {
	return t.kind == u.kind && t.elem == u.elem && (t.decl == nil || u.decl == nil || t.decl.OID == u.decl.OID)
}

// value is a value of any kind. What is set depends on the kind:
//
//	bool           n: 0 or 1
//	int2 int4 int8 n
//	float4 float8  f (a float4 already widened)
//	date           n: days since 2000-01-01
//	timestamp(tz)  n: microseconds since 2000-01-01 00:00 UTC
//	time           n: microseconds of the day
//	timetz         n: as packTime has it
//	interval       months, days, n: microseconds
//	array          array
//	others         b; of a bytea its output text, \x and digits
//
// b is also the output text of the other kinds where it was at hand; else nil.
type value struct {
	null bool
	n    int64
	f    float64
	b    []byte
	// array is the value of an array.
	array *array
	// months and days are those of an interval.
	months, days int32
}

// output is what the type's output function writes.
func (t typ) output(v value) []byte {
	if t.kind == kindArray {
		return arrayText(v.array, t.elem)
	}
	return outputText(t.kind, v)
}

// outputText is output for a type that is not an array.
func outputText(k kind, v value) []byte {
	if v.b != nil {
		return v.b
	}
	return k.info().text(v)
}

// loadValue reads a value as the stream has it.
func loadValue(k kind, text []byte) (value, error) {
	if load := kinds[k].load; load != nil {
		return load(text)
	}
	return value{b: text}, nil
}
