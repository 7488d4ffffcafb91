package api

import (
	"strings"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// start says where in a shape's log a request begins.
type start uint8

const (
	fromBeginning start = iota // offset=-1
	fromNow                    // offset=now
	fromOffset                 // a place in the log
)

// request is what a client asked for, its form checked.
type request struct {
	table  string
	start  start
	at     wal.Offset   // if start is fromOffset
	handle shape.Handle // "" unless start is fromOffset
	live   bool
	sse    bool
	cursor string
	subset bool // rows as they are now are asked for, not the log

	columns   *value // as sent, nil if absent
	queryable *value
	params    shape.Params // without its column lists
}

// waiting is what a live request, whose form was checked, still needs. Texts are
// copied: they may be parts of a long URL.
func (r *request) waiting() *request {
	return &request{
		start: r.start, at: r.at, live: r.live, sse: r.sse, subset: r.subset,
		handle: shape.Handle(strings.Clone(string(r.handle))), cursor: strings.Clone(r.cursor),
	}
}

// offsetText is the requested offset in its normal form, as etags have it.
func (r *request) offsetText() string {
	switch r.start {
	case fromBeginning:
		return "-1"
	case fromNow:
		return "now"
	}
	return r.at.String()
}

// The messages that several parameters share.
const (
	msgBlank   = "can't be blank"
	msgInvalid = "is invalid"
)

// parseRequest checks everything that can be checked without the catalogue, in
// the groups and the order of http-protocol §6. Its only error is a *problem.
func parseRequest(q query) (*request, error) {
	req := &request{
		cursor: q.raw("cursor"),
		live:   q.flag("live"),
		subset: q.hasSubset(),
	}
	offset, handle, faults := req.parseTypes(q)
	if offset == "" && faults["offset"] == nil {
		faults["offset"] = []string{msgBlank}
	}
	if len(faults) > 0 {
		return nil, invalidFields(faults)
	}
	if err := req.parseStart(offset, handle); err != nil {
		return nil, err
	}
	switch {
	case req.live && req.start == fromBeginning:
		return nil, invalid("live", "can't be true when offset == -1")
	case req.live && req.start == fromNow:
		return nil, invalid("live", "can't be true when offset is 'now'")
	case req.sse && !req.live:
		return nil, invalid("live_sse", "can't be true unless live is also true")
	case req.table == "":
		return nil, invalid("table", msgBlank)
	}
	return req, nil
}

// parseTypes makes the first group of checks, whose faults are reported
// together: types and enumerations of all parameters.
func (r *request) parseTypes(q query) (offset, handle string, faults map[string][]string) {
	faults = map[string][]string{}
	fault := func(name, msg string) { faults[name] = []string{msg} }
	text := func(name string) string {
		s, ok := q.text(name)
		if !ok {
			fault(name, msgInvalid)
		}
		return s
	}
	choice := func(name, byDefault, other string) bool {
		s := text(name)
		if s != "" && s != byDefault && s != other {
			fault(name, msgInvalid)
		}
		return s == other
	}

	offset = text("offset")
	handle = text("handle")
	r.table = text("table")
	r.params.Where = text("where")
	if choice("replica", "default", "full") {
		r.params.Replica = shape.ReplicaFull
	}
	if choice("log", "full", "changes_only") {
		r.params.Log = shape.LogChangesOnly
	}
	if _, ok := q.boolean("experimental_compaction"); !ok {
		fault("experimental_compaction", msgInvalid)
	}
	if q["live_sse"] != nil {
		r.sse = q.flag("live_sse")
	} else if on, ok := q.boolean("experimental_live_sse"); ok {
		r.sse = on
	} else {
		fault("live_sse", msgInvalid)
	}
	var ok bool
	if r.params.Params, ok = q.params(); !ok {
		fault("params", msgInvalid)
	}
	if r.columns, ok = q.names("columns"); !ok {
		fault("columns", msgInvalid)
	}
	if r.queryable, ok = q.names("queryable_columns"); !ok {
		fault("queryable_columns", msgInvalid)
	}
	return offset, handle, faults
}

// parseStart reads the offset, and the handle that goes with it.
func (r *request) parseStart(offset, handle string) error {
	switch offset {
	case "-1", "-1_0":
		r.start = fromBeginning
		return nil
	case "now":
		r.start = fromNow
		return nil
	}
	at, err := wal.ParseOffset(offset)
	if err != nil {
		return invalid("offset", err.Error())
	}
	if handle == "" {
		return invalid("handle", "can't be blank when offset != -1")
	}
	r.start, r.at, r.handle = fromOffset, readMark(at), shape.Handle(handle)
	return nil
}

// raw is a parameter that is never checked: its text, or nothing.
func (q query) raw(name string) string {
	if v := q[name]; v != nil && v.kind == kindText {
		return v.text
	}
	return ""
}

// flag reads live and live_sse: anything that is there and is not exactly
// "false" is true, also an empty value.
func (q query) flag(name string) bool {
	v := q[name]
	return v != nil && (v.kind != kindText || v.text != "false")
}

// boolean reads the stricter kind of flag.
func (q query) boolean(name string) (on, ok bool) {
	s, ok := q.text(name)
	switch s {
	case "true", "1":
		return true, ok
	case "", "false", "0":
		return false, ok
	}
	return false, false
}

// params reads params[1]=x&params[2]=y. Whether the keys are numbers is the
// WHERE clause's business: without one they are not looked at.
func (q query) params() (map[string]string, bool) {
	v := q["params"]
	switch {
	case v == nil, v.kind == kindText && strings.TrimSpace(v.text) == "":
		return nil, true
	case v.kind != kindObject || v.odd:
		return nil, false
	}
	return v.object, true
}

// names reads a column parameter as sent: text or list, nil if it is absent.
func (q query) names(name string) (*value, bool) {
	v := q[name]
	switch {
	case v == nil, v.kind == kindText && strings.TrimSpace(v.text) == "":
		return nil, true
	case v.kind == kindObject || v.odd:
		return nil, false
	}
	return v, true
}

// columnNames turns a column parameter into names. Text is a list of
// identifiers; a bracket list is taken literally.
func (v *value) columnNames() ([]string, error) {
	if v.kind == kindText {
		return shape.ParseColumns(v.text)
	}
	for _, name := range v.list {
		if name == "" {
			return nil, errEmptyName
		}
	}
	return v.list, nil
}
