package pgquery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The kinds of errors that callers tell apart, with errors.Is or Classify.
var (
	// ErrUnreachable: no connection, or it was lost. Trying again may help.
	ErrUnreachable = errors.New("postgres cannot be reached")
	// ErrNoTable: no table of that name that a shape can be made of.
	ErrNoTable = errors.New("no such table")
	// ErrSchemaChanged: the table is not what it was when it was looked up.
	ErrSchemaChanged = errors.New("table has changed")
	// ErrLockTimeout: somebody held a lock on the table for too long.
	ErrLockTimeout = errors.New("timed out waiting for a lock")
	// ErrPoolTimeout: all connections were in use for too long.
	ErrPoolTimeout = errors.New("timed out waiting for a connection of the pool")
	// ErrSlow: a snapshot took too long to begin, or its first row did.
	ErrSlow = errors.New("first row took too long")
	// ErrDenied: our role may not do that.
	ErrDenied = errors.New("permission denied")
	// ErrValue: a clause asks for something that Postgres cannot compute for the
	// values it meets.
	ErrValue = errors.New("a value cannot be used")
	// ErrOrder: a subset is to be ordered by values that have no order.
	ErrOrder = errors.New("no order")
	// ErrPublication: the publication or a replica identity is not as it must
	// be, and we may not or cannot mend it.
	ErrPublication = errors.New("publication cannot be used")
)

// Texts for clients (shape-semantics §4.5).
const (
	textLock   = "Snapshot timed out while waiting for a table lock"
	textPool   = "Snapshot creation failed because of a connection pool queue timeout"
	textBegin  = "Snapshot query took too long to start reading from the database"
	textUnable = "Unable to create initial snapshot: "
)

// Error is an error of one of the kinds above.
type Error struct {
	Kind error
	// Text may be shown to clients; "": nothing to show.
	Text string
	// Remedy tells an operator what to do; "": nothing to tell.
	Remedy string
	Err    error // the cause, or nil
}

func (e *Error) Error() string {
	var parts []string
	if e.Text != "" {
		parts = append(parts, e.Text)
	} else {
		parts = append(parts, e.Kind.Error())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.Remedy != "" {
		parts = append(parts, e.Remedy)
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Classify returns the kind of an error, nil if it has none of ours.
func Classify(err error) error {
	var e *Error
	if errors.As(typed(err), &e) {
		return e.Kind
	}
	return nil
}

// IsUnreachable reports whether err says that Postgres is away for now.
func IsUnreachable(err error) bool { return Classify(err) == ErrUnreachable }

// ClientText returns what a client may be told about err.
func ClientText(err error) (string, bool) {
	var e *Error
	if errors.As(typed(err), &e) && e.Text != "" {
		return e.Text, true
	}
	return "", false
}

// typed gives an error of Postgres or of the network its kind.
func typed(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var have *Error
	if errors.As(err, &have) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return typedByCode(pg, err)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{Kind: ErrUnreachable, Err: err}
	}
	return err
}

// typedIn is typed for what was done under ctx: if that has ended, the server's
// word for it ("canceling statement due to user request") is not the reason.
func typedIn(ctx context.Context, err error) error {
	if err != nil && hasCode(err, "57014") && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return typed(err)
}

// typedByCode follows the Postgres manual, appendix "PostgreSQL Error Codes".
func typedByCode(pg *pgconn.PgError, err error) error {
	switch pg.Code {
	case "42P01", "42703", "42704", "3F000": // undefined table, column, object, schema
		return &Error{Kind: ErrSchemaChanged, Err: err}
	case "55P03", "40P01": // lock not available, deadlock
		return &Error{Kind: ErrLockTimeout, Text: textLock, Err: err}
	case "42501": // insufficient privilege
		return &Error{Kind: ErrDenied, Text: textUnable + pg.Message, Err: err}
	case "53300", "57P01", "57P02", "57P03", "57P04", "57P05": // too many connections, shutting down, starting up …
		return &Error{Kind: ErrUnreachable, Err: err}
	}
	switch {
	case strings.HasPrefix(pg.Code, "08"): // connection exceptions
		return &Error{Kind: ErrUnreachable, Err: err}
	case strings.HasPrefix(pg.Code, "28"), pg.Code == "3D000": // wrong password, no such database
		return &Error{Kind: ErrDenied, Err: err}
	}
	return err
}

// valueError gives ErrValue, and a text that begins with prefix, to what Postgres
// says of values. Its own words are passed on only where they quote nothing, or the
// request: others may quote a row.
func valueError(err error, prefix string) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.HasPrefix(pg.Code, "22") { // data exceptions
		return err
	}
	text := pg.Message
	if pg.Code == "22P05" || pg.Code == "22021" { // its words show the bytes
		text = fmt.Sprintf("a value of a row or of the clause cannot be converted between UTF8 and the encoding of the database (SQLSTATE %s)", pg.Code)
	} else if strings.Contains(text, `"`) && !strings.HasPrefix(text, "invalid input value for enum ") {
		text = fmt.Sprintf("the clause cannot be computed for every row (SQLSTATE %s)", pg.Code)
	}
	return &Error{Kind: ErrValue, Text: prefix + text, Err: err}
}

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
