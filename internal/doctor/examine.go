package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/pgquery"
)

const (
	// limit is how long all of it may take.
	limit = 2 * time.Minute
	// connectLimit is how long a server may take to let us in.
	connectLimit = 10 * time.Second
)

// The groups, in their order.
const (
	groupSettings     = "settings"
	groupHost         = "machine"
	groupConnection   = "connection"
	groupServer       = "server"
	groupRole         = "role"
	groupSlot         = "slot"
	groupPublication  = "publication"
	groupTables       = "tables"
	groupTransactions = "transactions"
)

// Options say what is looked at.
type Options struct {
	// Config is what the service would run with; Faults and Warnings are what is
	// wrong with it.
	Config           engine.Config
	Faults, Warnings []string
	// Tables will be served, each as schema and name. None: those of the publication,
	// and what is known of the others.
	Tables [][2]string
	// Descriptors is how many files and sockets the process may have open; 0: no limit
	// is known.
	Descriptors int

	// old is the age from which on a transaction is worth a word; 0: a minute.
	old time.Duration
}

// Examine looks at everything and changes nothing.
func Examine(ctx context.Context, o Options) *Report {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if o.old == 0 {
		o.old = time.Minute
	}
	r := &Report{Findings: []Finding{}}
	settings(r, &o)
	running := host(r, &o)
	if o.Config.DatabaseURL == "" || engine.CheckURL(o.Config.DatabaseURL) != nil {
		r.NotChecked = []string{groupConnection, groupServer, groupRole, groupSlot, groupPublication, groupTables, groupTransactions}
		return r
	}
	conn := connect(ctx, r, o.Config.DatabaseURL)
	if conn == nil {
		r.NotChecked = []string{groupServer, groupRole, groupSlot, groupPublication, groupTables, groupTransactions}
		return r
	}
	defer shut(ctx, conn)
	x := &examination{Options: o, Report: r, conn: conn, running: running}
	x.pooled(ctx)
	db, err := pgquery.Open(pgquery.Config{
		URL: o.Config.DatabaseURL, PoolSize: 4, Publication: o.Config.Publication(), Slot: o.Config.Slot(), Manual: o.Config.ManualPublishing,
	})
	if err != nil {
		x.group(groupConnection).fail("reachable", err.Error(), "Correct DATABASE_URL.")
		r.NotChecked = []string{groupServer, groupRole, groupSlot, groupPublication, groupTables, groupTransactions}
		return r
	}
	defer db.Close()
	x.db = db
	if err := x.server(ctx); err != nil {
		x.unanswered(groupServer, err)
		r.NotChecked = []string{groupRole, groupSlot, groupPublication, groupTables, groupTransactions}
		return r
	}
	x.role(ctx)
	for _, part := range []struct {
		group string
		look  func(context.Context) error
	}{{groupSlot, x.slot}, {groupPublication, x.publication}, {groupTables, x.tables}, {groupTransactions, x.transactions}} {
		if err := part.look(ctx); err != nil {
			x.unanswered(part.group, err)
		}
	}
	return r
}

// examination is one preflight of a server that answers.
type examination struct {
	Options
	*Report
	conn    *pgx.Conn
	db      *pgquery.DB
	running bool // a service works in the data directory
	locked  bool // a service works with the slot

	asked serverFacts
	found pgquery.Server
	slots pgquery.SlotHealth
	pub   *pgquery.Publication // nil: there is none
}

// unanswered says that Postgres could not be asked.
func (x *examination) unanswered(group string, err error) {
	remedy := "Try again; if it stays, report it."
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		remedy = "Let our role do what is named, as everybody may unless it was revoked."
	}
	x.group(group).fail("question", err.Error(), remedy)
}

// ask runs f in a transaction that cannot change anything.
func (x *examination) ask(ctx context.Context, f func(pgx.Tx) error) error {
	return ask(ctx, x.conn, f)
}

func ask(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{BeginQuery: `BEGIN READ ONLY;
		SET LOCAL search_path = 'pg_catalog'; SET LOCAL client_encoding = 'UTF8'; SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '5s'`}, f)
}

// shut closes a connection. What the server thinks of that does not matter.
func shut(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
