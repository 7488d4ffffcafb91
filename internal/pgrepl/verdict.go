package pgrepl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

type verdict struct {
	class  Class
	advice string
}

const (
	adviceWALLevel  = "Set wal_level = logical (on managed services often a parameter named rds.logical_replication, cloudsql.logical_decoding or the like) and restart Postgres."
	advicePrivilege = "Give the role the right to replicate: ALTER ROLE <role> WITH REPLICATION (on RDS: GRANT rds_replication TO <role>)."
	advicePooler    = "DATABASE_URL seems to lead to a connection pooler, which does not pass replication on: use the address of Postgres itself, and the pooler for SPILLWAY_POOLED_DATABASE_URL only."
	adviceHBA       = "Let this host connect in pg_hba.conf (for the database itself; logical replication does not use the entry \"replication\"), or require TLS with sslmode=require if that is what it asks for."
	adviceTLS       = "The server does not speak TLS: switch TLS on there, or allow plain text with sslmode=prefer or sslmode=disable."
	adviceCert      = "The server's certificate was not accepted: give its authority with sslrootcert, or use the host name that the certificate is for."
	adviceSlots     = "All replication slots or WAL senders are in use: raise max_replication_slots and max_wal_senders, or drop slots that nobody needs."
	adviceStandby   = "The server is a standby: use the address of the primary."
	adviceRetention = "Postgres removed WAL that the slot still needed: raise max_slot_wal_keep_size, or look why the stream was behind."
	adviceMissing   = "The slot is gone: it was dropped, or lost in a fail-over (Postgres 17 and later can copy slots to standbys: the failover option)."
)

// pgRules are tried in order. An empty code or an empty text fits everything;
// texts are looked for in message and detail, in small letters.
var pgRules = []struct {
	code, text string
	verdict
}{
	// The slot.
	{"", "has been invalidated", verdict{Slot, adviceRetention}},
	{"", "can no longer get changes from replication slot", verdict{Slot, adviceRetention}},
	{"", "can no longer access replication slot", verdict{Slot, adviceRetention}},
	{"", "cannot read from logical replication slot", verdict{Slot, adviceRetention}},
	{"", "requested wal segment", verdict{Slot, adviceRetention}},
	{"42704", "replication slot", verdict{Slot, adviceMissing}},
	// Also if it is there again: the slot cannot be read past that point any more.
	{"42704", "publication", verdict{Slot, "The publication was dropped or renamed while changes were made."}},
	{"55006", "", verdict{Retry, "Another session is using the slot (see pg_replication_slots.active_pid)."}},
	{"53400", "replication slots", verdict{Slow, adviceSlots}},
	{"53300", "wal_senders", verdict{Slow, adviceSlots}},
	{"53300", "wal senders", verdict{Slow, adviceSlots}},

	// Settings.
	{"", "wal_level", verdict{Fatal, adviceWALLevel}},
	{"42501", "replication", verdict{Fatal, advicePrivilege}},
	{"42501", "wal sender", verdict{Fatal, advicePrivilege}},
	{"", "cannot be used while in recovery", verdict{Fatal, adviceStandby}},
	{"", "during recovery", verdict{Fatal, adviceStandby}},
	{"25006", "", verdict{Fatal, adviceStandby}},
	{"42601", "", verdict{Fatal, advicePooler}},
	{"08P01", "startup parameter", verdict{Fatal, advicePooler}},
	{"", "unsupported startup parameter", verdict{Fatal, advicePooler}},
	{"3D000", "", verdict{Fatal, "Create the database, or correct its name in DATABASE_URL."}},
	{"28000", "no pg_hba.conf entry", verdict{Fatal, adviceHBA}},
	{"28000", "pg_hba.conf rejects", verdict{Fatal, adviceHBA}},

	// What is wrong often mends itself.
	{"28P01", "", verdict{Slow, "Correct user and password in DATABASE_URL."}},
	{"28000", "", verdict{Slow, "Correct user and password in DATABASE_URL, and see that the role may log in."}},
	{"", "tenant or user not found", verdict{Slow, "Correct user and host in DATABASE_URL: the provider does not know them."}},
	{"", "quota", verdict{Slow, "The provider's quota is used up."}},
	{"", "endpoint", verdict{Slow, "The provider does not know the endpoint, or has switched it off."}},
}

// judge decides. What nobody thought of is worth another attempt.
func judge(err error) verdict {
	if err == nil {
		return verdict{}
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return judgePg(pg)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verdict{Fatal, adviceCert}
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return verdict{Fatal, adviceCert}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return verdict{Fatal, adviceCert}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return verdict{Slow, "Correct the host in DATABASE_URL, or see that the name server knows it."}
	}
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return verdict{Fatal, "Correct DATABASE_URL."}
	}
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return verdict{Fatal, adviceTLS}
	}
	return verdict{}
}

func judgePg(pg *pgconn.PgError) verdict {
	text := strings.ToLower(pg.Message + "\n" + pg.Detail)
	for _, r := range pgRules {
		if (r.code == "" || r.code == pg.Code) && strings.Contains(text, r.text) {
			return r.verdict
		}
	}
	return verdict{}
}
