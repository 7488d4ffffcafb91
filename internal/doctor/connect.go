package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/pgrepl"
)

// connect opens an ordinary connection; nil: it says in the report why not.
func connect(ctx context.Context, r *Report, url string) *pgx.Conn {
	g := r.group(groupConnection)
	began := time.Now()
	conn, err := open(ctx, url)
	if err != nil {
		code, remedy := refusal(err)
		g.fail(code, text(err), remedy)
		return nil
	}
	took := time.Since(began)
	raw := conn.PgConn()
	remote := raw.Conn().RemoteAddr()
	g.ok("reachable", "%s, connected in %s", remote, took.Round(time.Millisecond))
	state, encrypted := tlsState(raw.Conn())
	transport(g, remote, state, encrypted)
	g.ok("authentication", "as role %s to database %s", conn.Config().User, conn.Config().Database)
	return conn
}

func open(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeExec // through a pooler, too
	c.ConnectTimeout = connectLimit
	c.RuntimeParams["client_encoding"] = "UTF8"
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "spillway-doctor"
	}
	return pgx.ConnectConfig(ctx, c)
}

// refusal says why a server does not let us in, and what to do.
func refusal(err error) (code, remedy string) {
	code = "reachable"
	var pg *pgconn.PgError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "28") || pg.Code == "42501"):
		code = "authentication"
	case errors.As(err, &pg) && pg.Code == "3D000":
		code = "database"
	case errors.As(err, &pg) && pg.Code == "53300":
		return "connections", "Raise max_connections (or the role's or the database's CONNECTION LIMIT), or end connections that nobody needs."
	case errors.As(err, &cert), errors.As(err, &host), errors.As(err, &record), strings.Contains(err.Error(), "refused TLS"):
		code = "tls"
	}
	if remedy = pgrepl.Advice(err); remedy == "" {
		remedy = "Start Postgres, or correct host and port in DATABASE_URL; a firewall, or listen_addresses, may be in between."
	}
	return code, remedy
}

// text is an error for people. The driver names user and database in front, and says
// the same thing once for each address that it tried.
func text(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Sprintf("Postgres says: %s (%s)", pg.Message, pg.Code)
	}
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &op):
		return op.Error()
	}
	return err.Error()
}

func tlsState(conn net.Conn) (tls.ConnectionState, bool) {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return tls.ConnectionState{}, false
	}
	return t.ConnectionState(), true
}

// transport judges what passwords and rows travel in.
func transport(g group, remote net.Addr, state tls.ConnectionState, encrypted bool) {
	const remedy = "Set sslmode=verify-full and sslrootcert=/path/ca.pem in DATABASE_URL."
	tcp, network := remote.(*net.TCPAddr)
	switch {
	case encrypted && len(state.VerifiedChains) > 0:
		g.ok("tls", "%s, the server's certificate was verified", tls.VersionName(state.Version))
	case encrypted:
		g.warn("tls", tls.VersionName(state.Version)+", but the server's certificate is not verified: somebody in between could be it.", remedy)
	case !network || tcp.IP.IsLoopback():
		g.ok("tls", "none, on this machine")
	default:
		g.warn("tls", "Password and rows travel in plain text.", remedy)
	}
}

// identity is which server and database a connection has led to.
type identity struct {
	System, Database string
	Standby          bool
}

func identify(ctx context.Context, conn *pgx.Conn) (id identity, err error) {
	err = ask(ctx, conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select system_identifier::text, current_database()::text, pg_is_in_recovery() from pg_control_system()`).
			Scan(&id.System, &id.Database, &id.Standby)
	})
	return id, err
}

// pooled looks whether snapshots would be read from the same database: they are
// compared with the stream by transaction ids.
func (x *examination) pooled(ctx context.Context) {
	g := x.group(groupConnection)
	url := x.Config.PooledDatabaseURL
	if url == "" || url == x.Config.DatabaseURL {
		return
	}
	const remedy = "Let SPILLWAY_POOLED_DATABASE_URL lead to the primary of DATABASE_URL and to the same database, or leave it out."
	conn, err := open(ctx, url)
	if err != nil {
		g.fail("pooled_url", "SPILLWAY_POOLED_DATABASE_URL: "+text(err), remedy)
		return
	}
	defer shut(ctx, conn)
	there, err := identify(ctx, conn)
	if err != nil {
		g.fail("pooled_url", "SPILLWAY_POOLED_DATABASE_URL: "+text(err), remedy)
		return
	}
	here, err := identify(ctx, x.conn)
	switch {
	case err != nil:
		g.fail("pooled_url", "DATABASE_URL: "+text(err), remedy)
	case there != here:
		g.fail("pooled_url", fmt.Sprintf("SPILLWAY_POOLED_DATABASE_URL leads to %s, DATABASE_URL to %s.", there, here), remedy)
	default:
		g.ok("pooled_url", "the same database")
	}
}

// String names the database for people.
func (id identity) String() string {
	kind := "primary"
	if id.Standby {
		kind = "standby"
	}
	return fmt.Sprintf("database %s of the %s of cluster %s", id.Database, kind, id.System)
}

// replicationMode connects as the service does, which a pooler may not let through.
func (x *examination) replicationMode(ctx context.Context) {
	g := x.group(groupRole)
	if !x.found.MayReplicate || x.found.MaxSenders == 0 {
		return // told already, and nothing else would be found
	}
	if x.running && x.found.Senders >= x.found.MaxSenders {
		g.ok("replication_mode", "not tried: the last walsender is in use, by the running service it seems")
		return
	}
	limited, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	s, err := pgrepl.Connect(limited, pgrepl.Config{
		ConnString: x.Config.DatabaseURL, Slot: x.Config.Slot(), Publication: x.Config.Publication(), ApplicationName: "spillway-doctor",
	})
	if err != nil {
		remedy := pgrepl.Advice(err)
		if remedy == "" {
			remedy = "Let DATABASE_URL lead to Postgres itself: a pooler or a proxy may not pass replication on."
		}
		g.fail("replication_mode", text(err), remedy)
		return
	}
	g.ok("replication_mode", "connected for replication: no pooler is in between that would not allow it")
	x.lock(limited, s)
	if err := s.Close(limited); err != nil {
		g.warn("replication_mode", "The connection could not be closed in order: "+text(err), "Look whether something in between cuts connections.")
	}
}

// lock looks whether another service works with the slot.
func (x *examination) lock(ctx context.Context, s *pgrepl.Session) {
	g := x.group(groupSlot)
	h, held, err := s.LockHolder(ctx)
	x.locked = held
	switch {
	case err != nil:
		g.fail("slot_lock", text(err), "Try again; if it stays, report it.")
	case !held:
		g.ok("slot_lock", "no service works with slot %s", x.Config.Slot())
	case x.running:
		g.ok("slot_lock", "held by the running service (pid %d of Postgres)", h.PID)
	default:
		g.warn("slot_lock", fmt.Sprintf("Another service works with slot %s (pid %d of Postgres, from %s, since %s): a second one waits until it has gone.", x.Config.Slot(), h.PID, orUnknown(h.Address), orUnknown(h.Since)),
			"If that is not wanted, end the other one, or give this one its own SPILLWAY_STREAM_ID.")
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
