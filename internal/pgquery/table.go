package pgquery

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
)

// cache keeps table descriptions until they are invalidated, and after that so
// that an unchanged table keeps its pointer.
type cache struct {
	mu      sync.Mutex // never held while Postgres is asked
	entries map[tableName]*entry
	changes uint64 // counts invalidations
}

type tableName struct{ schema, name string }

type entry struct {
	table *shape.Table
	stale bool
}

func newCache() cache { return cache{entries: make(map[tableName]*entry)} }

// get returns what is known, and the number to hand to put.
func (c *cache) get(n tableName) (t *shape.Table, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[n]; e != nil && !e.stale {
		return e.table, c.changes
	}
	return nil, c.changes
}

// put notes what Postgres said. If something was invalidated while it was
// asked, the answer may be the old one: it counts as stale.
func (c *cache) put(n tableName, t *shape.Table, changes uint64) *shape.Table {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[n]; e != nil && reflect.DeepEqual(e.table, t) {
		t = e.table
	}
	c.entries[n] = &entry{table: t, stale: changes != c.changes}
	return t
}

func (c *cache) remove(n tableName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, n)
}

// Invalidate makes Table ask again for the table with that oid. It is called
// for every Relation message of the stream.
func (db *DB) Invalidate(oid uint32) {
	db.tables.mu.Lock()
	defer db.tables.mu.Unlock()
	db.tables.changes++
	for _, e := range db.tables.entries {
		if e.table.OID == oid {
			e.stale = true
		}
	}
}

// InvalidateOthers is Invalidate for all tables but those that are watched: the
// stream may never speak of a table that no shape is on.
func (db *DB) InvalidateOthers(watched func(oid uint32) bool) {
	db.tables.mu.Lock()
	defer db.tables.mu.Unlock()
	db.tables.changes++
	for _, e := range db.tables.entries {
		if !watched(e.table.OID) {
			e.stale = true
		}
	}
}

// longestName is what a name can have, in bytes (NAMEDATALEN). Postgres cuts what is
// longer, and would find a table of another name.
const longestName = 63

// Table describes an ordinary or partitioned table, by its exact names. The
// pointer is the same as long as nothing about the table changes.
func (db *DB) Table(ctx context.Context, schema, name string) (*shape.Table, error) {
	if len(schema) > longestName || len(name) > longestName {
		return nil, fmt.Errorf("look up table %s: %w: its name is too long", relation(schema, name), ErrNoTable)
	}
	n := tableName{schema, name}
	t, changes := db.tables.get(n)
	if t != nil {
		return t, nil
	}
	var rows []columnRow
	err := db.look(ctx, func(tx pgx.Tx) error {
		r, err := tx.Query(ctx, tableQuery, schema, name, db.cfg.Publication)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(r, pgx.RowToStructByPos[columnRow])
		return err
	})
	if hasCode(err, "22P05") { // no name in the database's encoding
		return nil, fmt.Errorf("look up table %s: %w: %w", relation(schema, name), ErrNoTable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("look up table %s: %w", relation(schema, name), err)
	}
	if len(rows) == 0 {
		db.tables.remove(n)
		return nil, fmt.Errorf("look up table %s: %w", relation(schema, name), ErrNoTable)
	}
	if p := rows[0].Persistence; p != "p" {
		db.tables.remove(n)
		return nil, fmt.Errorf("look up table %s: %w that is replicated: it is unlogged", relation(schema, name), ErrNoTable)
	}
	return db.tables.put(n, buildTable(schema, name, rows), changes), nil
}

// columnRow is a row of tableQuery.
type columnRow struct {
	OID                         uint32
	Kind, Identity, Persistence string

	Num       int16
	Name      string
	Type      uint32
	TypMod    int32
	NotNull   bool
	Generated string
	Dims      int32

	TypeName   string
	Base       uint32
	BaseKind   string // pg_type.typtype
	Array      bool
	Element    *string
	ElementOID uint32
	Labels     []string
	PKPosition *int64
	Immediate  *bool // the primary key

	Collation     *collation
	Default       *collation
	Deterministic *bool
	Encoding      string
	Parts         []string
	Xmin          uint32
	Files         int64
	Heirs         bool // it has inheritance children
}

// partsQuery lists the labels of enums and the attributes of composites that the type
// of column a is made of. Types of Postgres's own have none.
const partsQuery = `
case when a.atttypid >= 16384 then (
	with recursive part(oid) as (
		select a.atttypid
		union
		select next.oid from part join pg_type t on t.oid = part.oid cross join lateral (
			select t.typbasetype union all select t.typelem
			union all select s.atttypid from pg_attribute s where s.attrelid = t.typrelid and s.attnum > 0 and not s.attisdropped
			union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
		) next(oid) where next.oid <> 0
	)
	select array_agg(line order by kind, of, place) from (
		select 0 kind, l.enumtypid of, l.enumsortorder place, 'label ' || l.enumtypid || ' ' || l.enumlabel line
		from pg_enum l where l.enumtypid in (select oid from part)
		union all
		select 1, s.attrelid, s.attnum, '` + shape.PartAttribute + `' || s.attrelid || ' ' || s.attnum || ' ' || s.atttypid
		from part join pg_type t on t.oid = part.oid and t.typrelid <> 0
		join pg_attribute s on s.attrelid = t.typrelid and s.attnum > 0 and not s.attisdropped
	) lines
) end`

// filesQuery makes one number of the files of table c and its descendants that were
// written anew: a table's first file has the table's own number. So a partition that
// comes is no difference.
const filesQuery = `
(with recursive family(oid) as (select c.oid union select h.inhrelid from family f join pg_inherits h on h.inhparent = f.oid)
	select coalesce(hashtextextended(string_agg(concat_ws(' ', r.oid, r.relfilenode), ',' order by r.oid), 0), 1)
	from family join pg_class r using (oid) where r.relfilenode not in (0, r.oid))`

// Vectors (22, 30) are no arrays: their text is 1 2 and not {1,2}. The base of a domain
// may be a domain again. The catalogue's columns for locales differ between versions: to_jsonb reads those that are there. A stored
// generated column is like any other if our publication has it (Postgres 18).
const tableQuery = `
select c.oid, c.relkind::text, c.relreplident::text, c.relpersistence::text,
	a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.attnotnull,
	case when a.attgenerated = 's' and (select to_jsonb(p)->>'pubgencols' from pg_publication p where p.pubname = $3) = 's'
		then '' else a.attgenerated::text end,
	case when b.typcategory = 'A' and b.oid not in (22, 30) and a.attndims = 0 then greatest(t.typndims, 1) else a.attndims::int4 end,
	t.typname::text, b.oid, b.typtype::text, b.typcategory = 'A' and b.typlen = -1 and b.oid not in (22, 30),
	e.typname::text, coalesce(e.oid, 0),
	case when 'e' in (b.typtype, e.typtype) then array(select l.enumlabel::text from pg_enum l where l.enumtypid in (b.oid, e.oid) order by l.enumsortorder) end,
	k.position, i.indimmediate,
	case when co.oid is not null then json_build_object(
		'provider', co.collprovider, 'collate', co.collcollate, 'ctype', co.collctype,
		'locale', coalesce(to_jsonb(co)->>'colllocale', to_jsonb(co)->>'colliculocale')) end,
	json_build_object(
		'provider', coalesce(to_jsonb(d)->>'datlocprovider', 'c'), 'collate', d.datcollate, 'ctype', d.datctype,
		'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale')),
	co.collisdeterministic,
	pg_encoding_to_char(d.encoding)::text, ` + partsQuery + `,
	a.xmin, ` + filesQuery + `, c.relkind = 'r' and exists (select from pg_inherits h where h.inhparent = c.oid)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_database d on d.datname = current_database()
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
cross join lateral (
	with recursive chain(oid, next) as (
		select t.oid, t.typbasetype
		union all
		select p.oid, p.typbasetype from chain join pg_type p on p.oid = chain.next
	) select oid from chain where next = 0
) base
join pg_type b on b.oid = base.oid
left join pg_type e on b.typcategory = 'A' and b.oid not in (22, 30) and e.oid = b.typelem
left join pg_collation co on co.oid = a.attcollation
left join pg_index i on i.indrelid = c.oid and i.indisprimary
left join lateral (
	select p.position from unnest(i.indkey::int2[]) with ordinality p(num, position)
	where p.num = a.attnum and p.position <= i.indnkeyatts
) k on true
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p') and c.relpersistence <> 't'
	and c.oid >= 16384 and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by a.attnum`

func buildTable(schema, name string, rows []columnRow) *shape.Table {
	t := &shape.Table{
		OID: rows[0].OID, Schema: schema, Name: name,
		Kind: rows[0].Kind[0], Identity: rows[0].Identity[0], Files: rows[0].Files,
	}
	keys := 0
	for i := range rows {
		t.Columns = append(t.Columns, rows[i].column())
		if rows[i].PKPosition != nil {
			keys++
		}
	}
	if keys == 0 {
		return t
	}
	t.PK = make([]int, keys)
	for i := range rows {
		if p := rows[i].PKPosition; p != nil {
			t.PK[*p-1] = i
			t.Deferrable = !*rows[i].Immediate || rows[i].Heirs
		}
	}
	return t
}

func (r *columnRow) column() shape.Column {
	c := shape.Column{
		Column: expr.Column{
			Name: r.Name,
			Type: expr.Type{
				OID: r.Type, Name: r.TypeName, Base: r.Base,
				Array: r.Array, Row: r.BaseKind == "c",
			},
			Bytewise: true, Deterministic: true,
		},
		Num: r.Num, TypMod: r.TypMod, NotNull: r.NotNull,
		Dims: int(r.Dims), SchemaType: r.TypeName, Parts: r.Parts, Xmin: r.Xmin,
	}
	if r.Generated != "" {
		c.Generated = r.Generated[0]
	}
	if r.Element != nil {
		c.SchemaType = *r.Element
	}
	switch {
	case r.BaseKind == "e":
		c.Type.Enum = r.Labels
	case r.Labels != nil:
		c.Type.Elem = &expr.Type{OID: r.ElementOID, Name: *r.Element, Base: r.ElementOID, Enum: r.Labels}
	}
	if r.Collation != nil {
		co := *r.Collation
		if co.Provider == "d" && r.Default != nil {
			co = *r.Default
		}
		c.Bytewise = co.bytewise(r.Encoding)
		c.Case = co.letters(r.Encoding)
		c.Deterministic = r.Deterministic == nil || *r.Deterministic
	}
	return c
}
