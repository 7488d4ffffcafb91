package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// mostTables is how many tables are looked at if none was named.
const mostTables = 5000

// publication looks at the publication, apart from what is in it.
func (x *examination) publication(ctx context.Context) (err error) {
	if x.pub, err = x.db.Publication(ctx, x.Config.Publication()); err != nil {
		return err
	}
	judgePublication(x.group(groupPublication), x.Config.Publication(), x.pub, x.who(), x.Config.ManualPublishing, x.asked.MayCreate)
	return nil
}

func judgePublication(g group, name string, p *pgquery.Publication, w who, manual, mayCreate bool) {
	var wrong *pgquery.Error
	switch {
	case p == nil && manual:
		g.fail("publication_missing", fmt.Sprintf("There is no publication %s, and SPILLWAY_MANUAL_PUBLISHING keeps the service from making it.", name),
			"Run CREATE PUBLICATION "+name+"; spillway doctor --sql prints all that is needed.")
	case p == nil && !mayCreate:
		g.fail("create_publication", fmt.Sprintf("There is no publication %s, and our role may not make it: it lacks CREATE on the database.", name),
			"Run GRANT CREATE ON DATABASE "+ident(w.database)+" TO "+ident(w.role)+", or set SPILLWAY_MANUAL_PUBLISHING=true and let an administrator run what spillway doctor --sql prints.")
	case p == nil:
		g.ok("publication", "%s will be made", name)
	case errors.As(p.Check(name), &wrong):
		g.fail("publication_settings", wrong.Text+".", capital(wrong.Remedy)+".")
	case !p.Owned && !manual:
		g.warn("publication_owner", fmt.Sprintf("Publication %s is not ours: tables that are not in it cannot be added.", name),
			"Run ALTER PUBLICATION "+name+" OWNER TO "+ident(w.role)+", or set SPILLWAY_MANUAL_PUBLISHING=true and add the tables.")
	default:
		g.ok("publication", "%s publishes all operations", name)
	}
}

// who is our role, and its database.
type who struct{ role, database string }

func (x *examination) who() who { return who{x.found.Role, x.conn.Config().Database} }

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// table is what is known of a table that was asked for, or may be.
type table struct {
	OID                   uint32
	Schema, Name          string
	Kind                  string
	Readable, RowSecurity bool
	members               []pgquery.Member // with itself
	named, published      bool
}

func (t *table) text() string { return t.Schema + "." + t.Name }

const tablesQuery = `
	select c.oid, n.nspname::text, c.relname::text, c.relkind::text,
		has_schema_privilege(n.oid, 'USAGE') and (has_table_privilege(c.oid, 'SELECT') or has_any_column_privilege(c.oid, 'SELECT')),
		row_security_active(c.oid)
	from pg_class c join pg_namespace n on n.oid = c.relnamespace
	where case when $3 then exists (select from unnest($1::text[], $2::text[]) w(s, t) where w.s = n.nspname and w.t = c.relname)
		else c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' end
	order by 2, 3 limit $4`

// tables looks at the tables that will be served.
func (x *examination) tables(ctx context.Context) error {
	all, err := x.list(ctx)
	if err != nil {
		return err
	}
	g := x.group(groupTables)
	var absent []string
	for _, w := range x.Tables {
		if !slices.ContainsFunc(all, func(t *table) bool { return t.Schema == w[0] && t.Name == w[1] }) {
			absent = append(absent, w[0]+"."+w[1])
		}
	}
	if len(absent) > 0 {
		g.fail("table_missing", "There is no "+several(absent)+".", "Correct the name: schema.table, quoted as in SQL.", absent...)
	}
	judgeTables(g, all, x.Config.ManualPublishing, x.pub == nil || x.pub.Owned, strings.NewReplacer("{role}", ident(x.found.Role), "{publication}", x.Config.Publication()))
	return nil
}

// list finds the tables that were named; if none was, those of the publication when
// that is all that will be served, else all.
func (x *examination) list(ctx context.Context) (all []*table, err error) {
	schemas, names := []string{}, []string{}
	for _, w := range x.Tables {
		schemas, names = append(schemas, w[0]), append(names, w[1])
	}
	err = x.ask(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, tablesQuery, schemas, names, len(names) > 0, mostTables)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*table, error) {
			t := &table{named: len(names) > 0}
			return t, row.Scan(&t.OID, &t.Schema, &t.Name, &t.Kind, &t.Readable, &t.RowSecurity)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return all, x.addMembers(ctx, all)
}

func (x *examination) addMembers(ctx context.Context, all []*table) error {
	byOID := make(map[uint32]*table, len(all))
	oids := make([]uint32, 0, len(all))
	for _, t := range all {
		byOID[t.OID] = t
		oids = append(oids, t.OID)
	}
	var publication uint32
	if x.pub != nil {
		publication = x.pub.OID
	}
	members, err := x.db.Members(ctx, oids, publication)
	if err != nil {
		return err
	}
	for _, m := range members {
		t := byOID[m.Root]
		t.members = append(t.members, m)
		if m.OID == t.OID {
			t.published = m.Published
		}
	}
	return nil
}

// obstacles are what keeps shapes from being made of tables, in the order in which they
// are told. A remedy is that of the first table.
var obstacles = []struct{ code, found, remedy string }{
	{"table_kind", "Views, foreign and unlogged tables cannot be served, nor what has such a partition", "Name the tables behind it, or run ALTER TABLE {table} SET LOGGED."},
	{"table_privilege", "Our role may not read", "Run GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {table} TO {role}."},
	{"row_security", "Policies (row level security) may hide rows from our role, and the stream does not know them", "Run ALTER ROLE {role} BYPASSRLS: the service gives all rows of a shape to whoever it lets in."},
	{"publication_filter", "The publication has a row filter or a list of columns for", "Add the table to the publication without WHERE and without a list of columns."},
	{"table_unpublished", "SPILLWAY_MANUAL_PUBLISHING is set, and the publication lacks", "Run ALTER PUBLICATION {publication} ADD TABLE {table}; spillway doctor --sql prints it."},
	{"table_owner", "Not in the publication, and cannot be added since table or publication is not ours", "Let {role} own both (or be a member of the owner), or set SPILLWAY_MANUAL_PUBLISHING=true and run what spillway doctor --sql prints."},
	{"partition_unlisted", "Postgres 14 may not send the rows of partitions that were attached unless they are in the publication in their own names; not so those of",
		"Run ALTER PUBLICATION {publication} ADD TABLE for each of them; spillway doctor --sql prints it."},
	{"replica_identity", "Without REPLICA IDENTITY FULL, and it is not for us to set", "Run ALTER TABLE {table} REPLICA IDENTITY FULL, also for each partition; spillway doctor --sql prints it."},
}

// judgeTables gathers tables by what is wrong with them. That is a failure where a
// table was named or published, since somebody wants it, else a warning.
func judgeTables(g group, all []*table, manual, publicationOwned bool, names *strings.Replacer) {
	type key struct {
		code   string
		wanted bool
	}
	wrong := make(map[key][]*table)
	var fine []string
	for _, t := range all {
		if manual && !t.named && !t.published {
			continue // nobody has said that it will be served
		}
		codes := t.faults(manual, publicationOwned)
		for _, code := range codes {
			k := key{code, t.named || t.published}
			wrong[k] = append(wrong[k], t)
		}
		if len(codes) == 0 {
			fine = append(fine, t.text())
		}
	}
	for _, o := range obstacles {
		for _, wanted := range []bool{true, false} {
			tables := wrong[key{o.code, wanted}]
			if len(tables) == 0 {
				continue
			}
			say, first := g.warn, tables[0]
			if wanted {
				say = g.fail
			}
			remedy := strings.NewReplacer("{table}", ident(first.Schema)+"."+ident(first.Name), "{schema}", ident(first.Schema)).Replace(names.Replace(o.remedy))
			texts := texts(tables)
			say(o.code, o.found+": "+several(texts)+".", remedy, texts...)
		}
	}
	switch {
	case len(fine) > 0:
		g.ok("tables", "%d can be served: %s", len(fine), several(fine))
	case len(wrong) == 0 && manual:
		g.warn("tables", "The publication is empty: no table can be served.", "Add the tables that shall be served; spillway doctor --sql prints how.")
	case len(wrong) == 0:
		g.ok("tables", "there are none yet")
	}
}

func texts(tables []*table) (out []string) {
	for _, t := range tables {
		out = append(out, t.text())
	}
	return out
}

// faults lists the codes of obstacles.
func (t *table) faults(manual, publicationOwned bool) (codes []string) {
	note := func(wrong bool, code string) {
		if wrong && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	note(t.Kind != "r" && t.Kind != "p", "table_kind")
	for i := range t.members {
		m := &t.members[i]
		note(m.Kind == "f" || m.Persistence != "p", "table_kind")
	}
	if len(codes) > 0 {
		return codes // nothing else matters then
	}
	note(!t.Readable, "table_privilege")
	note(t.RowSecurity, "row_security")
	for i := range t.members {
		m := &t.members[i]
		note(m.Filtered, "publication_filter")
		if !m.Published && (m.OID == t.OID || !m.Partition) {
			note(manual, "table_unpublished")
			note(!manual && (!m.Owned || !publicationOwned), "table_owner")
		}
		note(m.Published && m.Attached && (manual || !m.Owned || !publicationOwned), "partition_unlisted")
		note(m.HoldsRows() && m.Identity != "f" && (manual || !m.Owned), "replica_identity")
	}
	return codes
}
