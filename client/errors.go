package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Faults of what lies between the client and the server.
var (
	// ErrStaleCache is returned when answers keep coming that belong to a log
	// that has ended: a cache on the way ignores the URL's parameters.
	ErrStaleCache = errors.New("a cache on the way keeps answering with a log that has ended: it must use the whole URL as its key")
	// ErrNoProgress is returned when answers neither move on nor say that they
	// are up to date.
	ErrNoProgress = errors.New("the server's answers do not move on")
	// ErrNotElectric is wrapped when an answer lacks what the protocol requires:
	// the URL may be wrong, or a proxy removes headers.
	ErrNotElectric = errors.New("not an answer of the Electric protocol")
)

// An Error is an answer that asking again would not change.
type Error struct {
	Status  int    // the HTTP status, for example 400
	Message string // what the server says
	// Fields says what is wrong with which parameter, for example "where".
	// Those of a subset are "subset.where" and so on.
	Fields map[string][]string
}

// Error gives status, message and fields in one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the server answers %d %s", e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		fmt.Fprintf(&b, "; %s: %s", name, strings.Join(e.Fields[name], ", "))
	}
	return b.String()
}

// errorBytes is what is read of a body that tells an error, in bytes.
const errorBytes = 64 << 10

func newError(status int, body []byte) *Error {
	e := &Error{Status: status}
	var b struct {
		Message string                     `json:"message"`
		Error   string                     `json:"error"`
		Details string                     `json:"details"`
		Errors  map[string]json.RawMessage `json:"errors"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		text := strings.ToValidUTF8(strings.TrimSpace(string(body)), "")
		e.Message = text[:min(len(text), 200)]
		return e
	}
	e.Message = b.Message
	if e.Message == "" {
		e.Message = b.Error
	}
	if b.Details != "" {
		e.Message += ": " + b.Details
	}
	e.Fields = make(map[string][]string)
	fields(e.Fields, "", b.Errors)
	return e
}

// fields flattens {"offset":["…"],"subset":{"limit":["…"]}}.
func fields(to map[string][]string, prefix string, from map[string]json.RawMessage) {
	for name, raw := range from {
		var list []string
		var one string
		var inner map[string]json.RawMessage
		switch {
		case json.Unmarshal(raw, &list) == nil:
			to[prefix+name] = list
		case json.Unmarshal(raw, &one) == nil:
			to[prefix+name] = []string{one}
		case json.Unmarshal(raw, &inner) == nil:
			fields(to, prefix+name+".", inner)
		}
	}
}

// A passing error is one after which the same is tried again.
type passing struct {
	err   error
	after time.Duration // what Retry-After asks for; 0: nothing
}

func (p *passing) Error() string { return p.err.Error() }
func (p *passing) Unwrap() error { return p.err }

// withoutURL removes what net/http puts before an error: the URL, in which the
// secret is.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
