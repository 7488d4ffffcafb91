package pgquery

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestColumns(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`
		create type mood as enum ('sad', 'ok', 'happy');
		alter type mood add value 'bored' before 'ok';
		create type nothing as enum ();
		create domain grade as mood;
		create domain better_grade as grade check (value is not null);
		create domain ints as int4[];
		create type pair as (x int, y text);
		create domain pairs as pair;
		create collation nd (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		create table t (
			id int8, gone int, m mood, n nothing, g better_grade, ms mood[],
			i2 int4[][], ds ints, v varchar(12)[], num numeric(10,2),
			pr pair, prs pairs, iv int2vector, nm name, pt point,
			tx text, c text collate "C", px text collate "POSIX", icu text collate "und-x-icu", nd text collate nd,
			ucs text collate ucs_basic,
			dbl int8 generated always as (id * 2) stored, nn bytea not null);
		alter table t drop column gone;
		create table made as select array[1,2] as a`)
	tab := table(t, open(t, pg), "t")
	if tab.Kind != 'r' || tab.Identity != 'd' || tab.PK != nil {
		t.Errorf("table is %+v", tab)
	}
	mood := []string{"sad", "bored", "ok", "happy"}
	type want struct {
		typ, schema string
		base        string
		array, row  bool
		enum, elem  []string // labels, and those of an array's elements
		dims        int
		typmod      bool
		bytes, det  bool
		generated   byte
		notNull     bool
	}
	for name, w := range map[string]want{
		"id":  {typ: "int8", schema: "int8", base: "int8", bytes: true, det: true},
		"m":   {typ: "mood", schema: "mood", base: "mood", enum: mood, bytes: true, det: true},
		"n":   {typ: "nothing", schema: "nothing", base: "nothing", enum: []string{}, bytes: true, det: true},
		"g":   {typ: "better_grade", schema: "better_grade", base: "mood", enum: mood, bytes: true, det: true},
		"ms":  {typ: "_mood", schema: "mood", base: "_mood", elem: mood, array: true, dims: 1, bytes: true, det: true},
		"i2":  {typ: "_int4", schema: "int4", base: "_int4", array: true, dims: 2, bytes: true, det: true},
		"ds":  {typ: "ints", schema: "int4", base: "_int4", array: true, dims: 1, bytes: true, det: true},
		"v":   {typ: "_varchar", schema: "varchar", base: "_varchar", array: true, dims: 1, typmod: true, bytes: true, det: true},
		"num": {typ: "numeric", schema: "numeric", base: "numeric", typmod: true, bytes: true, det: true},
		"pr":  {typ: "pair", schema: "pair", base: "pair", row: true, bytes: true, det: true},
		"prs": {typ: "pairs", schema: "pairs", base: "pair", row: true, bytes: true, det: true},
		"iv":  {typ: "int2vector", schema: "int2vector", base: "int2vector", bytes: true, det: true},
		"nm":  {typ: "name", schema: "name", base: "name", bytes: true, det: true},
		"pt":  {typ: "point", schema: "point", base: "point", bytes: true, det: true},
		"c":   {typ: "text", schema: "text", base: "text", bytes: true, det: true},
		"px":  {typ: "text", schema: "text", base: "text", bytes: true, det: true},
		"ucs": {typ: "text", schema: "text", base: "text", bytes: true, det: true},
		"tx":  {typ: "text", schema: "text", base: "text", bytes: true, det: true}, // the test's cluster is C.UTF-8
		"icu": {typ: "text", schema: "text", base: "text", det: true},
		"nd":  {typ: "text", schema: "text", base: "text"},
		"dbl": {typ: "int8", schema: "int8", base: "int8", generated: 's', bytes: true, det: true},
		"nn":  {typ: "bytea", schema: "bytea", base: "bytea", notNull: true, bytes: true, det: true},
	} {
		i := tab.Find(name)
		if i < 0 {
			t.Errorf("no column %s", name)
			continue
		}
		c := tab.Columns[i]
		got := want{
			typ: c.Type.Name, schema: c.SchemaType, base: pg.Value("select typname from pg_type where oid = $1", int64(c.Type.Base)),
			array: c.Type.Array, row: c.Type.Row, enum: c.Type.Enum, dims: c.Dims, typmod: c.TypMod >= 0,
			bytes: c.Bytewise, det: c.Deterministic, generated: c.Generated, notNull: c.NotNull,
		}
		if e := c.Type.Elem; e != nil {
			got.elem = e.Enum
			if e.Name != "mood" || e.OID != tab.Columns[tab.Find("m")].Type.OID || e.Base != e.OID {
				t.Errorf("%s: elements of %+v", name, e)
			}
		}
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, w)
		}
	}
	if tab.Find("gone") >= 0 || tab.Columns[1].Num != 3 {
		t.Errorf("the dropped column: %+v", tab.Columns[1])
	}
	made := table(t, open(t, pg), "made")
	if c := made.Columns[0]; c.Dims != 1 || !c.Type.Array {
		t.Errorf("an array without declared dimensions: %+v", c)
	}
}

func TestEveryBuiltinType(t *testing.T) {
	pg := pgtest.New(t)
	sql := "create table t ("
	n := 0
	for _, row := range pg.Query(`select format_type(oid, null), oid, typname from pg_type t
		where typtype in ('b', 'r', 'm') and typnamespace = 'pg_catalog'::regnamespace and oid < 10000
			and typname not like 'pg\_%' and typcategory <> 'P'
			and not exists (select from pg_type e where e.oid = t.typelem and e.typtype in ('c', 'p')) order by oid`) {
		if n > 0 {
			sql += ", "
		}
		n++
		sql += `"` + row[2] + `" ` + row[0]
	}
	if n < 100 {
		t.Fatalf("only %d types", n)
	}
	pg.Exec(sql + ")")
	tab := table(t, open(t, pg), "t")
	if len(tab.Columns) != n {
		t.Fatalf("%d columns of %d", len(tab.Columns), n)
	}
	for _, c := range tab.Columns {
		if c.Type.Name != c.Name || c.Type.Base != c.Type.OID || c.Type.Enum != nil {
			t.Errorf("%s: %+v", c.Name, c)
		}
		if c.Type.Array != (c.Name[0] == '_') {
			t.Errorf("%s: array is %v", c.Name, c.Type.Array)
		}
	}
}

// What the text of a value follows from besides the type's OID, however deep it is.
func TestParts(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create type mood as enum ('sad', 'ok'); create type pair as (i int, m mood); create domain moods as mood[];
		create type span as range (subtype = mood); create type deep as (p pair[], s span);
		create table t (i int, tx text[], m mood, ms moods, p pair, s span, d deep)`)
	db := open(t, pg)
	counts := func(tab *shape.Table) (n []int) {
		for i := range tab.Columns {
			n = append(n, len(tab.Columns[i].Parts))
		}
		return n
	}
	tab := table(t, db, "t")
	if got := counts(tab); !slices.Equal(got, []int{0, 0, 2, 2, 4, 2, 6}) {
		t.Errorf("parts: %v", got)
	}
	if m := tab.Columns[2].Parts; !strings.HasSuffix(m[0], " sad") || !strings.HasSuffix(m[1], " ok") {
		t.Errorf("labels: %v", m)
	}
	before, err := db.Watch(t.Context(), []uint32{tab.OID})
	if err != nil {
		t.Fatal(err)
	}
	pg.Exec("alter type pair add attribute z int; alter type mood add value 'glad' before 'ok'")
	db.Invalidate(tab.OID)
	if got := counts(table(t, db, "t")); !slices.Equal(got, []int{0, 0, 3, 3, 6, 3, 8}) {
		t.Errorf("parts: %v", got)
	}
	after, err := db.Watch(t.Context(), []uint32{tab.OID})
	if err != nil || after[tab.OID] == before[tab.OID] {
		t.Errorf("its fingerprint is the same: %+v, %v", after, err)
	}
}

// Files says that rows were written anew, not that there are more of them.
func TestFiles(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create table p (i int, j int) partition by range (i); create table p1 partition of p for values from (0) to (10)`)
	db := open(t, pg)
	files := func() int64 {
		tab := table(t, db, "p")
		db.Invalidate(tab.OID)
		return table(t, db, "p").Files
	}
	before := files()
	pg.Exec("create table p2 partition of p default; insert into p values (1), (20)")
	if got := files(); got != before || got == 0 {
		t.Errorf("with another partition it is %d, and was %d", got, before)
	}
	for _, sql := range []string{"vacuum full p2", "alter table p alter j type int using j + 1", "truncate p1"} {
		pg.Exec(sql)
		if now := files(); now == before {
			t.Errorf("after %q it is the same", sql)
		} else {
			before = now
		}
	}
}

func TestPrimaryKeyInIndexOrder(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create table t (a int, b int, c int, d int, primary key (c, a) include (d));
		create table "We ird"".T" ("a ""b" int primary key);
		create schema "S.1"; create table "S.1"."x/y" (i int)`)
	db := open(t, pg)
	if tab := table(t, db, "t"); !slices.Equal(tab.PK, []int{2, 0}) {
		t.Errorf("key is %v", tab.PK)
	}
	if tab := table(t, db, `We ird".T`); tab.Columns[0].Name != `a "b` || !slices.Equal(tab.PK, []int{0}) {
		t.Errorf("table is %+v", tab)
	}
	if _, err := db.Table(t.Context(), "S.1", "x/y"); err != nil {
		t.Error(err)
	}
}

func TestNotATable(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec(`create table base (i int); create view v as select * from base; create materialized view mv as select * from base;
		create sequence s; create type comp as (i int); create table empty (); create unlogged table unl (i int);
		create table parted (i int) partition by range (i)`)
	conn := pg.Conn()
	if _, err := conn.Exec(t.Context(), "create temp table tmp (i int)"); err != nil {
		t.Fatal(err)
	}
	temp := pg.Value("select relnamespace::regnamespace from pg_class where relname = 'tmp'")
	db := open(t, pg)
	for _, n := range []tableName{
		{"public", "nonexistent"}, {"public", "v"}, {"public", "mv"}, {"public", "s"}, {"public", "comp"}, {"public", "Base"},
		{"public", "empty"}, {"public", "unl"}, {temp, "tmp"}, {"pg_catalog", "pg_class"}, {"information_schema", "sql_features"}, {"", "base"},
	} {
		if _, err := db.Table(t.Context(), n.schema, n.name); !errors.Is(err, ErrNoTable) {
			t.Errorf("%v: %v", n, err)
		}
	}
	if tab := table(t, db, "parted"); tab.Kind != 'p' {
		t.Errorf("kind is %c", tab.Kind)
	}
}

func TestCache(t *testing.T) {
	pg := pgtest.New(t)
	pg.Exec("create table t (i int primary key)")
	db := open(t, pg)
	first := table(t, db, "t")
	pg.Exec("alter table t add j int")
	if table(t, db, "t") != first {
		t.Error("asked again without being told to")
	}
	db.Invalidate(first.OID + 1)
	if table(t, db, "t") != first {
		t.Error("asked again because of another table")
	}
	db.Invalidate(first.OID)
	second := table(t, db, "t")
	if second == first || len(second.Columns) != 2 {
		t.Errorf("still %+v", second)
	}
	db.Invalidate(first.OID)
	if table(t, db, "t") != second {
		t.Error("an unchanged table has another pointer")
	}
	pg.Exec("drop table t")
	db.Invalidate(first.OID)
	if _, err := db.Table(t.Context(), "public", "t"); !errors.Is(err, ErrNoTable) {
		t.Error(err)
	}
}

// What was asked for before an invalidation and answered after it is stale.
func TestCacheRace(t *testing.T) {
	db := DB{tables: newCache()}
	n := tableName{"public", "t"}
	_, changes := db.tables.get(n)
	db.tables.put(n, &shape.Table{OID: 7}, changes)
	_, changes = db.tables.get(n)
	db.Invalidate(7)
	db.tables.put(n, &shape.Table{OID: 7, Name: "old"}, changes)
	if got, _ := db.tables.get(n); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestCollations(t *testing.T) {
	for _, tc := range []struct {
		c        collation
		encoding string
		bytewise bool
		letters  expr.Case
	}{
		{collation{Provider: "c", Collate: "C", CType: "C"}, "UTF8", true, expr.CaseASCII},
		{collation{Provider: "c", Collate: "C.UTF-8", CType: "C.UTF-8"}, "UTF8", true, expr.CaseUnicode},
		{collation{Provider: "c", Collate: "C", CType: "de_DE.UTF-8"}, "UTF8", true, expr.CaseUnicode},
		{collation{Provider: "c", Collate: "en_US.UTF-8", CType: "en_US.UTF-8"}, "UTF8", false, expr.CaseUnicode},
		{collation{Provider: "c", Collate: "C", CType: "C"}, "LATIN1", true, expr.CaseASCII},
		{collation{Provider: "c", Collate: "C", CType: "C"}, "EUC_JP", false, expr.CaseASCII},
		{collation{Provider: "c", Collate: "C", CType: "C"}, "WIN1251", false, expr.CaseASCII},
		{collation{Provider: "c", Collate: "en_US", CType: "en_US"}, "LATIN1", false, expr.CaseUnknown},
		{collation{Provider: "c", Collate: "tr_TR.UTF-8", CType: "tr_TR.UTF-8"}, "UTF8", false, expr.CaseUnknown},
		{collation{Provider: "i", Locale: "en"}, "UTF8", false, expr.CaseUnknown},
		{collation{Provider: "b", Locale: "C"}, "UTF8", true, expr.CaseASCII},
		{collation{Provider: "b", Locale: "C.UTF-8"}, "UTF8", true, expr.CaseUnicode},
		{collation{Provider: "b", Locale: "PG_UNICODE_FAST"}, "UTF8", true, expr.CaseUnknown},
	} {
		if got := tc.c.bytewise(tc.encoding); got != tc.bytewise {
			t.Errorf("%+v: bytewise is %v", tc.c, got)
		}
		if got := tc.c.letters(tc.encoding); got != tc.letters {
			t.Errorf("%+v, %s: letters are %v", tc.c, tc.encoding, got)
		}
	}
}

// What has no name or value in the database's encoding is not there, and what cannot
// be told in ours is refused with words of our own. Of SQL_ASCII nothing can be told.
func TestOtherEncodings(t *testing.T) {
	pg := pgtest.New(t)
	of := func(encoding string) *DB {
		t.Helper()
		name := strings.ToLower(pg.Name + "_" + encoding)
		pg.Exec("create database " + name + " template template0 encoding '" + encoding + "' lc_collate 'C' lc_ctype 'C'")
		t.Cleanup(func() { pg.Exec("drop database " + name + " with (force)") })
		return open(t, pg, func(c *Config) { c.URL = strings.Replace(pg.URL, "/"+pg.Name, "/"+name, 1) })
	}
	latin := of("LATIN1")
	if err := latin.admin.script(t.Context(), `create table "naïve" (id int primary key, v text); insert into "naïve" values (1, 'ü')`); err != nil {
		t.Fatal(err)
	}
	if _, rows := take(t, latin, all(table(t, latin, "naïve"))); rows[0][1] != "=ü" {
		t.Errorf("got %q", rows)
	}
	if _, err := latin.Table(t.Context(), "public", "€"); !errors.Is(err, ErrNoTable) {
		t.Errorf("a name that cannot be: %v", err)
	}
	def, err := shape.BuildDef(table(t, latin, "naïve"), shape.Params{Where: "v = '€'"})
	if err != nil {
		t.Fatal(err)
	}
	err = latin.Snapshot(t.Context(), def, func(wal.Snapshot, []Edge) error { return nil }, func(wal.Tuple) error { return nil })
	const want = "Unable to create initial snapshot: a value of a row or of the clause cannot be converted between UTF8 and the encoding of the database (SQLSTATE 22P05)"
	if !errors.Is(err, ErrValue) || clientText(err) != want {
		t.Error(err)
	}
	ascii := of("SQL_ASCII")
	if err := ascii.admin.script(t.Context(), `create table t (v text); insert into t values (E'a\xff')`); err != nil {
		t.Fatal(err)
	}
	if _, rows := take(t, ascii, all(table(t, ascii, "t"))); rows[0][0] != "=a\xff" {
		t.Errorf("got %q", rows)
	}
}
