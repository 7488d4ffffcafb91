package pgquery

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Member is what the catalogue says of a table, or of a partition or an
// inheritance child of it, with regard to a publication.
type Member struct {
	Root                        uint32 // the table that was asked for
	OID                         uint32
	Schema, Name                string
	Kind, Identity, Persistence string
	Partition                   bool
	Owned                       bool // our role may alter it
	Published                   bool // in its own name, an ancestor's, its schema's or with all
	Filtered                    bool // a row filter or a column list
	// By are the catalogue's rows that publish it, another one whenever it is added.
	// Each ends with the transaction that made it: see Made.
	By []string
	// Unlisted: a partition with rows that the publication has in an ancestor's name only,
	// which Postgres before 15 does not get right: see plan.list.
	Unlisted bool
	// Attached: unlisted, and it was a table of its own before it became a partition, or
	// once it was none any more.
	Attached bool
}

func (m *Member) sql() statement { return relation(m.Schema, m.Name) }

// Text is the name for people.
func (m *Member) Text() string { return m.Schema + "." + m.Name }

// HoldsRows: the member has rows of its own, which the stream names by it.
func (m *Member) HoldsRows() bool { return m.Kind == "r" }

// Members lists tables and all their descendants, with regard to a publication, 0
// if there is none.
func (db *DB) Members(ctx context.Context, oids []uint32, publication uint32) (all []Member, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		all, err = members(ctx, tx, oids, publication)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at tables and the publication: %w", err)
	}
	return all, nil
}

// Made is the transaction, modulo 2³², that made a row of Member.By or a version of a
// publication.
func Made(row string) (wal.XID, error) {
	n, err := strconv.ParseUint(row[strings.LastIndexByte(row, ' ')+1:], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read who published a table: %w", err)
	}
	return wal.XID(n), nil
}

// members lists tables and all their descendants in the order of their names, in
// which they are also locked, at the first attempt: two who do so cannot wait for each other.
func members(ctx context.Context, tx pgx.Tx, oids []uint32, publication uint32) ([]Member, error) {
	// The catalogue has publications of schemas since Postgres 15.
	var schemas statement = "select null::oid oid, null::text[] rows where false"
	conn := tx.Conn().PgConn()
	if major(conn) >= 15 {
		schemas = `select l.oid, array_agg(distinct 'schema ' || s.oid || ' ' || s.xmin) rows
			from lineage l join pg_class u on u.oid = l.ancestor join pg_publication_namespace s on s.pnnspid = u.relnamespace
			where s.pnpubid = $2::oid group by l.oid`
	}
	query := `
		with recursive family(root, oid) as (
			select unnest($1::oid[]), unnest($1::oid[])
			union select f.root, i.inhrelid from family f join pg_inherits i on i.inhparent = f.oid and not i.inhdetachpending
		), lineage(oid, ancestor) as (
			select oid, oid from family
			union select l.oid, i.inhparent from lineage l
				join pg_class c on c.oid = l.ancestor and c.relispartition
				join pg_inherits i on i.inhrelid = l.ancestor and not i.inhdetachpending
		), tables as (
			select l.oid, array_agg('table ' || m.oid || ' ' || m.xmin order by m.oid) rows, bool_or(l.ancestor = l.oid) listed,
				bool_or((to_jsonb(m)->>'prqual') is not null or (to_jsonb(m)->>'prattrs') is not null) filtered
			from lineage l join pg_publication_rel m on m.prrelid = l.ancestor
			where m.prpubid = $2::oid group by l.oid
		), schemas as (` + schemas + `)
		select f.root, c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text, c.relpersistence::text,
			c.relispartition, pg_has_role(c.relowner, 'USAGE'),
			by.rows <> '{}', coalesce(r.filtered, false), by.rows, own.unlisted, own.unlisted and own.attached
		from family f
		join pg_class c on c.oid = f.oid
		join pg_namespace n on n.oid = c.relnamespace
		left join pg_publication p on p.oid = $2::oid
		left join tables r on r.oid = f.oid
		left join schemas s on s.oid = f.oid
		cross join lateral (
			select coalesce(r.rows, '{}') || coalesce(s.rows, '{}') || case when p.puballtables then array['all ' || p.oid || ' ' || p.xmin] else '{}' end rows
		) by
		cross join lateral (
			select not $3 and c.relispartition and c.relkind = 'r' and not coalesce(r.listed, false) and not coalesce(p.puballtables, false) unlisted,
				not exists (select from pg_inherits i join pg_attribute a on a.attrelid = c.oid and a.attname = 'tableoid' and a.attnum < 0
					where i.inhrelid = c.oid and a.xmin = i.xmin) attached
		) own
		order by n.nspname, c.relname`
	rows, err := tx.Query(ctx, query.whole(), oidArray(oids), publication, publishedWithRoot(conn))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Member])
}

// publishedWithRoot reports whether a partition is published with its root, whatever it was
// before: since version 15. See plan.list.
func publishedWithRoot(conn *pgconn.PgConn) bool { return major(conn) >= 15 }

// plan is what is left to do for a table, from reading the catalogue alone.
type plan struct {
	add      []Member // to the publication
	identity []Member // to REPLICA IDENTITY FULL
}

func (p *plan) done() bool { return len(p.add)+len(p.identity) == 0 }

// plan looks and says what must be done; an error if it cannot be done.
func (db *DB) plan(ctx context.Context, publication string, t *shape.Table) (p plan, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		pub, err := db.publicationFacts(ctx, tx, publication)
		if err != nil {
			return err
		}
		if err := pub.Check(publication); err != nil {
			return err
		}
		all, err := members(ctx, tx, []uint32{t.OID}, pub.OID)
		if err != nil {
			return err
		}
		if err := refuse(t, publication, all); err != nil {
			return err
		}
		p = planFor(t, all)
		p.list(all, pub.Owned && !db.cfg.Manual)
		return db.allowed(p, pub, publication, t)
	})
	return p, err
}

// refuse says what cannot be mended by us.
func refuse(t *shape.Table, publication string, all []Member) error {
	renamed := true
	for i := range all {
		m := &all[i]
		if m.OID == t.OID && m.Schema == t.Schema && m.Name == t.Name {
			renamed = false
		}
		if m.Kind == "f" || m.Persistence != "p" {
			return &Error{Kind: ErrPublication, Text: fmt.Sprintf(
				`Database table "%s" cannot be replicated: "%s" is a foreign or unlogged table`, textOf(t), m.Text())}
		}
		if m.Filtered {
			return &Error{Kind: ErrPublication,
				Text:   fmt.Sprintf(`Publication "%s" has a row filter or a column list for table "%s"`, publication, m.Text()),
				Remedy: "add the table to the publication without WHERE and without a list of columns"}
		}
	}
	if renamed {
		return &Error{Kind: ErrSchemaChanged, Text: fmt.Sprintf(`Database table "%s" has been dropped or renamed`, textOf(t))}
	}
	return nil
}

func planFor(t *shape.Table, all []Member) (p plan) {
	for _, m := range all {
		// A partition comes with its root. An inheritance child that was made
		// after its parent was added does not.
		if !m.Published && (m.OID == t.OID || !m.Partition) {
			p.add = append(p.add, m)
		}
		if m.HoldsRows() && m.Identity != "f" {
			p.identity = append(p.identity, m)
		}
	}
	return p
}

// list adds the partitions that the publication does not have in their own names. Before
// version 15 the server's walsender remembers of each table that it has met whether it is
// published, also when the table becomes a partition of a published one: the rows of one
// that was written to before it was attached were never sent. It forgets that when tables
// are added to a publication, and of one that is listed it never changes.
//
// Where we may not (may, Member.Owned), those that were made as partitions are left: nobody
// can have written to them before. The others must be listed by somebody else, which
// allowed says, also if the sender that remembers is long gone: that cannot be known.
func (p *plan) list(all []Member, may bool) {
	for _, m := range all {
		if m.Unlisted && m.Published && (m.Attached || may && m.Owned) {
			p.add = append(p.add, m)
		}
	}
}

// allowed says which part of the plan we may not carry out.
func (db *DB) allowed(p plan, pub *Publication, publication string, t *shape.Table) error {
	for _, m := range p.add {
		missing := fmt.Sprintf(`Database table "%s" is missing from the publication "%s" and `, textOf(t), publication)
		if m.Unlisted {
			missing = fmt.Sprintf(`Partition "%s" of "%s" was attached, and has to be in the publication "%s" in its own name, since `+
				`Postgres 14 may not send its rows otherwise, and `, m.Text(), textOf(t), publication)
		}
		remedy := ("run ALTER PUBLICATION " + quote(publication) + " ADD TABLE " + m.sql()).whole()
		if db.cfg.Manual {
			return &Error{Kind: ErrPublication, Remedy: remedy,
				Text: missing + "the SPILLWAY_MANUAL_PUBLISHING setting prevents Spillway from adding it"}
		}
		if !pub.Owned || !m.Owned {
			return &Error{Kind: ErrDenied, Text: missing + "Spillway lacks privileges to add it", Remedy: remedy}
		}
	}
	for _, m := range p.identity {
		if db.cfg.Manual || !m.Owned {
			return &Error{Kind: ErrPublication,
				Text:   fmt.Sprintf(`Database table "%s" does not have its replica identity set to FULL`, m.Text()),
				Remedy: ("run ALTER TABLE " + m.sql() + " REPLICA IDENTITY FULL").whole()}
		}
	}
	return nil
}

func textOf(t *shape.Table) string { return t.Schema + "." + t.Name }
