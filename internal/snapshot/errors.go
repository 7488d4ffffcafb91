package snapshot

import "fmt"

// Failure says why a shape's first rows could not be read. Known failures are
// told to clients as they are (503, http-protocol §15), others only as far as
// they hold nothing internal.
type Failure struct {
	Message string
	// Known: the cause is a state of the database that may pass or that its
	// operator can mend.
	Known bool
	Err   error
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Message
	}
	return fmt.Sprintf("%s: %v", f.Message, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// SchemaChanged says that the table is no longer what the definition was made
// of: the client starts again (409).
type SchemaChanged struct{ Err error }

func (s *SchemaChanged) Error() string { return fmt.Sprintf("the table has changed: %v", s.Err) }

func (s *SchemaChanged) Unwrap() error { return s.Err }

// BadClause says that a clause of a subset cannot be computed, as turned out when
// it was. Message is for the client.
type BadClause struct {
	Field   string // "where" or "order_by"
	Message string
	Err     error
}

func (b *BadClause) Error() string { return fmt.Sprintf("%s: %s: %v", b.Field, b.Message, b.Err) }

func (b *BadClause) Unwrap() error { return b.Err }
