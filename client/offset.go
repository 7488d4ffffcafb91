package client

import (
	"math"
	"strconv"
	"strings"
)

// A Position is a place in a shape's log, to be stored and taken up later. The
// zero Position is the start.
type Position struct {
	Handle string `json:"handle,omitempty"` // which log; never used again after its end
	Offset string `json:"offset,omitempty"` // everything up to here was delivered
}

// Now is the position of those who want no first rows: what happens from now on.
var Now = Position{Offset: "now"}

// concrete reports whether the position lies in one log, so that a server can
// continue there or has to refuse.
func (p Position) concrete() bool { return p.Offset != "" && p.Offset != "-1" && p.Offset != "now" }

func (p Position) offset() string {
	if p.Offset == "" {
		return "-1"
	}
	return p.Offset
}

// offset is a parsed position within a log: <tx>_<op>, where op may be inf.
type offset struct{ tx, op uint64 }

func parseOffset(s string) (offset, bool) {
	tx, op, ok := strings.Cut(s, "_")
	if !ok {
		return offset{}, false
	}
	var o offset
	var err error
	if o.tx, err = strconv.ParseUint(tx, 10, 64); err != nil {
		return offset{}, false
	}
	if op == "inf" {
		o.op = math.MaxUint64
		return o, true
	}
	o.op, err = strconv.ParseUint(op, 10, 64)
	return o, err == nil
}

func (o offset) less(p offset) bool { return o.tx < p.tx || o.tx == p.tx && o.op < p.op }

func (o offset) String() string {
	op := "inf"
	if o.op != math.MaxUint64 {
		op = strconv.FormatUint(o.op, 10)
	}
	return strconv.FormatUint(o.tx, 10) + "_" + op
}

// after returns the offset after the messages of an event stream, which have no
// offset of their own: that of the last change. Changes that do not say where
// they stood are followed by the up-to-date message's word, which names the
// transaction only. Never less than before.
func after(before string, messages []Message) string {
	at, ok := parseOffset(before)
	if !ok {
		return before
	}
	unplaced := false
	for i := range messages {
		h := &messages[i].Headers
		var o offset
		switch {
		case h.LSN != "" && h.OpPosition != nil:
			o, ok = parseOffset(h.LSN + "_" + strconv.FormatUint(*h.OpPosition, 10))
		case h.Control == UpToDate && unplaced:
			o, ok = parseOffset(h.GlobalLastSeenLSN + "_0")
		default:
			unplaced = unplaced || h.Operation != ""
			continue
		}
		if ok && at.less(o) {
			at = o
		}
	}
	return at.String()
}
