package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	maxBody = 8_000_000 // bytes
	// bodyTimeout is how long a piece of a body may take to come, bodyLimit how long
	// all of it may: it counts among the requests at work meanwhile.
	bodyTimeout = 15 * time.Second
	bodyLimit   = time.Minute
)

// subsetFields are the keys of a flat body that speak of the subset; all others
// are parameters of the shape (http-protocol §16.2).
var subsetFields = []string{"where", "params", "order_by", "limit", "offset", "where_expr", "order_by_expr"}

// readBody takes a POST's body into the query. What it says wins over the URL.
func (x *exchange) readBody() error {
	text, err := io.ReadAll(io.LimitReader(patient{x, time.Now().Add(bodyLimit)}, maxBody+1))
	if err == nil && len(text) <= maxBody {
		// What follows waits as long as it waits. Of a body that is not read to its end
		// net/http reads on, and must not do so for long.
		_ = x.rc.SetReadDeadline(time.Time{}) // fails with the connection, as the write will
	}
	switch {
	case len(text) > maxBody:
		return badBody(http.StatusRequestEntityTooLarge, "Request body too large", "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.w.Header()["Connection"] = []string{"close"} // the rest of it may still come
		return badBody(http.StatusRequestTimeout, "The request body did not come in time", fmt.Sprintf("send it within %v", bodyLimit))
	case err != nil:
		return badBody(http.StatusBadRequest, "Failed to read request body", "")
	case len(bytes.TrimSpace(text)) == 0:
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var body any
	if err := d.Decode(&body); err != nil {
		return badBody(http.StatusBadRequest, "Invalid JSON in request body", err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badBody(http.StatusBadRequest, "Invalid JSON in request body", "something follows the object")
	}
	object, ok := body.(map[string]any)
	if !ok {
		return badBody(http.StatusBadRequest, "Request body must be a JSON object", "")
	}
	x.q.merge(object)
	return nil
}

// patient reads the request's body, each piece with its own deadline, but not longer
// than until the end.
type patient struct {
	x   *exchange
	end time.Time
}

func (p patient) Read(b []byte) (int, error) {
	deadline := time.Now().Add(bodyTimeout)
	if p.end.Before(deadline) {
		deadline = p.end
	}
	_ = p.x.rc.SetReadDeadline(deadline) // writers of tests have none
	return p.x.r.Body.Read(b)
}

// merge puts a body's fields among the query's parameters: those of the subset
// under subset__, in whichever form they came.
func (q query) merge(body map[string]any) {
	fields, nested := body["subset"]
	if nested {
		delete(body, "subset")
	} else {
		flat := map[string]any{}
		for _, name := range subsetFields {
			if v, ok := body[name]; ok {
				flat[name] = v
				delete(body, name)
			}
		}
		if len(flat) > 0 {
			fields = flat
		}
	}
	for name, v := range body {
		q.set(name, parameterOf(v))
	}
	switch fields := fields.(type) {
	case nil:
	case map[string]any:
		q["subset__"] = &value{} // also an empty object asks for a subset
		for name, v := range fields {
			q.set("subset__"+name, fieldOf(name, v))
		}
	default:
		q["subset"] = &value{} // text where an object must be
	}
}

func (q query) set(name string, v *value) {
	if v == nil {
		delete(q, name)
		return
	}
	q[name] = v
}

// wrong is a value that no parameter can have.
var wrong = &value{kind: kindObject, odd: true}

// parameterOf is what a query string would have said instead of a JSON value, nil
// for null.
func parameterOf(v any) *value {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		list := &value{kind: kindList}
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return wrong
			}
			list.list = append(list.list, s)
		}
		return list
	case map[string]any:
		object := &value{kind: kindObject, object: map[string]string{}}
		for name, e := range v {
			s, ok := scalar(e)
			if !ok {
				return wrong
			}
			object.object[name] = s
		}
		return object
	}
	text, _ := scalar(v)
	return &value{text: text}
}

// fieldOf is parameterOf for a field of the subset: only limit and offset may be
// numbers.
func fieldOf(name string, v any) *value {
	if strings.HasSuffix(name, "_expr") {
		return &value{} // not looked at
	}
	switch v.(type) {
	case json.Number:
		if name != "limit" && name != "offset" {
			return wrong
		}
	case bool:
		return wrong
	}
	return parameterOf(v)
}

// scalar is a JSON value as text; null is empty (http-protocol §16.1).
func scalar(v any) (text string, ok bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number, bool:
		return fmt.Sprint(v), true
	}
	return "", false
}
