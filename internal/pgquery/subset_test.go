package pgquery

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestSubset(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create type mood as enum ('sad', 'happy');
		create table boats (id int primary key, name text, crew int2, m mood, j json);
		insert into boats values (1, 'Ava', 3, 'sad', '{}'), (2, 'Bo', null, 'happy', '{}'), (3, 'x''); drop table boats; --', 5, null, null),
			(4, 'Dee', 4, 'happy', '{}')`)
	db := open(t, pg)
	tab := table(t, db, "boats")
	for _, c := range []struct {
		name, main string
		params     shape.SubsetParams
		want       string // ids in their order
	}{
		{"all", "", shape.SubsetParams{OrderBy: "id"}, "1 2 3 4"},
		{"descending, nulls last", "", shape.SubsetParams{OrderBy: "crew DESC NULLS LAST"}, "3 4 1 2"},
		{"descending", "", shape.SubsetParams{OrderBy: "crew DESC"}, "2 3 4 1"},
		{"nulls first, quoted", "", shape.SubsetParams{OrderBy: `"crew" NULLS FIRST, "id" desc`}, "2 1 4 3"},
		{"page", "", shape.SubsetParams{OrderBy: "id", Limit: 2, Offset: 1}, "2 3"},
		{"the main clause is not widened", "id = 1 OR id = 2", shape.SubsetParams{Where: "crew > 2", OrderBy: "id"}, "1"},
		{"nor is the subset's", "id < 3", shape.SubsetParams{Where: "id = 4 OR id = 2", OrderBy: "id"}, "2"},
		{"enum IN", "", shape.SubsetParams{Where: "m IN ('happy', 'sad')", OrderBy: "id"}, "1 2 4"},
		{"enum by parameter", "", shape.SubsetParams{Where: "m = $1", Params: map[string]string{"1": "sad"}}, "1"},
		{"hostile value", "", shape.SubsetParams{Where: "name = $1", Params: map[string]string{"1": "x'); drop table boats; --"}}, "3"},
		{"hostile literal", "", shape.SubsetParams{Where: "name = 'x''); drop table boats; --'"}, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			def, err := shape.BuildDef(tab, shape.Params{Where: c.main})
			if err != nil {
				t.Fatal(err)
			}
			s, err := shape.BuildSubset(def, c.params)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			var sees wal.Snapshot
			err = db.Subset(t.Context(), s, func(s wal.Snapshot) error { sees = s; return nil },
				func(row wal.Tuple) error { ids = append(ids, string(row[0])); return nil })
			if got := strings.Join(ids, " "); err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if sees.Xmax == 0 || sees.Until == 0 {
				t.Errorf("sees %+v", sees)
			}
		})
	}
}

// What Postgres refuses at the query has a kind, and no text of a row.
func TestSubsetErrors(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create table boats (id int primary key, name text, j json); insert into boats values (1, 'private')`)
	db := open(t, pg)
	def := all(table(t, db, "boats"))
	read := func(p shape.SubsetParams) error {
		s, err := shape.BuildSubset(def, p)
		if err != nil {
			t.Fatal(err)
		}
		return db.Subset(t.Context(), s, func(wal.Snapshot) error { return nil }, func(wal.Tuple) error { return nil })
	}
	err := read(shape.SubsetParams{OrderBy: "j"})
	if text, _ := ClientText(err); !errors.Is(err, ErrOrder) || text != "could not identify an ordering operator for type json" {
		t.Error(err)
	}
	err = read(shape.SubsetParams{Where: "name::int4 = 1"})
	if text, _ := ClientText(err); !errors.Is(err, ErrValue) || text != "the clause cannot be computed for every row (SQLSTATE 22P02)" {
		t.Error(err)
	}
	gone := errors.New("gone")
	s := &shape.Subset{Def: def}
	if err := db.Subset(t.Context(), s, func(wal.Snapshot) error { return nil }, func(wal.Tuple) error { return gone }); err != gone {
		t.Error(err)
	}
	pg.Exec("alter table boats add column k int")
	if err := read(shape.SubsetParams{}); !errors.Is(err, ErrSchemaChanged) {
		t.Error(err)
	}
}

// No more than half of the connections, and not all of these for one table.
func TestSubsetTurns(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table boats (id int primary key); insert into boats values (1); create table ships (id int primary key); create table buoys (id int primary key)")
	db := open(t, pg, func(c *Config) { c.PoolSize = 5 }) // one for the catalogue, four for rows
	started, release := make(chan string, 4), make(chan struct{})
	done := make(chan error, 4)
	begin := func(name string) {
		s := &shape.Subset{Def: all(table(t, db, name))}
		go func() {
			done <- db.Subset(t.Context(), s, func(wal.Snapshot) error { started <- name; <-release; return nil },
				func(wal.Tuple) error { return nil })
		}()
	}
	begin("boats")
	begin("boats")
	if name := <-started; name != "boats" {
		t.Error(name)
	}
	begin("ships")
	if name := <-started; name != "ships" {
		t.Errorf("another of %s", name)
	}
	begin("buoys")
	if len(db.subsets) != 2 || len(started) != 0 {
		t.Errorf("%d at work", len(db.subsets))
	}
	if _, rows := take(t, db, all(table(t, db, "boats"))); len(rows) != 1 { // a shape's first rows are not held up
		t.Error(rows)
	}
	close(release)
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// FuzzSubsetSQL proves that no text of a request is ever part of a statement:
// whatever is asked for, the statement falls apart into our own words, quoted
// names of columns and quoted literals.
func FuzzSubsetSQL(f *testing.F) {
	tab := &shape.Table{OID: 1, Schema: "public", Name: `bo"ats`, Kind: 'r', PK: []int{0}}
	for i, c := range []struct {
		name, typ string
		oid       uint32
	}{{"id", "int4", 23}, {"name", "text", 25}, {`A "b"; --`, "text", 25}, {"at", "timestamptz", 1184}} {
		tab.Columns = append(tab.Columns, shape.Column{Column: expr.Column{
			Name: c.name, Type: expr.Type{OID: c.oid, Name: c.typ, Base: c.oid}, Bytewise: true, Deterministic: true}, Num: int16(i + 1), TypMod: -1})
	}
	f.Add("id = 1", "name LIKE $1", "x'; --", `name DESC, "A ""b""; --"`, int64(1), int64(2))
	f.Add("id in (1,2) or name = e'\\'' || $$a$$", `"A ""b""; --" = $1`, `\'; select 1`, "id nulls last", int64(0), int64(0))
	f.Add("at > '2026-01-01' and not id is null", "id between 1 and 2", "", "1", int64(5), int64(-1))
	f.Fuzz(func(t *testing.T, main, where, param, order string, limit, offset int64) {
		def, err := shape.BuildDef(tab, shape.Params{Where: main, Params: map[string]string{"1": param}})
		if err != nil {
			def = all(tab)
		}
		p := shape.SubsetParams{Where: where, Params: map[string]string{"1": param}, OrderBy: order, Limit: limit, Offset: offset}
		s, err := shape.BuildSubset(def, p)
		if err != nil {
			return
		}
		if err := ours(subsetQuery(s).whole(), tab); err != nil {
			t.Fatalf("%v\n%s", err, subsetQuery(s))
		}
	})
}

// piece is one token of a statement: a quoted name, a literal, a word, a number,
// or anything else by itself. It knows nothing of how statements are printed.
var piece = regexp.MustCompile(`(?s)^(?:("(?:[^"]|"")*")|([Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')|([A-Za-z_][A-Za-z_0-9]*)|([0-9]+)|(--|/\*|;|\$)|(.))`)

// words are all that our statements are made of besides names and literals.
var words = strings.Fields(`select from where and or not in is null true false unknown distinct like ilike order by asc desc nulls first
	last limit offset any all array row
	bool int2 int4 int8 numeric float4 float8 text varchar bpchar name uuid date time timetz timestamp timestamptz interval json jsonb bytea
	lower upper coalesce length date_part extract at zone`)

// ours takes a statement apart.
func ours(sql string, tab *shape.Table) error {
	names := []string{quote(tab.Schema).whole(), quote(tab.Name).whole()}
	for _, c := range tab.Columns {
		names = append(names, quote(c.Name).whole())
	}
	for rest := sql; rest != ""; {
		m := piece.FindStringSubmatch(rest)
		switch {
		case m == nil:
			return fmt.Errorf("what is %.20q?", rest)
		case m[1] != "" && !slices.Contains(names, m[1]):
			return fmt.Errorf("the name %s", m[1])
		case m[3] != "" && !slices.Contains(words, strings.ToLower(m[3])):
			return fmt.Errorf("the word %s", m[3])
		case m[5] != "":
			return fmt.Errorf("%s outside of quotes", m[5])
		}
		rest = rest[len(m[0]):]
	}
	return nil
}
