package pgquery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// Whether a partition had rows when it was attached, which nobody told, whatever has
// become of them since.
func TestBornEmpty(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create type mood as enum ('a'); create table root (i int default 7, m mood not null default 'a', t text check (t <> ''),
			g int generated always as (i * 2) stored, primary key (i)) partition by list (i);
		create index on root (t)`)
	db := open(t, pg)
	for n, c := range []struct {
		sql, since string // %p is the partition, %v its value
		together   bool
		empty      bool
	}{
		{"create table %p partition of root for values in (%v)", "", true, true},
		{"create table %p partition of root for values in (%v)", "insert into %p (i) values (%v)", true, true},
		{"create table %p partition of root for values in (%v)", "insert into %p (i) values (%v); update %p set t = 'x'", true, true},
		{"create table %p partition of root (i default 3, check (i > 0)) for values in (%v); insert into root (i) values (%v); update root set t = 'y'", "", true, true},
		{"create table %p partition of root for values in (%v) partition by list (i)", "", true, true},
		{"create table %p (like root including all); alter table root attach partition %p for values in (%v)", "", true, true},
		// It was empty, and cannot be known to have been.
		{"create table %p (like root including all); alter table root attach partition %p for values in (%v)", "insert into %p (i) values (%v)", true, false},
		{"create table %p (like root including all); insert into %p (i) values (%v); alter table root attach partition %p for values in (%v)", "", true, false},
		{"create table %p (like root including all); insert into %p (i) values (%v); alter table root attach partition %p for values in (%v)", "update %p set t = 'x'", true, false},
		{"create table %p (like root including all); insert into %p (i) values (%v); alter table root attach partition %p for values in (%v)", "delete from %p", true, false},
		{"create table %p (like root including all); commit; begin; alter table root attach partition %p for values in (%v)", "", false, true},
	} {
		name := fmt.Sprintf("p%d", n)
		made := strings.NewReplacer("%p", name, "%v", fmt.Sprint(n))
		pg.Exec("begin; " + made.Replace(c.sql) + "; commit")
		if c.since != "" {
			pg.Exec(made.Replace(c.since))
		}
		oid := table(t, db, name).OID
		edges, _, err := db.Kin(t.Context(), []uint32{oid})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range edges {
			if e.Child == oid && e.Together != c.together {
				t.Errorf("%s: made together: %t", c.sql, e.Together)
			}
		}
		if empty, err := db.BornEmpty(t.Context(), oid); err != nil || empty != c.empty {
			t.Errorf("%s; %s: %t, %v", c.sql, c.since, empty, err)
		}
	}
}

// Who has a partition for himself holds nobody else up: the catalogue tells how it was
// made.
func TestBornEmptyUnderALock(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table root (i int) partition by list (i); create table p partition of root for values in (1)")
	db := open(t, pg)
	oid := table(t, db, "p").OID
	if _, err := pg.Conn().Exec(t.Context(), "begin; lock table p in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	if empty, err := db.BornEmpty(t.Context(), oid); err != nil || !empty {
		t.Errorf("%t, %v", empty, err)
	}
}
