package pgquery

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// subsetLimit is how long one Subset may take, its reader's slowness included:
// as long as it goes on, VACUUM cannot remove what it might still see.
const subsetLimit = 5 * time.Minute

// errSubsetLimit is the cause by which one that takes longer is cancelled.
var errSubsetLimit = errors.New("the subset took too long")

// Subset reads rows of a shape as they are now, in the subset's order. The
// callbacks are as those of Snapshot; Until of what onStart is given is a
// position that all transactions the query sees lie below.
//
// At most half of the connections for snapshots are used for subsets; one that
// does not get its turn within 10 s fails with ErrPoolTimeout. ErrValue and
// ErrOrder: a clause cannot be computed; their texts are for the client.
func (db *DB) Subset(ctx context.Context, s *shape.Subset, onStart func(wal.Snapshot) error, onRow func(row wal.Tuple) error) error {
	turn := time.NewTimer(acquireTimeout)
	defer turn.Stop()
	select {
	case db.subsets <- struct{}{}:
		defer func() { <-db.subsets }()
	case <-turn.C:
		return &Error{Kind: ErrPoolTimeout, Text: textPool}
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, subsetLimit, errSubsetLimit)
	defer cancel()
	err := db.read(ctx, "subset", s.Def, subsetQuery(s), func(sn wal.Snapshot, _ []Edge) error { return onStart(sn) }, onRow)
	return orderError(valueError(err, ""))
}

// subsetQuery is SELECT with the shape's own clause and the subset's. Both are
// in parentheses, so that neither can widen the other.
func subsetQuery(s *shape.Subset) statement {
	query := rowsQuery(s.Def)
	switch {
	case s.Where == nil:
	case s.Def.Where == nil:
		query += " WHERE " + clause(s.Where)
	default:
		query += " AND " + clause(s.Where)
	}
	if by := ordering(s.Order); by != "" {
		query += " ORDER BY " + by
	}
	if s.Limit > 0 {
		query += " LIMIT " + number(s.Limit)
	}
	if s.Offset > 0 {
		query += " OFFSET " + number(s.Offset)
	}
	return query
}

// orderError gives ErrOrder to an order by what has none. Postgres's words name a
// type.
func orderError(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && pg.Code == "42883" && strings.Contains(pg.Message, "ordering operator") {
		return &Error{Kind: ErrOrder, Text: pg.Message, Err: err}
	}
	return err
}
