package engine

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestFate(t *testing.T) {
	pg := func(code, text string) error {
		return fmt.Errorf("stream: %w", &pgconn.PgError{Severity: "FATAL", Code: code, Message: text})
	}
	for name, c := range map[string]struct {
		err  error
		want fate
	}{
		"connection lost":      {fmt.Errorf("read: %w", net.ErrClosed), retry},
		"shutting down":        {pg("57P01", "terminating connection due to administrator command"), retry},
		"slot in use":          {pg("55006", `replication slot "s" is active for PID 7`), retry},
		"wrong password":       {pg("28P01", `password authentication failed for user "u"`), slowly},
		"wal_level":            {pg("55000", "logical decoding requires wal_level >= logical"), end},
		"slot invalidated":     {pg("55000", "can no longer get changes from replication slot \"s\""), rotate},
		"our own verdict":      {&postgresError{errors.New("wal_level is replica")}, end},
		"a standby for now":    {errStandby, retry},
		"our storage":          {&storageError{errors.New("no space left on device")}, end},
		"something else":       {errors.New("something else"), retry},
		"too many connections": {pg("53300", "sorry, too many clients already"), retry},
	} {
		if got := decide(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
