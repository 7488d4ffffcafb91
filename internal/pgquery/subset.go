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
// At most half of the connections for snapshots are used for subsets, and not all of
// these for one table; a subset that does not get its turn within 10 s fails with
// ErrPoolTimeout. ErrValue and
// ErrOrder: a clause cannot be computed; their texts are for the client.
func (db *DB) Subset(ctx context.Context, s *shape.Subset, onStart func(wal.Snapshot) error, onRow func(row wal.Tuple) error) error {
	give, err := db.subsetTurn(ctx, s.Def.Table.OID)
	if err != nil {
		return err
	}
	defer give()
	ctx, cancel := context.WithTimeoutCause(ctx, subsetLimit, errSubsetLimit)
	defer cancel()
	err = db.read(ctx, "subset", s.Def, subsetQuery(s), zonesIn(s.Def.Where, s.Where), func(sn wal.Snapshot, _ []Edge) error { return onStart(sn) }, onRow)
	return orderError(valueError(err, ""))
}

// subsetTurn waits for the turn of a subset of a table.
func (db *DB) subsetTurn(ctx context.Context, table uint32) (give func(), err error) {
	limit, cancel := context.WithTimeoutCause(ctx, acquireTimeout, &Error{Kind: ErrPoolTimeout, Text: textPool})
	defer cancel()
	ofTable, err := db.subsetTurns.Take(limit, table)
	if err != nil {
		return nil, context.Cause(limit)
	}
	select {
	case db.subsets <- struct{}{}:
		return func() {
			<-db.subsets
			ofTable()
		}, nil
	case <-limit.Done():
		ofTable()
		return nil, context.Cause(limit)
	}
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
