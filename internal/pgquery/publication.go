package pgquery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Publication is what pg_publication says of a publication.
type Publication struct {
	OID     uint32
	Version string // another one whenever it was altered, ends with who did: see Made
	Owned   bool   // our role may change it

	allTables, viaRoot               bool
	insert, update, delete, truncate bool
}

// Publication looks at a publication; nil if there is none.
func (db *DB) Publication(ctx context.Context, name string) (p *Publication, err error) {
	err = db.look(ctx, func(tx pgx.Tx) error {
		p, err = db.publicationFacts(ctx, tx, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at publication %q: %w", name, err)
	}
	return p, nil
}

// publicationFacts returns nil if there is no such publication.
func (db *DB) publicationFacts(ctx context.Context, tx pgx.Tx, name string) (*Publication, error) {
	var p Publication
	err := tx.QueryRow(ctx, `
		select oid, concat_ws(' ', oid, xmin), pg_has_role(pubowner, 'USAGE'), puballtables, pubviaroot,
			pubinsert, pubupdate, pubdelete, pubtruncate
		from pg_publication where pubname = $1`, name).
		Scan(&p.OID, &p.Version, &p.Owned, &p.allTables, &p.viaRoot, &p.insert, &p.update, &p.delete, &p.truncate)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// Check says what is wrong with the publication, or nil.
func (p *Publication) Check(name string) error {
	if p == nil {
		return &Error{Kind: ErrPublication, Text: fmt.Sprintf(`Publication "%s" not found in the database`, name),
			Remedy: ("create it: CREATE PUBLICATION " + quote(name)).whole()}
	}
	if !p.insert || !p.update || !p.delete || !p.truncate {
		return &Error{Kind: ErrPublication,
			Text:   fmt.Sprintf(`Publication "%s" does not publish all required operations: INSERT, UPDATE, DELETE, TRUNCATE`, name),
			Remedy: ("run ALTER PUBLICATION " + quote(name) + " SET (publish = 'insert, update, delete, truncate')").whole()}
	}
	if p.viaRoot {
		return &Error{Kind: ErrPublication,
			Text:   fmt.Sprintf(`Publication "%s" publishes partitions under the name of their root`, name),
			Remedy: ("run ALTER PUBLICATION " + quote(name) + " SET (publish_via_partition_root = false)").whole()}
	}
	return nil
}

// EnsurePublication makes sure that the publication exists, created empty, and
// publishes all operations. Row filters and column lists are looked at table by
// table, in Publish: they harm nobody but the tables they are on.
func (db *DB) EnsurePublication(ctx context.Context, name string) (created bool, err error) {
	created, err = db.ensurePublication(ctx, name)
	if hasCode(err, "42710") || hasCode(err, "23505") { // somebody else was first
		created, err = db.ensurePublication(ctx, name)
	}
	if err != nil {
		return false, fmt.Errorf("ensure publication %q: %w", name, err)
	}
	return created, nil
}

func (db *DB) ensurePublication(ctx context.Context, name string) (created bool, err error) {
	create := beginChange + limits(lockLimit, lockLimit) + "CREATE PUBLICATION " + quote(name)
	err = db.look(ctx, func(tx pgx.Tx) error {
		p, err := db.publicationFacts(ctx, tx, name)
		if err != nil {
			return err
		}
		if p != nil || db.cfg.Manual {
			create = ""
			return p.Check(name)
		}
		if major(tx.Conn().PgConn()) >= 18 {
			create += " WITH (publish_generated_columns = stored)"
		}
		return nil
	})
	if err != nil || create == "" {
		return false, err
	}
	if err := db.admin.script(ctx, create+";\nCOMMIT"); err != nil {
		return false, notAllowed(err, name)
	}
	return true, nil
}

func notAllowed(err error, name string) error {
	if !hasCode(err, "42501") {
		return err
	}
	return &Error{Kind: ErrDenied, Text: fmt.Sprintf(`Publication "%s" not found in the database`, name), Err: err,
		Remedy: strings.Join([]string{
			"grant our role CREATE on the database",
			("or let an administrator run CREATE PUBLICATION " + quote(name)).whole(),
		}, ", ")}
}

// DropPublication drops a publication if it is there.
func (db *DB) DropPublication(ctx context.Context, name string) error {
	err := db.admin.script(ctx, beginChange+limits(lockLimit, lockLimit)+"DROP PUBLICATION IF EXISTS "+quote(name)+";\nCOMMIT")
	if err != nil {
		return fmt.Errorf("drop publication %q: %w", name, err)
	}
	return nil
}
