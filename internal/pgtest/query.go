package pgtest

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Exec runs one statement, or several when there are no args, in order on the
// database's one connection for helpers. A fault fails the test.
func (db *DB) Exec(sql string, args ...any) {
	db.t.Helper()
	if err := db.Try(sql, args...); err != nil {
		db.t.Fatalf("%v\nin: %s", err, sql)
	}
}

// Try is Exec for a statement that may fail.
func (db *DB) Try(sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return db.with(ctx, func(conn *pgx.Conn) error {
		if len(args) == 0 {
			_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
			return err
		}
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
}

// Query gives the rows as Postgres's output text; NULL is the text "NULL".
func (db *DB) Query(sql string, args ...any) [][]string {
	db.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out [][]string
	err := db.with(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
			raw := row.RawValues()
			texts := make([]string, len(raw))
			for i, v := range raw {
				texts[i] = "NULL"
				if v != nil {
					texts[i] = string(v)
				}
			}
			return texts, nil
		})
		return err
	})
	if err != nil {
		db.t.Fatalf("%v\nin: %s", err, sql)
	}
	return out
}

// Value gives the one value of a query with one row and one column.
func (db *DB) Value(sql string, args ...any) string {
	db.t.Helper()
	rows := db.Query(sql, args...)
	if len(rows) != 1 || len(rows[0]) != 1 {
		db.t.Fatalf("want one value, got %q\nin: %s", rows, sql)
	}
	return rows[0][0]
}

// Conn opens a connection of the test's own, closed at its end.
func (db *DB) Conn() *pgx.Conn {
	db.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, db.URL)
	if err != nil {
		db.t.Fatal(err)
	}
	db.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		// The test may have closed or broken it: either way it is gone.
		_ = conn.Close(ctx)
	})
	return conn
}

// with lends the helpers' connection; one that was lost is replaced.
func (db *DB) with(ctx context.Context, f func(*pgx.Conn) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.conn == nil || db.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, db.URL)
		if err != nil {
			return err
		}
		db.conn = conn
	}
	return f(db.conn)
}

func (db *DB) closeConn() {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The server may be gone already; the connection is closed in any case.
	_ = db.conn.Close(ctx)
	db.conn = nil
}
