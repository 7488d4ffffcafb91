package api

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// subset makes the query that a request speaks of: the last group of checks. The
// faults of numbers and types are reported together, and so are those of the
// clauses.
func (x *exchange) subset(req *request, def *shape.Def) (*shape.Subset, error) {
	fields, ok := x.q.subsetFields()
	if !ok {
		return nil, invalid("subset", msgInvalid)
	}
	faults := map[string]any{}
	fault := func(name, msg string) { faults[name] = []string{msg} }
	text := func(name string) string {
		s, ok := fields.text(name)
		if !ok {
			fault(name, msgInvalid)
		}
		return s
	}
	number := func(name string, least int64, msg string) int64 {
		s := text(name)
		if s == "" {
			return 0
		}
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			fault(name, msgInvalid)
		case n < least:
			fault(name, msg)
		}
		return n
	}
	p := shape.SubsetParams{Where: text("where"), OrderBy: text("order_by")}
	p.Limit = number("limit", 1, "must be greater than 0")
	p.Offset = number("offset", 0, "must be greater than or equal to 0")
	var msg string
	if p.Params, msg = fields.jsonParams(); msg != "" {
		fault("params", msg)
	}
	if p.OrderBy == "" && faults["order_by"] == nil && (fields.has("limit") || fields.has("offset")) {
		fault("order_by", "order_by is required when limit or offset is present")
	}
	if len(faults) > 0 {
		return nil, invalidSubset(faults)
	}
	queryable, err := namesOf("queryable_columns", req.queryable)
	if err != nil {
		return nil, err
	}
	p.Queryable = queryable
	return x.buildSubset(def, p)
}

// buildSubset checks the clauses. They do not depend on each other: a fault of
// one does not hide that of the other.
func (x *exchange) buildSubset(def *shape.Def, p shape.SubsetParams) (s *shape.Subset, err error) {
	err = x.withZones(&p.Zones, func() (err error) {
		s, err = shape.BuildSubset(def, p)
		return err
	})
	if err == nil {
		return s, nil
	}
	if !errors.As(err, new(*shape.FieldError)) {
		return nil, err
	}
	faults := map[string]any{}
	add := func(err error) {
		if fe, ok := errors.AsType[*shape.FieldError](err); ok {
			faults[fe.Field] = clauseFault(fe.Msg)
		}
	}
	add(err)
	p.Where = ""
	if _, err := shape.BuildSubset(def, p); err != nil {
		add(err)
	}
	return nil, invalidSubset(faults)
}

var badLabel = regexp.MustCompile(`^At location \d+: invalid syntax for type enum (.*?): (.*)$`)

// clauseFault is a list with one fault, but for a label that its enum lacks: the
// protocol's own server learns of that from Postgres, and then sends a text.
func clauseFault(msg string) any {
	if m := badLabel.FindStringSubmatch(msg); m != nil {
		return "invalid input value for enum " + m[1] + `: "` + m[2] + `"`
	}
	return []string{msg}
}

// subsetFields gathers subset[x], then subset__x over it, under the names x. ok
// is false if "subset" is there and not an object.
func (q query) subsetFields() (fields query, ok bool) {
	fields = query{}
	if v := q["subset"]; v != nil {
		if v.kind != kindObject || v.odd {
			return nil, false
		}
		for name, text := range v.object {
			fields[name] = &value{text: text}
		}
	}
	for name, v := range q {
		if field, ok := strings.CutPrefix(name, "subset__"); ok {
			fields[field] = v
		}
	}
	return fields, true
}

// has says whether a field is there and not blank.
func (q query) has(name string) bool {
	s, ok := q.text(name)
	return !ok || s != ""
}

// jsonParams reads the subset's params: an object, or the text of one.
func (q query) jsonParams() (params map[string]string, msg string) {
	v := q["params"]
	switch {
	case v == nil, v.kind == kindText && strings.TrimSpace(v.text) == "":
		return nil, ""
	case v.odd, v.kind == kindList:
		return nil, msgInvalid
	case v.kind == kindObject:
		return v.object, ""
	}
	d := json.NewDecoder(strings.NewReader(v.text))
	d.UseNumber()
	var parsed any
	if err := d.Decode(&parsed); err != nil || d.More() {
		return nil, "params must be valid JSON"
	}
	object, ok := parsed.(map[string]any)
	if !ok {
		return nil, "params must be a JSON object"
	}
	params = map[string]string{}
	for name, e := range object {
		if params[name], ok = scalar(e); !ok {
			return nil, msgInvalid
		}
	}
	return params, ""
}

// errCut: the client does not take the rest.
var errCut = errors.New("the client is gone")

// subsetBody is the body of a subset's response while it is made. It is sent
// whole if it is small, so that a fault of its last row can still be told; of a
// large one no more than a piece is ever in memory.
type subsetBody struct {
	v    *visit
	page *page
	buf  []byte
	mark []byte // what follows a row's other headers
	rows int
}

// serveSubset answers with rows as they are now (http-protocol §16.4).
//
// The offset is the request's own: a client goes on from there, and what happened
// between it and now may concern rows outside of the subset. It is taken before
// the query runs.
func (v *visit) serveSubset() error {
	p := &page{handle: v.sh.Handle(), offset: v.req.offsetText()}
	switch v.req.start {
	case fromBeginning:
		p.offset = wal.Offset{}.String()
	case fromNow:
		p.offset = v.sh.Tail().String()
	}
	if v.head {
		v.setSubset(p)
		v.begin(http.StatusOK, -1)
		return nil
	}
	mark := strconv.FormatInt(rand.Int64N(1<<31), 10)
	b := &subsetBody{v: v, page: p, mark: []byte(`,"snapshot_mark":` + mark)}
	err := v.src.Subset(v.r.Context(), v.sub, func(s wal.Snapshot) error {
		b.buf = append(appendMetadata(b.buf, &s, b.mark), `,"data":[`...)
		return nil
	}, b.row)
	switch {
	case errors.Is(err, errCut):
		panic(http.ErrAbortHandler)
	case err != nil:
		return subsetProblem(err)
	}
	if gone := v.gone(); gone != nil && !v.began {
		return gone
	}
	b.buf = append(b.buf, "]}"...)
	if !v.began {
		v.setSubset(p)
		v.begin(http.StatusOK, int64(len(b.buf)))
	}
	v.mustWrite(b.buf)
	return nil
}

// appendMetadata begins the body with what the query sees.
func appendMetadata(dst []byte, s *wal.Snapshot, mark []byte) []byte {
	number := func(name string, n uint64) {
		dst = append(dst, `"`+name+`":"`...)
		dst = append(strconv.AppendUint(dst, n, 10), `",`...)
	}
	dst = append(dst, `{"metadata":{`...)
	number("xmin", s.Xmin)
	number("xmax", s.Xmax)
	dst = append(dst, `"xip_list":[`...)
	for i, xid := range s.Xip {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendUint(append(dst, '"'), xid, 10), '"')
	}
	dst = append(dst, "],"...)
	number("database_lsn", uint64(s.Until))
	dst = append(dst[:len(dst)-1], mark...) // it has the comma
	return append(dst, '}')
}

func (b *subsetBody) row(row wal.Tuple) error {
	if b.rows > 0 {
		b.buf = append(b.buf, ',')
	}
	b.rows++
	b.buf = consume.AppendInsertRow(b.buf, b.v.def, row)
	b.buf = append(append(b.buf[:len(b.buf)-2], b.mark...), "}}"...)
	if len(b.buf) < pieceBytes {
		return nil
	}
	if !b.v.began {
		b.v.setSubset(b.page)
		b.v.begin(http.StatusOK, -1)
	}
	if _, err := b.v.Write(b.buf); err != nil {
		return errCut
	}
	b.buf = b.buf[:0]
	return nil
}

func (v *visit) setSubset(p *page) {
	h := v.w.Header()
	h[hSnapshot] = []string{"true"}
	h[hHandle] = []string{string(p.handle)}
	h[hOffset] = []string{p.offset}
	h[hSchema] = []string{string(shape.AppendSchema(nil, v.def))}
	h[hCacheControl] = []string{"no-cache"}
}
