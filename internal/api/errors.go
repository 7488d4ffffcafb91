package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/snapshot"
)

// What a Source says when it cannot describe a table.
var (
	// ErrNoTable: there is no table of that name that a shape can be made of.
	ErrNoTable = errors.New("no such table")
	// ErrUnreachable: the catalogue could not be asked.
	ErrUnreachable = errors.New("the database cannot be reached")
)

// NotReady says why shapes cannot be served now. Reason is one of the texts of
// http-protocol §18.2 and is shown to clients.
type NotReady struct{ Reason string }

func (e *NotReady) Error() string { return e.Reason }

// errEmptyName is a wire text.
var errEmptyName = errors.New("Invalid zero-length identifier")

// problem is a refusal: what a client is told instead of a log. This file is
// the one table from faults to statuses and bodies.
type problem struct {
	status     int
	body       []byte
	retryAfter int          // seconds; 0: no such header
	known      bool         // electric-internal-known-error
	handle     shape.Handle // of a 409: the log to use instead, if there is one
	overload   bool         // surrogate-control whatever the method
	plain      bool         // the framework-like defaults: no content type, no CORS
}

func (p *problem) Error() string { return string(p.body) }

// messageBody is the body of most refusals.
type messageBody struct {
	Message string              `json:"message"`
	Errors  map[string][]string `json:"errors,omitempty"`
	Reason  shape.Reason        `json:"reason,omitempty"`
}

func invalidFields(faults map[string][]string) *problem {
	return &problem{
		status: http.StatusBadRequest,
		body:   encode(messageBody{Message: "Invalid request", Errors: faults}),
	}
}

func invalid(field, msg string) *problem {
	return invalidFields(map[string][]string{field: {msg}})
}

// refuse is a refusal with a message and, if it helps, a time to try again.
func refuse(status int, msg string, retryAfter int) *problem {
	return &problem{status: status, body: encode(messageBody{Message: msg}), retryAfter: retryAfter}
}

// mustRefetch tells a client to start over, with the log of handle if there is
// one. The reason is for people: clients do not look at the body.
func mustRefetch(handle shape.Handle, reason shape.Reason) *problem {
	return &problem{status: http.StatusConflict, body: consume.AppendMustRefetch(nil, reason), handle: handle}
}

// noTable is what a client sees of ErrNoTable.
func noTable(schema, name string) *problem {
	return invalid("table", `Table "`+schema+`"."`+name+`" does not exist. If the table name contains capitals or special characters you must quote it.`)
}

func unreachable() *problem {
	return refuse(http.StatusServiceUnavailable, "Cannot connect to the database to verify the shape. Please try again later.", 1)
}

func notReady(reason string) *problem {
	return refuse(http.StatusServiceUnavailable, reason, 5)
}

// parked is what clients are told of a shape that could not be built anew.
func parked(ill registry.Illness, now time.Time) *problem {
	wait := max(time.Second, min(ill.Until.Sub(now), time.Hour))
	return &problem{
		status: http.StatusServiceUnavailable,
		body: encode(messageBody{
			Message: "This shape cannot be kept up to date at the moment and was set aside; it will be tried again by itself",
			Reason:  ill.Reason,
		}),
		retryAfter: int((wait + time.Second - 1) / time.Second),
	}
}

// notThereAgain is for an offset that may have been the shape's before a crash.
// Clients take the 400 of one that never was for final.
func notThereAgain() *problem {
	return refuse(http.StatusServiceUnavailable, "After a restart this shape has not come as far again as you have read. Please try again later.", 5)
}

func outOfBounds() *problem { return invalid("offset", "out of bounds for this shape") }

func createFailed() *problem {
	return refuse(http.StatusServiceUnavailable, "Failed to create shape, please retry", 1)
}

// snapshotProblem is what a client sees of first rows that could not be read.
func snapshotProblem(err error) *problem {
	if _, ok := errors.AsType[*snapshot.SchemaChanged](err); ok {
		return mustRefetch("", shape.ReasonSchema)
	}
	f, ok := errors.AsType[*snapshot.Failure](err)
	switch {
	case ok && f.Known:
		p := refuse(http.StatusServiceUnavailable, f.Message, 10)
		p.known = true
		return p
	case ok:
		return refuse(http.StatusInternalServerError, unexpected+": "+f.Message, 0)
	}
	return refuse(http.StatusInternalServerError, unexpected, 0)
}

// subsetProblem is what a client sees of a subset that could not be read.
func subsetProblem(err error) error {
	if b, ok := errors.AsType[*snapshot.BadClause](err); ok {
		// Not a list: so it is with the protocol's own server.
		return invalidSubset(map[string]any{b.Field: b.Message})
	}
	if errors.Is(err, ErrUnreachable) {
		return databaseUnreachable()
	}
	if f, ok := errors.AsType[*snapshot.Failure](err); ok && f.Known || errors.As(err, new(*snapshot.SchemaChanged)) {
		return snapshotProblem(err)
	}
	return err
}

// invalidSubset reports faults of a subset's parameters: a list for each, or a
// text.
func invalidSubset(faults map[string]any) *problem {
	return invalidAny(map[string]any{"subset": faults})
}

func invalidAny(faults map[string]any) *problem {
	return &problem{status: http.StatusBadRequest, body: encode(struct {
		Message string         `json:"message"`
		Errors  map[string]any `json:"errors"`
	}{"Invalid request", faults})}
}

// databaseUnreachable is sent when Postgres is lost in the middle of something.
func databaseUnreachable() *problem {
	return &problem{
		status:     http.StatusServiceUnavailable,
		body:       []byte(`{"code":"database_unreachable","error":"Database is unreachable"}`),
		retryAfter: 10,
	}
}

// badBody refuses the body of a POST.
func badBody(status int, text, details string) *problem {
	return &problem{status: status, body: encode(struct {
		Error   string `json:"error"`
		Details string `json:"details,omitempty"`
	}{text, details})}
}

const unexpected = "Unexpected error while creating snapshot"

// overloaded refuses a request before it costs anything.
func overloaded(kind string, limit int64) *problem {
	return &problem{
		status: http.StatusServiceUnavailable,
		body: encode(struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}{
			"concurrent_request_limit_exceeded",
			fmt.Sprintf("Concurrent %s request limit exceeded (limit: %d), please retry", kind, limit),
		}),
		retryAfter: 6 + rand.IntN(5),
		known:      true,
		overload:   true,
	}
}

func noShape() *problem { return refuse(http.StatusNotFound, "No existing shape found", 0) }

func handleMismatch() *problem {
	return refuse(http.StatusBadRequest, "The specified shape definition and handle do not match. Please ensure the shape definition is correct or omit the shape handle from the request to obtain a new one.", 0)
}

func deleteNotAllowed() *problem {
	return refuse(http.StatusMethodNotAllowed, "DELETE not allowed", 0)
}

func unauthorized() *problem {
	p := refuse(http.StatusUnauthorized, "Unauthorized - Invalid API secret", 0)
	p.plain = true
	return p
}

// internalError never says what happened: the log does.
func internalError() *problem {
	return &problem{
		status: http.StatusInternalServerError,
		body:   []byte(`{"error":"Internal server error"}`),
	}
}

// encode makes JSON without escaping <, > and &: texts of SQL are full of them.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Only our own structs of strings come here.
		panic("encode a refusal: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
