package pgquery

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Fingerprint says in short what a table is like, so that a reconciler sees what
// changed behind our back.
type Fingerprint struct {
	Schema, Name string
	// Columns changes with names, types, order and constraints of columns, with what
	// their types are made of, with the primary key, and when rows are written anew.
	Columns int64
	// Full: the table, or every descendant that holds rows, has REPLICA IDENTITY
	// FULL.
	Full bool
	// Published: it is in the publication of Config, with all descendants, all
	// columns, all rows and all operations, and all are replicated: a publication of
	// all tables has unlogged ones as well.
	Published bool
}

// Watch takes the fingerprints of tables, by oid. A table that is missing in the
// answer was dropped.
func (db *DB) Watch(ctx context.Context, oids []uint32) (map[uint32]Fingerprint, error) {
	out := make(map[uint32]Fingerprint, len(oids))
	err := db.look(ctx, func(tx pgx.Tx) error {
		pub, err := db.publicationFacts(ctx, tx, db.cfg.Publication)
		if err != nil {
			return err
		}
		if err := fingerprints(ctx, tx, oids, out); err != nil {
			return err
		}
		for oid, f := range out {
			// One that leaves operations out, or names roots, has let changes go by.
			f.Full, f.Published = true, pub.Check(db.cfg.Publication) == nil
			out[oid] = f
		}
		var publication uint32 // 0: there is none
		if pub != nil {
			publication = pub.OID
		}
		all, err := members(ctx, tx, oids, publication)
		if err != nil {
			return err
		}
		for i := range all {
			m := &all[i]
			f := out[m.Root]
			f.Full = f.Full && (!m.HoldsRows() || m.Identity == "f")
			f.Published = f.Published && m.Published && !m.Filtered && m.Persistence == "p"
			out[m.Root] = f
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the tables of shapes: %w", err)
	}
	return out, nil
}

const fingerprintQuery = `
select c.oid, n.nspname::text, c.relname::text,
	coalesce((select hashtextextended(string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod,
		a.attnotnull, a.attgenerated, a.attcollation, a.xmin, ` + partsQuery + `), ',' order by a.attnum), 0)
		from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), 0)
	# ` + filesQuery + `
	# coalesce((select hashtextextended(concat_ws(' ', i.indkey, i.indimmediate), 1) from pg_index i where i.indrelid = c.oid and i.indisprimary), 0)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any($1::oid[])`

func fingerprints(ctx context.Context, tx pgx.Tx, oids []uint32, out map[uint32]Fingerprint) error {
	rows, err := tx.Query(ctx, fingerprintQuery, oidArray(oids))
	if err != nil {
		return err
	}
	var oid uint32
	var f Fingerprint
	_, err = pgx.ForEachRow(rows, []any{&oid, &f.Schema, &f.Name, &f.Columns}, func() error {
		out[oid] = f
		return nil
	})
	return err
}

func oidArray(oids []uint32) string {
	return "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(oids), " ", ","), "[]") + "}"
}
