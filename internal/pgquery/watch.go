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
	// Columns changes with names, types, order and constraints of columns and
	// with the primary key.
	Columns int64
	// Family changes when a partition or child comes or goes, at any depth.
	Family int64
	// Full: the table, or every descendant that holds rows, has REPLICA IDENTITY
	// FULL.
	Full bool
	// Published: it is in the publication of Config, with all descendants.
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
			var publication uint32 // 0: there is none
			if pub != nil {
				publication = pub.oid
			}
			all, err := members(ctx, tx, oid, publication)
			if err != nil {
				return err
			}
			f.Full, f.Published = true, true
			for i := range all {
				f.Full = f.Full && (!all[i].holdsRows() || all[i].Identity == "f")
				f.Published = f.Published && all[i].Published
			}
			out[oid] = f
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the tables of shapes: %w", err)
	}
	return out, nil
}

func fingerprints(ctx context.Context, tx pgx.Tx, oids []uint32, out map[uint32]Fingerprint) error {
	rows, err := tx.Query(ctx, `
		with recursive family(root, oid) as (
			select unnest($1::oid[]), unnest($1::oid[])
			union select f.root, i.inhrelid from family f join pg_inherits i on i.inhparent = f.oid
		)
		select c.oid, n.nspname::text, c.relname::text,
			coalesce((select hashtextextended(string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod,
				a.attnotnull, a.attgenerated, a.attcollation), ',' order by a.attnum), 0)
				from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), 0)
			# coalesce((select hashtextextended(i.indkey::text, 1) from pg_index i where i.indrelid = c.oid and i.indisprimary), 0),
			coalesce((select hashtextextended(string_agg(f.oid::text, ',' order by f.oid), 0) from family f where f.root = c.oid), 0)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.oid = any($1::oid[])`, oidArray(oids))
	if err != nil {
		return err
	}
	var oid uint32
	var f Fingerprint
	_, err = pgx.ForEachRow(rows, []any{&oid, &f.Schema, &f.Name, &f.Columns, &f.Family}, func() error {
		out[oid] = f
		return nil
	})
	return err
}

func oidArray(oids []uint32) string {
	return "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(oids), " ", ","), "[]") + "}"
}

// HasChildren reports whether a table has partitions or inheritance children.
func (db *DB) HasChildren(ctx context.Context, oid uint32) (has bool, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			select exists(select from pg_inherits where inhparent = $1::oid)
				or exists(select from pg_class where oid = $1::oid and relkind = 'p')`, oid).Scan(&has)
	})
	if err != nil {
		return false, fmt.Errorf("look up the children of table %d: %w", oid, err)
	}
	return has, nil
}

// Ancestors returns the tables whose shapes get the rows of a partition or
// inheritance child, at any distance.
func (db *DB) Ancestors(ctx context.Context, oid uint32) ([]uint32, error) {
	var list []uint32
	err := db.look(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			with recursive up(oid) as (
				select inhparent from pg_inherits where inhrelid = $1::oid
				union select i.inhparent from up join pg_inherits i on i.inhrelid = up.oid
			) select oid from up order by oid`, oid)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowTo[uint32])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up the ancestors of table %d: %w", oid, err)
	}
	return list, nil
}
