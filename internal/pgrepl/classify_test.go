package pgrepl

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

func TestClassify(t *testing.T) {
	pg := func(code, message, detail string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: message, Detail: detail})
	}
	_, parse := pgconn.ParseConfig("postgres://%zz")
	tests := []struct {
		err    error
		want   Class
		advice string // a part of it; "-": none
	}{
		{nil, Retry, "-"},
		{io.ErrUnexpectedEOF, Retry, "-"},
		{context.DeadlineExceeded, Retry, "-"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, Retry, "-"},
		{errDead, Retry, "-"},
		{errEnded, Retry, "-"},
		{errors.New("anything else"), Retry, "-"},
		{&net.DNSError{Err: "no such host", Name: "db", IsNotFound: true}, Slow, "host"},
		{&net.DNSError{Err: "server misbehaving", Name: "db", IsTemporary: true}, Retry, "-"},
		{x509.HostnameError{}, Fatal, "sslrootcert"},
		{x509.UnknownAuthorityError{}, Fatal, "sslrootcert"},
		{errors.New("server refused TLS connection"), Fatal, "sslmode"},
		{parse, Fatal, "DATABASE_URL"},

		{pg("57P01", "terminating connection due to administrator command", ""), Retry, "-"},
		{pg("57P03", "the database system is starting up", ""), Retry, "-"},
		{pg("57014", "canceling statement due to user request", ""), Retry, "-"},
		{pg("53100", "could not write to file: No space left on device", ""), Retry, "-"},
		{pg("58P02", "could not create file", ""), Retry, "-"},
		{pg("53300", "sorry, too many clients already", ""), Retry, "-"},
		{pg("55006", `replication slot "s" is active for PID 7`, ""), Retry, "active_pid"},
		{pg("42704", `publication "p" does not exist`, ""), Slot, "publication"},

		{pg("28P01", `password authentication failed for user "u"`, ""), Slow, "password"},
		{pg("28000", `role "u" is not permitted to log in`, ""), Slow, "log in"},
		{pg("53400", "all replication slots are in use", ""), Slow, "max_replication_slots"},
		{pg("53300", "number of requested standby connections exceeds max_wal_senders (currently 10)", ""), Slow, "max_wal_senders"},
		{pg("XX000", "Your account or project has exceeded the compute time quota.", ""), Slow, "quota"},
		{pg("XX000", "Tenant or user not found", ""), Slow, "provider"},

		{pg("55000", "logical decoding requires wal_level >= logical", ""), Fatal, "wal_level"},
		{pg("42501", "must be superuser or replication role to start walsender", ""), Fatal, "REPLICATION"},
		{pg("42501", "permission denied to start WAL sender", ""), Fatal, "REPLICATION"},
		{pg("3D000", `database "x" does not exist`, ""), Fatal, "database"},
		{pg("28000", `no pg_hba.conf entry for host "1.2.3.4", user "u", database "d", no encryption`, ""), Fatal, "pg_hba.conf"},
		{pg("28000", `pg_hba.conf rejects connection for host "1.2.3.4"`, ""), Fatal, "pg_hba.conf"},
		{pg("42601", `syntax error at or near "IDENTIFY_SYSTEM"`, ""), Fatal, "pooler"},
		{pg("08P01", "unsupported startup parameter: replication", ""), Fatal, "pooler"},
		{pg("0A000", "logical decoding cannot be used while in recovery", ""), Fatal, "primary"},

		{pg("42704", `replication slot "s" does not exist`, ""), Slot, "gone"},
		{pg("58P01", "requested WAL segment 000000010000000000000003 has already been removed", ""), Slot, "max_slot_wal_keep_size"},
		{pg("55000", `cannot read from logical replication slot "s"`, "This slot has been invalidated because it exceeded the maximum reserved size."), Slot, "max_slot_wal_keep_size"},
		{pg("55000", `can no longer get changes from replication slot "s"`, ""), Slot, "max_slot_wal_keep_size"},
		{pg("55000", `can no longer access replication slot "s"`, `This replication slot has been invalidated due to "wal_removed".`), Slot, "max_slot_wal_keep_size"},
	}
	for _, tt := range tests {
		got, advice := Classify(tt.err), Advice(tt.err)
		if got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
		if tt.advice == "-" && advice != "" || tt.advice != "-" && !strings.Contains(advice, tt.advice) {
			t.Errorf("%v: advice %q, want something with %q", tt.err, advice, tt.advice)
		}
	}
}

// What a real server says to what people do wrong.
func TestClassifyReal(t *testing.T) {
	db := pgtest.New(t)
	db.Exec("create role nobody login")
	t.Cleanup(func() { db.Exec("drop role nobody") })
	cc := func(change func(*pgconn.Config)) *pgconn.Config {
		c, err := pgconn.ParseConfig(db.URL)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		return c
	}
	for what, tt := range map[string]struct {
		cfg  *pgconn.Config
		want Class
	}{
		"no such database": {cc(func(c *pgconn.Config) { c.Database = "nowhere" }), Fatal},
		"no such role":     {cc(func(c *pgconn.Config) { c.User = "unknown" }), Slow},
		"no right":         {cc(func(c *pgconn.Config) { c.User = "nobody" }), Fatal},
		"nobody listens":   {cc(func(c *pgconn.Config) { c.Host, c.Port, c.Fallbacks = "127.0.0.1", 1, nil }), Retry},
	} {
		s, err := Connect(t.Context(), Config{ConnConfig: tt.cfg})
		if err == nil {
			t.Errorf("%s: connected", what)
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			continue
		}
		if got := Classify(err); got != tt.want {
			t.Errorf("%s: %v is %s, want %s", what, err, got, tt.want)
		}
	}
}
