package pgquery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// The causes by which a snapshot is cancelled that does not begin, or that has no row.
var (
	errBegin    = errors.New("not begun within the limit")
	errFirstRow = errors.New("no row within the limit")
)

// Snapshot reads a definition's first rows. onStart is called once with what the
// snapshot sees and the partitions it finds, before any row; then onRow with each row, indexed like
// def.Table.Columns, nil where NULL or not selected. A row is valid during the
// call only. An error of theirs ends the snapshot and is returned as it is.
//
// Rows are read in text format, which is what the types' output functions say
// and so the very text of the stream, by the simple protocol. COPY TO STDOUT was
// measured as the alternative: see BenchmarkSnapshot.
func (db *DB) Snapshot(ctx context.Context, def *shape.Def, onStart func(wal.Snapshot, []Edge) error, onRow func(row wal.Tuple) error) error {
	var query statement
	if def.Log != shape.LogChangesOnly {
		query = rowsQuery(def)
	}
	return valueError(db.read(ctx, "snapshot", def, query, zonesIn(def.Where), onStart, onRow), textUnable)
}

// read runs a query over a definition's rows, "" for none, in a transaction of
// its own; what is the word for it in errors. The query looks at zones.
func (db *DB) read(ctx context.Context, what string, def *shape.Def, query statement, zones []*expr.Zone, onStart func(wal.Snapshot, []Edge) error, onRow func(row wal.Tuple) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, err := db.snapshot.acquire(ctx)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, relation(def.Table.Schema, def.Table.Name), err)
	}
	// A connection that is released inside a transaction is closed.
	defer db.snapshot.release(conn)
	r := reader{db: db, conn: conn, def: def, query: query, zones: zones, cancel: cancel, onRow: onRow}
	err = r.read(ctx, onStart)
	if err == nil {
		return nil
	}
	if r.callback != nil {
		return r.callback
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errFirstRow):
		err = &Error{Kind: ErrSlow, Text: textSlow(db.cfg.FirstRowLimit), Err: err}
	case errors.Is(cause, errBegin):
		err = &Error{Kind: ErrSlow, Text: textBegin, Err: err}
	}
	return fmt.Errorf("%s of %s: %w", what, relation(def.Table.Schema, def.Table.Name), typedIn(ctx, err))
}

func textSlow(limit time.Duration) string {
	return fmt.Sprintf("Snapshot query took too long to return data (cancelled after %dms). Please ensure snapshot queries are using an index to avoid taking up all database connections.", limit.Milliseconds())
}

// reader is one run of Snapshot or Subset.
type reader struct {
	db       *DB
	conn     *pgx.Conn
	def      *shape.Def
	query    statement // "": no rows
	zones    []*expr.Zone
	cancel   context.CancelCauseFunc
	onRow    func(wal.Tuple) error
	callback error // what onStart or onRow returned
}

func (r *reader) read(ctx context.Context, onStart func(wal.Snapshot, []Edge) error) error {
	// Postgres limits the waits for locks. What else may take long is the way to it.
	timer := time.AfterFunc(r.db.cfg.LockLimit+r.db.cfg.FirstRowLimit, func() { r.cancel(errBegin) })
	defer timer.Stop()
	snap, edges, err := r.begin(ctx)
	if err != nil {
		return err
	}
	if !timer.Stop() {
		return errBegin
	}
	if r.callback = onStart(snap, edges); r.callback != nil {
		return r.callback
	}
	if r.query != "" {
		if err := r.rows(ctx); err != nil {
			return err
		}
	}
	_, err = r.conn.PgConn().Exec(ctx, "COMMIT").ReadAll()
	return err
}

// begin opens the transaction and learns what its snapshot sees, in one round
// trip. The table is locked first (as every reader locks it), so that it cannot
// change between being compared with the definition and being read. So are its
// partitions: a TRUNCATE of one, between the snapshot and the reading of that
// partition, takes rows away that the snapshot sees (Postgres manual, "MVCC Caveats").
//
// The position Until is read by the same statement that takes the snapshot, and
// so after it: a transaction the snapshot sees has its commit record below.
func (r *reader) begin(ctx context.Context) (wal.Snapshot, []Edge, error) {
	t := r.def.Table
	name := relation(t.Schema, t.Name)
	script := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n" + pinned + limits(0, r.db.cfg.LockLimit)
	// The stream knows no policies. Where they would hide rows this is an error.
	script += "SET LOCAL row_security = off;\n"
	script += pinnedBy(r.conn.PgConn())
	script += "LOCK TABLE " + name + " IN ACCESS SHARE MODE;\n" +
		"SELECT pg_current_snapshot(), pg_current_wal_insert_lsn();\n" +
		"SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod FROM pg_attribute a" +
		" WHERE a.attrelid = " + quoteLiteral(name.whole()) + "::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;\n" +
		kinQuery("'{"+number(t.OID)+"}'::oid[]")
	results, err := r.conn.PgConn().Exec(ctx, script.whole()).ReadAll()
	if err != nil {
		return wal.Snapshot{}, nil, err
	}
	if len(results) < 3 {
		return wal.Snapshot{}, nil, fmt.Errorf("begin the snapshot: %d results", len(results))
	}
	last := results[len(results)-3:]
	if err := compare(t, last[1]); err != nil {
		return wal.Snapshot{}, nil, err
	}
	edges, err := parseEdges(last[2])
	if err != nil {
		return wal.Snapshot{}, nil, err
	}
	if err := r.db.sameZones(ctx, r.conn, r.zones); err != nil {
		return wal.Snapshot{}, nil, err
	}
	snap, err := parseSnapshot(last[0])
	return snap, edges, err
}

func parseSnapshot(res *pgconn.Result) (wal.Snapshot, error) {
	if len(res.Rows) != 1 || len(res.Rows[0]) != 2 {
		return wal.Snapshot{}, errors.New("begin the snapshot: the answer has another form")
	}
	snap, err := wal.ParseSnapshot(string(res.Rows[0][0]))
	if err != nil {
		return wal.Snapshot{}, err
	}
	snap.Until, err = wal.ParseLSN(string(res.Rows[0][1]))
	return snap, err
}

// compare makes sure that the table is the one the definition was made of.
func compare(t *shape.Table, now *pgconn.Result) error {
	changed := func(format string, args ...any) error {
		return &Error{Kind: ErrSchemaChanged, Err: fmt.Errorf(format, args...)}
	}
	if len(now.Rows) != len(t.Columns) {
		return changed("%s has %d columns instead of %d", relation(t.Schema, t.Name), len(now.Rows), len(t.Columns))
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for i, row := range now.Rows {
		c := &t.Columns[i]
		if string(row[0]) != number(int64(t.OID)) {
			return changed("%s is another table", relation(t.Schema, t.Name))
		}
		if string(row[1]) != number(int64(c.Num)) || string(row[2]) != c.Name ||
			string(row[3]) != number(int64(c.Type.OID)) || string(row[4]) != number(int64(c.TypMod)) {
			return changed("column %q of %s is not what it was", c.Name, relation(t.Schema, t.Name))
		}
	}
	return nil
}

// rows runs the query. Only the wait for the first row is limited.
func (r *reader) rows(ctx context.Context) error {
	timer := time.AfterFunc(r.db.cfg.FirstRowLimit, func() { r.cancel(errFirstRow) })
	defer timer.Stop()
	res := r.conn.PgConn().Exec(ctx, r.query.whole())
	row := make(wal.Tuple, len(r.def.Table.Columns))
	for res.NextResult() {
		rr := res.ResultReader()
		for rr.NextRow() {
			timer.Stop()
			for i, v := range rr.Values() {
				row[r.def.Columns[i]] = v
			}
			if r.callback = r.onRow(row); r.callback != nil {
				// The server is told to stop; Close reads what is under way.
				r.cancel(r.callback)
				return errors.Join(r.callback, res.Close())
			}
		}
	}
	return res.Close()
}

// rowsQuery is SELECT with the selected columns, among them the key.
func rowsQuery(def *shape.Def) statement {
	if def.Where == nil {
		return rowsOf(def)
	}
	return rowsOf(def) + " WHERE " + clause(def.Where)
}

// rowsOf is rowsQuery without a WHERE clause.
func rowsOf(def *shape.Def) statement {
	var columns statement
	for i, c := range def.Columns {
		if i > 0 {
			columns += ", "
		}
		columns += quote(def.Table.Columns[c].Name)
	}
	// Not ONLY: rows of partitions and inheritance children belong to it.
	return "SELECT " + columns + " FROM " + relation(def.Table.Schema, def.Table.Name)
}
