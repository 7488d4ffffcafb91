package pgquery

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/wal"
)

// canaryPrefix marks our messages in the write-ahead log, for others who decode it.
const canaryPrefix = "spillway"

// EmitCanary writes an empty logical message, which belongs to no transaction, into
// the write-ahead log and returns its end. The slot passes it like everything else;
// the message itself is not asked for. (Postgres manual, "Replication Management
// Functions".)
func (db *DB) EmitCanary(ctx context.Context) (at wal.LSN, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		var text string
		if err := tx.QueryRow(ctx, `select pg_logical_emit_message(false, $1, '')::text`, canaryPrefix).Scan(&text); err != nil {
			return err
		}
		at, err = wal.ParseLSN(text)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write a canary message: %w", err)
	}
	return at, nil
}
