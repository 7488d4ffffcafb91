package wal

import (
	"cmp"
	"errors"
	"math"
	"strconv"
	"strings"
)

// Inf is the operation number that is greater than any other: 0_inf is the
// place after the whole snapshot and before every replicated transaction.
const Inf = math.MaxUint64

// Offset is a place in one shape's log (http-protocol §10). Tx is the commit
// LSN of a transaction, 0 for the snapshot; Op counts inside it: snapshot
// chunks by 1, replicated changes by 2, the odd number being the second half of
// a primary-key change.
type Offset struct {
	Tx LSN
	Op uint64
}

// AfterSnapshot is 0_inf.
var AfterSnapshot = Offset{0, Inf}

// Compare orders by Tx, then by Op.
func (o Offset) Compare(p Offset) int {
	if c := cmp.Compare(o.Tx, p.Tx); c != 0 {
		return c
	}
	return cmp.Compare(o.Op, p.Op)
}

// Less reports whether o comes before p.
func (o Offset) Less(p Offset) bool { return o.Compare(p) < 0 }

// Append appends the wire form, "<tx>_<op>" or "<tx>_inf".
func (o Offset) Append(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(o.Tx), 10)
	b = append(b, '_')
	if o.Op == Inf {
		return append(b, "inf"...)
	}
	return strconv.AppendUint(b, o.Op, 10)
}

func (o Offset) String() string { return string(o.Append(nil)) }

// ErrOffset says that a text is not an offset.
var ErrOffset = errors.New("has invalid format")

// ParseOffset reads "<tx>_<op>" and "<tx>_inf" (http-protocol §10.1): leading
// zeros and a leading plus are tolerated. A number beyond 64 bits is not a
// fault of form: it means "beyond the end" and is read as the greatest one
// (for Op, the greatest below Inf). "-1" and "now" are forms of a request, not
// places in a log; the api room reads them.
func ParseOffset(s string) (Offset, error) {
	tx, op, ok := strings.Cut(s, "_")
	if !ok {
		return Offset{}, ErrOffset
	}
	t, ok := parseNumber(tx, math.MaxUint64)
	if !ok {
		return Offset{}, ErrOffset
	}
	if op == "inf" {
		return Offset{LSN(t), Inf}, nil
	}
	o, ok := parseNumber(op, Inf-1)
	if !ok {
		return Offset{}, ErrOffset
	}
	return Offset{LSN(t), o}, nil
}

func parseNumber(s string, most uint64) (uint64, bool) {
	s = strings.TrimPrefix(s, "+")
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		return most, true
	}
	return n, true
}
