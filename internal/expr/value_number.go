package expr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// errSyntax: a text is not of the type's form. Callers add the text and type.
var (
	errSyntax = errors.New("invalid syntax")
	errRange  = errors.New("value out of range")
)

// trimBlank drops white space as C's isspace sees it.
func trimBlank(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// boolWords are the words that any unambiguous beginning of stands for.
var boolWords = []struct {
	word  string
	min   int // shortest beginning accepted
	value bool
}{
	{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
	{"on", 2, true}, {"off", 2, false}, {"1", 1, true}, {"0", 1, false},
}

func parseBool(text []byte) (value, error) {
	s := strings.ToLower(string(trimBlank(text)))
	for _, w := range boolWords {
		if len(s) >= w.min && strings.HasPrefix(w.word, s) {
			return boolValue(w.value), nil
		}
	}
	return value{}, errSyntax
}

var outFalse, outTrue = []byte("f"), []byte("t")

func boolValue(b bool) value {
	if b {
		return value{n: 1, b: outTrue}
	}
	return value{b: outFalse}
}

// loadBool also takes what the cast to text writes.
func loadBool(text []byte) (value, error) {
	switch string(text) {
	case "t", "true":
		return value{n: 1, b: outTrue}, nil
	case "f", "false":
		return value{b: outFalse}, nil
	}
	return value{}, errSyntax
}

func textBool(v value) []byte { return boolValue(v.n != 0).b }

func parseInt2(text []byte) (value, error) { return parseInt(text, 16) }
func parseInt4(text []byte) (value, error) { return parseInt(text, 32) }
func parseInt8(text []byte) (value, error) { return parseInt(text, 64) }

// parseInt takes decimal digits only: the notations with 0x and underscores
// depend on the server's version.
func parseInt(text []byte, bits int) (value, error) {
	text = trimBlank(text)
	n, ok := atoi(text)
	if !ok {
		if len(text) > 0 && onlyInt(text) {
			return value{}, errRange
		}
		return value{}, errSyntax
	}
	limit := int64(1) << (bits - 1) // overflows to MinInt64 for 64 bits, where atoi has checked
	if bits < 64 && (n < -limit || n >= limit) {
		return value{}, errRange
	}
	return value{n: n}, nil
}

func onlyInt(text []byte) bool {
	if text[0] == '-' || text[0] == '+' {
		text = text[1:]
	}
	for _, c := range text {
		if !isDigit(c) {
			return false
		}
	}
	return len(text) > 0
}

// atoi reads an int64 without allocating.
func atoi(text []byte) (int64, bool) {
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	if len(text) == 0 {
		return 0, false
	}
	var n uint64
	for i, c := range text {
		d := uint64(c - '0')
		if d > 9 || i >= 19 && n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	switch {
	case negative && n <= 1<<63:
		return -int64(n), true
	case !negative && n < 1<<63:
		return int64(n), true
	}
	return 0, false
}

func loadInt(text []byte) (value, error) {
	n, ok := atoi(text)
	if !ok {
		return value{}, errSyntax
	}
	return value{n: n, b: text}, nil
}

func textInt(v value) []byte { return strconv.AppendInt(nil, v.n, 10) }

func parseFloat4(text []byte) (value, error) { return parseFloat(text, 32) }
func parseFloat8(text []byte) (value, error) { return parseFloat(text, 64) }

func loadFloat4(text []byte) (value, error) { return loadFloat(text, 32) }
func loadFloat8(text []byte) (value, error) { return loadFloat(text, 64) }

func loadFloat(text []byte, bits int) (value, error) {
	v, err := parseFloat(text, bits)
	v.b = text
	return v, err
}

// parseFloat takes what strtod does but hexadecimal numbers.
func parseFloat(text []byte, bits int) (value, error) {
	text = trimBlank(text)
	if f, ok := specialFloat(text); ok {
		return value{f: f}, nil
	}
	if !isDecimal(text) {
		return value{}, errSyntax
	}
	// The conversion does not escape, so that it does not allocate.
	f, err := strconv.ParseFloat(string(text), bits)
	if err != nil || f == 0 && !isZero(text) {
		return value{}, errRange
	}
	return value{f: f}, nil
}

func specialFloat(text []byte) (float64, bool) {
	if len(text) > len("-infinity") || len(text) < 3 {
		return 0, false
	}
	var buf [9]byte
	s := buf[:copy(buf[:], text)]
	for i, c := range s {
		s[i] = lowerByte(c)
	}
	switch string(s) {
	case "nan":
		return math.NaN(), true
	case "inf", "infinity", "+inf", "+infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// isDecimal: [sign] digits with at most one point, and an exponent.
func isDecimal(text []byte) bool {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		text = text[1:]
	}
	digits, point := 0, false
	for i, c := range text {
		switch {
		case isDigit(c):
			digits++
		case c == '.' && !point:
			point = true
		case (c == 'e' || c == 'E') && digits > 0:
			return i+1 < len(text) && onlyInt(text[i+1:])
		default:
			return false
		}
	}
	return digits > 0
}

// isZero: no digit but 0 before the exponent.
func isZero(text []byte) bool {
	for _, c := range text {
		if c == 'e' || c == 'E' {
			break
		}
		if c >= '1' && c <= '9' {
			return false
		}
	}
	return true
}

func textFloat4(v value) []byte { return appendFloat(nil, v.f, 32) }
func textFloat8(v value) []byte { return appendFloat(nil, v.f, 64) }

// appendFloat writes the shortest text that reads back as f, in the form of
// Postgres with extra_float_digits = 1.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	limit := 15 // decimal exponent from which on Postgres writes an exponent
	if bits == 32 {
		limit = 6
	}
	exp := shortestFloat(f, bits)
	i := bytes.IndexByte(exp, 'e')
	n, _ := atoi(exp[i+1:]) // strconv's own exponent
	if n >= -4 && n < int64(limit) {
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}
	return append(dst, exp...)
}

// shortestFloat writes the fewest digits that read back as f, with an exponent.
// Unlike strconv, Postgres does not trust readers to round a text halfway
// between two floats to the even one, and writes more digits then: 1e23 is
// 9.999999999999999e+22. (Below the limits of appendFloat this cannot happen.)
func shortestFloat(f float64, bits int) []byte {
	exp := strconv.AppendFloat(nil, f, 'e', -1, bits)
	digits := bytes.IndexByte(bytes.TrimPrefix(exp, []byte("-")), 'e') - 1 // behind the first one, less the point
	for halfway(exp, f, bits) {
		exp = strconv.AppendFloat(nil, f, 'e', digits, bits)
		digits++
	}
	return exp
}

// halfway reports whether a decimal lies exactly between f and one of its
// neighbours.
func halfway(decimal []byte, f float64, bits int) bool {
	exact, ok := new(big.Rat).SetString(string(decimal))
	if !ok {
		return false // not possible: strconv wrote it
	}
	twice := exact.Add(exact, exact)
	for _, toward := range []float64{math.Inf(-1), math.Inf(1)} {
		next := math.Nextafter(f, toward)
		if bits == 32 {
			next = float64(math.Nextafter32(float32(f), float32(toward)))
		}
		if math.IsInf(next, 0) {
			continue
		}
		sum := new(big.Rat).SetFloat64(f)
		if sum.Add(sum, new(big.Rat).SetFloat64(next)).Cmp(twice) == 0 {
			return true
		}
	}
	return false
}

// compareFloat orders as Postgres does: NaN equals NaN and is above everything.
func compareFloat(a, b value) int {
	switch {
	case a.f < b.f:
		return -1
	case a.f > b.f:
		return 1
	case a.f == b.f:
		return 0
	}
	switch an, bn := math.IsNaN(a.f), math.IsNaN(b.f); {
	case an && bn:
		return 0
	case an:
		return 1
	}
	return -1
}

func compareInt(a, b value) int {
	switch {
	case a.n < b.n:
		return -1
	case a.n > b.n:
		return 1
	}
	return 0
}

// keyInt orders as numbers do: the sign's bit is turned.
func keyInt(dst []byte, v value) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v.n)^1<<63)
}

// keyFloat orders as compareFloat does: there is one zero and one NaN, above all.
func keyFloat(dst []byte, v value) []byte {
	bits := math.Float64bits(v.f)
	switch {
	case math.IsNaN(v.f):
		bits = math.MaxUint64
	case v.f == 0:
		bits = 1 << 63
	case v.f < 0:
		bits = ^bits
	default:
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, bits)
}
