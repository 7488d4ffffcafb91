package pgquery

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Edge says that a table is a partition or an inheritance child of another.
type Edge struct {
	Child, Parent uint32
	// Made is the transaction that made it so, modulo 2³².
	Made uint32
	// Together: the table was made in the transaction that made it a partition.
	Together bool
}

// kinQuery finds all edges above and below some tables. System columns are noted
// in pg_attribute when a table is made and never again: their xmin is who made it.
// A partition that is being detached CONCURRENTLY is none any more for SELECT.
func kinQuery(oids statement) statement {
	return `
with recursive down(oid) as (
	select unnest(` + oids + `)
	union select i.inhrelid from down d join pg_inherits i on i.inhparent = d.oid and not i.inhdetachpending
), up(oid) as (
	select unnest(` + oids + `)
	union select i.inhparent from up u join pg_inherits i on i.inhrelid = u.oid and not i.inhdetachpending
)
select i.inhrelid, i.inhparent, i.xmin, c.relispartition and a.xmin = i.xmin
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
join pg_attribute a on a.attrelid = i.inhrelid and a.attname = 'tableoid' and a.attnum < 0
where (i.inhparent in (select oid from down) or i.inhrelid in (select oid from up)) and not i.inhdetachpending
order by 1, 2`
}

// Kin lists the edges above and below some tables, at any distance, and which of
// the tables there are. Replication tells of a commit a moment before queries see
// it: of a table that is not there yet nothing is known.
func (db *DB) Kin(ctx context.Context, oids []uint32) (edges []Edge, there []uint32, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		// First: whoever sees a table here sees its edges after it.
		rows, err := tx.Query(ctx, `select oid from pg_class where oid = any ($1::oid[])`, oidArray(oids))
		if err != nil {
			return err
		}
		if there, err = pgx.CollectRows(rows, pgx.RowTo[uint32]); err != nil {
			return err
		}
		edges, err = kin(ctx, tx, oids)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look up partitions and their ancestors: %w", err)
	}
	return edges, there, nil
}

// ListedKin is Kin of a table whose partitions have to be listed in the publication by
// themselves (see plan.list). Where they are published with their root listed is false.
func (db *DB) ListedKin(ctx context.Context, oid uint32) (edges []Edge, listed bool, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		if listed = !publishedWithRoot(tx.Conn().PgConn()); !listed {
			return nil
		}
		edges, err = kin(ctx, tx, []uint32{oid})
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("look up the partitions to be published: %w", err)
	}
	return edges, listed, nil
}

func kin(ctx context.Context, tx pgx.Tx, oids []uint32) ([]Edge, error) {
	rows, err := tx.Query(ctx, kinQuery("$1::oid[]").whole(), oidArray(oids))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Edge])
}

// parseEdges reads the answer to kinQuery in text format.
func parseEdges(res *pgconn.Result) ([]Edge, error) {
	edges := make([]Edge, len(res.Rows))
	for i, row := range res.Rows {
		e := Edge{Together: string(row[3]) == "t"}
		for j, to := range []*uint32{&e.Child, &e.Parent, &e.Made} {
			n, err := strconv.ParseUint(string(row[j]), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("read an oid or a transaction: %w", err)
			}
			*to = uint32(n)
		}
		edges[i] = e
	}
	return edges, nil
}

// BornEmpty reports whether a partition that was made and attached in one
// transaction (Edge.Together) had no rows when it was attached: all that it has
// came through the stream. That is so if it was made as a partition, and if it never
// had a row. Its rows tell nothing: those of before may have been changed since. It
// waits for a lock on the partition only if that was not made as one, and not for long.
func (db *DB) BornEmpty(ctx context.Context, oid uint32) (empty bool, err error) {
	err = db.admin.within(ctx, beginLook+limits(lockLimit, bornEmptyLimit), func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, bornEmptyQuery, oid).Scan(&empty)
	})
	if err != nil {
		return false, fmt.Errorf("look whether partition %d was attached without rows: %w", oid, err)
	}
	return empty, nil
}

// bornEmptyLimit is for the lock that the size of a table takes: who asks holds up
// the shapes of other tables.
const bornEmptyLimit = 500 * time.Millisecond

// ATTACH notes in each column that it is inherited, with the command that also makes
// the edge; CREATE TABLE … PARTITION OF has noted that before.
const bornEmptyQuery = `
select c.relkind = 'p' or c.relkind = 'r' and case when exists (
	select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		and not (a.xmin = i.xmin and a.cmin::text::int8 < i.cmin::text::int8)) then pg_relation_size(c.oid) = 0 else true end
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhrelid = $1::oid`
