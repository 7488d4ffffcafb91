package doctor

import (
	"fmt"
	"strings"
)

// Script is what an administrator runs for a service that may do as little as possible.
type Script struct {
	Role, Database    string
	Publication, Slot string
	Tables            [][2]string // schema and name; none: left to be filled in
}

// SQL is the script. Running it again does no harm. It runs in one transaction, and
// psql is not needed.
func (s *Script) SQL() string {
	var b strings.Builder
	tag := s.tag()
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f("-- Least privilege for Spillway: it replicates and reads, and owns nothing.")
	f("-- Run it in database %s as a superuser, or as who owns the tables and may create roles.", comment(s.Database))
	f("-- Then start Spillway as role %s with SPILLWAY_MANUAL_PUBLISHING=true. Running it again does no harm.", comment(s.Role))
	f("BEGIN;")
	f("-- REPLICA IDENTITY locks a table for a moment: give up rather than let writers queue behind us.")
	f("SET LOCAL lock_timeout = '5s';")
	f("")
	f("-- The role. Set its password with \\password in psql.")
	f("DO %s BEGIN", tag)
	f("  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %s) THEN", literal(s.Role))
	f("    CREATE ROLE %s LOGIN REPLICATION;  -- on Amazon RDS: LOGIN, and GRANT rds_replication TO it", ident(s.Role))
	f("  ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r LEFT JOIN pg_catalog.pg_roles g ON g.rolname = 'rds_replication'")
	f("      WHERE r.rolname = %s AND (r.rolsuper OR r.rolreplication OR pg_has_role(r.oid, g.oid, 'MEMBER'))) THEN", literal(s.Role))
	f("    ALTER ROLE %s LOGIN REPLICATION;", ident(s.Role))
	f("  END IF;")
	f("END %s;", tag)
	f("GRANT CONNECT ON DATABASE %s TO %s;", ident(s.Database), ident(s.Role))
	f("-- If a table has policies (row level security), all its rows must be seen:")
	f("-- ALTER ROLE %s BYPASSRLS;", ident(s.Role))
	f("")
	f("-- The publication: all operations, no row filter, no list of columns.")
	f("DO %s BEGIN", tag)
	f("  IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = %s) THEN", literal(s.Publication))
	f("    CREATE PUBLICATION %s;", ident(s.Publication))
	f("  END IF;")
	f("  -- Not if it is so already: shapes start again when the publication is altered.")
	f("  IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = %s", literal(s.Publication))
	f("      AND pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT pubviaroot) THEN")
	f("    ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false);", ident(s.Publication))
	f("  END IF;")
	f("  IF current_setting('server_version_num')::int >= 180000 AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication p")
	f("      WHERE pubname = %s AND to_jsonb(p)->>'pubgencols' = 's') THEN", literal(s.Publication))
	f("    ALTER PUBLICATION %s SET (publish_generated_columns = stored);", ident(s.Publication))
	f("  END IF;")
	f("END %s;", tag)
	s.tables(f, tag)
	f("COMMIT;")
	f("")
	f("-- The slot, %s, is made by Spillway itself when it starts; REPLICATION is enough for that.", s.Slot)
	f("-- Postgres keeps WAL for it while Spillway is away: set a limit that the disk can spare, say")
	f("--   ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();")
	f("-- and when Spillway is not used any more: SELECT pg_drop_replication_slot('%s');", s.Slot)
	return b.String()
}

func (s *Script) tables(f func(string, ...any), tag string) {
	if len(s.Tables) == 0 {
		f("")
		f("-- No tables were named: spillway doctor --sql issues app.users prints what they need.")
		return
	}
	schemas := make(map[string]bool)
	var names []string
	for _, t := range s.Tables {
		name := ident(t[0]) + "." + ident(t[1])
		names = append(names, literal(name)+"::regclass::oid")
		f("")
		if !schemas[t[0]] {
			schemas[t[0]] = true
			f("GRANT USAGE ON SCHEMA %s TO %s;", ident(t[0]), ident(s.Role))
		}
		f("GRANT SELECT ON TABLE %s TO %s;", name, ident(s.Role))
		f("DO %s BEGIN", tag)
		f("  ALTER PUBLICATION %s ADD TABLE %s;  -- partitions and children come with it", ident(s.Publication), name)
		f("EXCEPTION WHEN duplicate_object THEN NULL;  -- it is there")
		f("END %s;", tag)
	}
	each := func(condition, run string) {
		f("DO %s DECLARE t regclass; BEGIN", tag)
		f("  FOR t IN WITH RECURSIVE family(oid) AS (")
		f("      SELECT unnest(ARRAY[%s])", strings.Join(names, ", "))
		f("      UNION SELECT i.inhrelid FROM family f JOIN pg_catalog.pg_inherits i ON i.inhparent = f.oid)")
		f("    SELECT c.oid::regclass FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid")
		f("    WHERE c.relkind = 'r' AND %s ORDER BY 1", condition)
		f("  LOOP")
		f("    EXECUTE format(%s, t);", run)
		f("  END LOOP;")
		f("END %s;", tag)
	}
	f("")
	f("-- Changes and deletions must carry the old row, also those of partitions and children.")
	each("c.relreplident <> 'f'", "'ALTER TABLE ONLY %s REPLICA IDENTITY FULL'")
	f("")
	f("-- Postgres 14 does not send the rows of a partition that was written to before it was attached,")
	f("-- unless the publication has it in its own name. Run this before an ATTACH, with the name of what is attached.")
	each("c.relispartition AND current_setting('server_version_num')::int < 150000 AND NOT EXISTS (\n"+
		"      SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid\n"+
		"      WHERE r.prrelid = c.oid AND p.pubname = "+literal(s.Publication)+")",
		"'ALTER PUBLICATION %I ADD TABLE ONLY %s', "+literal(s.Publication))
}

// tag quotes the bodies of DO; no name may end them.
func (s *Script) tag() string {
	tag := "$do$"
	for strings.Contains(fmt.Sprint(*s), tag) {
		tag = "$x" + tag[1:]
	}
	return tag
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal is a text under standard_conforming_strings.
func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

// comment keeps a name within a line of comment.
func comment(name string) string { return strings.Join(strings.Fields(name), " ") }
