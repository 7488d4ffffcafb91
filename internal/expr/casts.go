package expr

import (
	"math"
	"strconv"
)

// castRow is one row of the cast table.
type castRow struct {
	from, to kind
	// implicit: also where the user wrote no cast (pg_cast.castcontext 'i').
	implicit bool
	// apply converts; nil when both have the same representation. It may fail.
	apply func(v value) (value, error)
}

// castTable holds the casts of pg_cast between the kinds we know. Those between
// timestamptz and the other date types depend on TimeZone, which is UTC.
// Casts from and to text by way of the input and output functions are not
// listed (see findCast).
var castTable = append([]castRow{
	{kindInt2, kindInt4, true, sameInt},
	{kindInt2, kindInt8, true, sameInt},
	{kindInt2, kindFloat4, true, intToFloat4},
	{kindInt2, kindFloat8, true, intToFloat8},
	{kindInt2, kindNumeric, true, intToNumeric},
	{kindInt4, kindInt2, false, toInt2},
	{kindInt4, kindInt8, true, sameInt},
	{kindInt4, kindFloat4, true, intToFloat4},
	{kindInt4, kindFloat8, true, intToFloat8},
	{kindInt4, kindNumeric, true, intToNumeric},
	{kindInt4, kindBool, false, intToBool},
	{kindInt8, kindInt2, false, toInt2},
	{kindInt8, kindInt4, false, toInt4},
	{kindInt8, kindFloat4, true, intToFloat4},
	{kindInt8, kindFloat8, true, intToFloat8},
	{kindInt8, kindNumeric, true, intToNumeric},
	{kindFloat4, kindInt2, false, floatToInt(toInt2)},
	{kindFloat4, kindInt4, false, floatToInt(toInt4)},
	{kindFloat4, kindInt8, false, floatToInt(sameInt)},
	{kindFloat4, kindFloat8, true, widenFloat},
	{kindFloat4, kindNumeric, false, floatToNumeric(6)},
	{kindFloat8, kindInt2, false, floatToInt(toInt2)},
	{kindFloat8, kindInt4, false, floatToInt(toInt4)},
	{kindFloat8, kindInt8, false, floatToInt(sameInt)},
	{kindFloat8, kindFloat4, false, narrowFloat},
	{kindFloat8, kindNumeric, false, floatToNumeric(15)},
	{kindNumeric, kindInt2, false, numericToInt(toInt2)},
	{kindNumeric, kindInt4, false, numericToInt(toInt4)},
	{kindNumeric, kindInt8, false, numericToInt(sameInt)},
	{kindNumeric, kindFloat4, true, numericToFloat4},
	{kindNumeric, kindFloat8, true, numericToFloat8},
	{kindBool, kindInt4, false, sameInt},
	{kindBool, kindText, false, boolToText},
	{kindBool, kindVarchar, false, boolToText},
	{kindBool, kindBpchar, false, boolToText},
	{kindText, kindVarchar, true, nil},
	{kindText, kindBpchar, true, nil},
	{kindText, kindName, true, toName},
	{kindVarchar, kindText, true, nil},
	{kindVarchar, kindBpchar, true, nil},
	{kindVarchar, kindName, true, toName},
	{kindBpchar, kindText, true, unpad},
	{kindBpchar, kindVarchar, true, unpad},
	{kindBpchar, kindName, true, bpcharToName},
	{kindName, kindText, true, nil},
	{kindName, kindVarchar, false, nil},
	{kindName, kindBpchar, false, nil},
	{kindDate, kindTimestamp, true, dateToTimestamp},
	{kindDate, kindTimestamptz, true, dateToTimestamp},
	{kindTimestamp, kindDate, false, timestampToDate},
	{kindTimestamp, kindTimestamptz, true, nil},
	{kindTimestamp, kindTime, false, stampToTime},
	{kindTimestamptz, kindDate, false, timestampToDate},
	{kindTimestamptz, kindTimestamp, false, nil},
	{kindTimestamptz, kindTime, false, stampToTime},
	{kindTimestamptz, kindTimetz, false, stampToTimetz},
	{kindTime, kindInterval, true, timeToInterval},
	{kindTime, kindTimetz, true, timeToTimetz},
	{kindTimetz, kindTime, false, timetzToTime},
	{kindInterval, kindTime, false, finiteOne(intervalToTime)},
}, jsonbCasts()...)

var castIndex = indexCasts()

func indexCasts() map[[2]kind]*castRow {
	m := make(map[[2]kind]*castRow, len(castTable))
	for i := range castTable {
		r := &castTable[i]
		m[[2]kind{r.from, r.to}] = r
	}
	return m
}

// implicitly reports whether from becomes to where no cast is written.
func implicitly(from, to kind) bool {
	if from == to || from == kindUnknown {
		return true
	}
	r := castIndex[[2]kind{from, to}]
	return r != nil && r.implicit
}

// findCast finds an explicit cast: one of the table, or through text with the
// output function of one side and the input function of the other.
func findCast(from, to kind) (*castRow, bool) {
	if r := castIndex[[2]kind{from, to}]; r != nil {
		return r, true
	}
	switch {
	case from == kindOther || to == kindOther:
	case to.info().category == 'S':
		return &castRow{from: from, to: to, apply: func(v value) (value, error) {
			return to.info().parse(outputText(from, v))
		}}, true
	case from.info().category == 'S':
		return &castRow{from: from, to: to, apply: func(v value) (value, error) {
			return to.info().parse(v.b)
		}}, true
	}
	return nil, false
}

func sameInt(v value) (value, error)      { return value{n: v.n}, nil }
func widenFloat(v value) (value, error)   { return value{f: v.f}, nil }
func intToFloat8(v value) (value, error)  { return value{f: float64(v.n)}, nil }
func intToFloat4(v value) (value, error)  { return value{f: float64(float32(v.n))}, nil }
func intToBool(v value) (value, error)    { return boolValue(v.n != 0), nil }
func intToNumeric(v value) (value, error) { return value{b: outputText(kindInt8, v)}, nil }

func toInt2(v value) (value, error) { return narrowInt(v, math.MinInt16, math.MaxInt16) }
func toInt4(v value) (value, error) { return narrowInt(v, math.MinInt32, math.MaxInt32) }

func narrowInt(v value, low, high int64) (value, error) {
	if v.n < low || v.n > high {
		return value{}, errRange
	}
	return value{n: v.n}, nil
}

// floatToInt rounds halves to the even number, as C's rint does.
func floatToInt(narrow func(value) (value, error)) func(value) (value, error) {
	return func(v value) (value, error) {
		f := math.RoundToEven(v.f)
		if math.IsNaN(f) || f < math.MinInt64 || f >= -math.MinInt64 {
			return value{}, errRange
		}
		return narrow(value{n: int64(f)})
	}
}

func narrowFloat(v value) (value, error) {
	f := float64(float32(v.f))
	if math.IsInf(f, 0) && !math.IsInf(v.f, 0) || f == 0 && v.f != 0 {
		return value{}, errRange
	}
	return value{f: f}, nil
}

// floatToNumeric keeps as many digits as C guarantees for the type.
func floatToNumeric(digits int) func(value) (value, error) {
	return func(v value) (value, error) {
		if math.IsNaN(v.f) || math.IsInf(v.f, 0) {
			return value{b: appendFloat(nil, v.f, 64)}, nil
		}
		return parseNumeric(strconv.AppendFloat(nil, v.f, 'g', digits, 64))
	}
}

// numericToInt rounds halves away from zero.
func numericToInt(narrow func(value) (value, error)) func(value) (value, error) {
	return func(v value) (value, error) {
		d := decimalOfText(v.b)
		if d.rank > 1 || d.rank < -1 {
			return value{}, errRange
		}
		text := append(make([]byte, 0, len(d.whole)+2), '-')
		text = append(append(text, '0'), d.whole...)
		n, ok := atoi(text) // negative: the range is larger there
		if ok && len(d.fraction) > 0 && d.fraction[0] >= '5' {
			ok = n > math.MinInt64
			n--
		}
		if d.rank >= 0 {
			ok = ok && n > math.MinInt64
			n = -n
		}
		if !ok {
			return value{}, errRange
		}
		return narrow(value{n: n})
	}
}

func numericToFloat4(v value) (value, error) { return parseFloat4(v.b) }
func numericToFloat8(v value) (value, error) { return parseFloat8(v.b) }

// boolToText writes whole words, unlike the output function.
func boolToText(v value) (value, error) {
	if v.n != 0 {
		return value{b: wordTrue}, nil
	}
	return value{b: wordFalse}, nil
}

var wordTrue, wordFalse = []byte("true"), []byte("false")

func toName(v value) (value, error)       { return parseName(v.b) }
func unpad(v value) (value, error)        { return value{b: trimPad(v.b)}, nil }
func bpcharToName(v value) (value, error) { return parseName(trimPad(v.b)) }

func dateToTimestamp(v value) (value, error) {
	switch {
	case v.n == dateInfinity:
		return value{n: stampInfinity}, nil
	case v.n == dateMinusInf:
		return value{n: stampMinusInf}, nil
	case v.n >= endStamp/day:
		return value{}, errRange
	}
	return value{n: v.n * day}, nil
}

func timestampToDate(v value) (value, error) {
	switch v.n {
	case stampInfinity:
		return value{n: dateInfinity}, nil
	case stampMinusInf:
		return value{n: dateMinusInf}, nil
	}
	return value{n: floorDiv(v.n, day)}, nil
}
