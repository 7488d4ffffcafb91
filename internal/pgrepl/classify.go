package pgrepl

// Class is what an error of this room, or of any connection to Postgres, means.
type Class uint8

// The classes.
const (
	// Retry: gone, restarting, busy. Try again soon.
	Retry Class = iota
	// Slow: a setting, but one that often mends itself (a password that is being
	// changed, a name server that is away, a quota). Try again, slowly, and tell
	// the operator.
	Slow
	// Fatal: no attempt will succeed before somebody changes something.
	Fatal
	// Slot: the slot is lost. It has to be made anew, and what was derived from
	// it rotated.
	Slot
)

func (c Class) String() string {
	return [...]string{"retry", "slow", "fatal", "slot"}[c]
}

// Classify says what an error means.
func Classify(err error) Class { return judge(err).class }

// Advice says what to change, in one sentence; empty if there is nothing to change.
func Advice(err error) string { return judge(err).advice }
