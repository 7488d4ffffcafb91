package engine

import (
	"errors"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/pgrepl"
)

// The kinds of error that end the process, for its exit code.
var (
	// ErrPostgres: Postgres is set up in a way that cannot be used.
	ErrPostgres = errors.New("postgres")
	// ErrStorage: the data directory cannot be used.
	ErrStorage = errors.New("storage")
	// ErrGhosts: too many workers hang that cannot be killed. Nothing is lost, and
	// a new start is rid of them.
	ErrGhosts = errors.New("ghosts")
)

type ghostsError struct{ error }

func (e *ghostsError) Unwrap() error        { return e.error }
func (e *ghostsError) Is(target error) bool { return target == ErrGhosts }

type postgresError struct{ error }

func (e *postgresError) Unwrap() error        { return e.error }
func (e *postgresError) Is(target error) bool { return target == ErrPostgres }

type storageError struct{ error }

func (e *storageError) Unwrap() error        { return e.error }
func (e *storageError) Is(target error) bool { return target == ErrStorage }

// fate is what becomes of us after an error of a session.
type fate uint8

const (
	retry  fate = iota // the connection or Postgres is away: try again
	slowly             // somebody has to mend it, but not necessarily here
	rotate             // the slot is lost: every shape starts again
	end                // only an operator can mend it
)

// decide is the one place where it is decided what an error of a session means.
func decide(err error) fate {
	if errors.Is(err, errWALBudget) {
		return rotate
	}
	if errors.Is(err, ErrPostgres) || errors.Is(err, ErrStorage) {
		return end
	}
	switch pgrepl.Classify(err) {
	case pgrepl.Fatal:
		if pgquery.IsUnreachable(err) {
			return retry
		}
		return end
	case pgrepl.Slow:
		return slowly
	case pgrepl.Slot:
		return rotate
	}
	return retry
}
