package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// values are types and nasty values of theirs, as SQL (shape-semantics §8.3).
var values = []struct {
	typ    string
	values []string
}{
	{"int2", []string{"-32768"}},
	{"int4", []string{"2147483647"}},
	{"int8", []string{"-9223372036854775808"}},
	{"numeric", []string{"1.10", "1.1", "'NaN'", "'-Infinity'", "1e130", "0.000000000000000000001"}},
	{"numeric(9,3)", []string{"-2.5"}},
	{"float4", []string{"1.1", "'-0'", "1e-45", "'NaN'", "3.4028235e38"}},
	{"float8", []string{"0.1::float8 + 0.2", "1e300", "5e-324", "'-0'", "'-Infinity'", "1.234567890123456"}},
	{"money", []string{"-1234.5"}},
	{"bool", []string{"true", "false"}},
	{"text", []string{"''", `E'"\\\t\n\x01\x7f'`, `U&'\2028\+01F600'`, "'a/b_'"}},
	{"varchar(12)", []string{"'naïve'"}},
	{"char(5)", []string{"'ab'", "''"}},
	{`"char"`, []string{"'x'", `'\200'`, "''"}},
	{"name", []string{"'Name'"}},
	{"bytea", []string{`'\x0001fffe5c27'`, `''`}},
	{"date", []string{"'2024-02-29'", "'infinity'", "'0044-03-15 BC'"}},
	{"time", []string{"'24:00'", "'12:30:45.123456'"}},
	{"timetz", []string{"'12:00:00+02'", "'12:00:00-03:30:15'"}},
	{"timestamp", []string{"'2022-01-12 00:01'", "'-infinity'", "'0001-01-01 BC'", "'294276-12-31 23:59:59.999999'"}},
	{"timestamptz", []string{"'2022-01-12 00:01+05'", "'infinity'", "'0044-03-15 12:00 BC'"}},
	{"timestamptz(2)", []string{"'2022-01-12 00:01:02.345+05'"}},
	{"interval", []string{"'1 year 2 mons 3 days 04:05:06.7'", "'-1 day +02:03'", "'0'"}},
	{"interval hour to minute", []string{"'5 hours 6 minutes 7 seconds'"}},
	{"uuid", []string{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}},
	{"json", []string{`'{"a" : 1,  "a": [1 ,2]}'`}},
	{"jsonb", []string{`'{"b" : 1,  "a": [1 ,2], "n": 1.10}'`, "'null'"}},
	{"xml", []string{"'<a>x</a>text'"}},
	{"inet", []string{"'10.0.0.1'", "'10.0.0.1/8'", "'::1'"}},
	{"cidr", []string{"'10.0.0.0/8'", "'10.1.2.3/32'"}},
	{"macaddr", []string{"'08-00-2b-01-02-03'"}},
	{"macaddr8", []string{"'08:00:2b:01:02:03:04:05'"}},
	{"bit(3)", []string{"B'101'"}},
	{"varbit", []string{"B''", "B'10'"}},
	{"point", []string{"'(0.1,1e300)'"}},
	{"line", []string{"'{1,2,3}'"}},
	{"lseg", []string{"'[(0,0),(1,1.5)]'"}},
	{"box", []string{"'((0,0),(1,1))'"}},
	{"path", []string{"'[(0,0),(1,1)]'", "'((0,0),(1,1))'"}},
	{"polygon", []string{"'((0,0),(1,1),(2,0))'"}},
	{"circle", []string{"'<(0,0),0.1>'"}},
	{"tsvector", []string{"'fat:2A cat:3 ''o''''k'''"}},
	{"tsquery", []string{"'fat & !cat:*'"}},
	{"int4range", []string{"'[1,10]'", "'empty'", "'(,5)'"}},
	{"numrange", []string{"'[1.10,2)'"}},
	{"tstzrange", []string{"'[2024-01-01 00:00+02,)'"}},
	{"daterange", []string{"'[2024-01-01,2024-02-29]'"}},
	{"int4multirange", []string{"'{[1,3),[5,7)}'", "'{}'"}},
	{"tstzmultirange", []string{"'{[2024-01-01 00:00+02,infinity)}'"}},
	{"oid", []string{"4294967295"}},
	{"xid", []string{"'4294967295'"}},
	{"xid8", []string{"'18446744073709551615'"}},
	{"tid", []string{"'(1,2)'"}},
	{"pg_lsn", []string{"'16/B374D848'"}},
	{"regclass", []string{"'pg_class'", "'public.ordinary'"}},
	{"regtype", []string{"'public.mood'", "'int4'"}},
	{"regproc", []string{"'now'"}},
	{"mood", []string{"'glad'", "'very ''sad'''"}},
	{"pair", []string{`ROW(1, 'a b', NULL)`, `ROW(NULL, '', 'x"y\')`}},
	{"padded", []string{"'ab'"}},
	{"flag", []string{"true"}},
	{"words", []string{"'{a,b}'"}},
	{"citext", []string{"'MiXed'"}},
	{"hstore", []string{`'a=>1, "b c"=>NULL, q=>"\""'`}},
	{"ltree", []string{"'Top.Science'"}},
	{"vec(3)", []string{"'1,2'"}},
	{"int4[]", []string{"'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={5,6}'"}},
	{"text[]", []string{`ARRAY[NULL, 'NULL', 'a,b', 'q"', '\', '', '{}']`}},
	{"bool[]", []string{"'{t,f,NULL}'"}},
	{"float8[]", []string{"'{1.2,-3.2,Infinity,-Infinity,NaN}'"}},
	{"char(3)[]", []string{"'{a,bc}'"}},
	{"bytea[]", []string{`ARRAY['\x00ff'::bytea]`}},
	{"interval[]", []string{"ARRAY['1 day 2 hours'::interval]"}},
	{"timestamptz[]", []string{"ARRAY['2024-01-01 00:00+02'::timestamptz]"}},
	{"date[]", []string{"'{infinity,0044-03-15 BC}'"}},
	{"inet[]", []string{"'{10.0.0.1,10.0.0.0/8}'"}},
	{"jsonb[]", []string{`ARRAY['{"a":1}'::jsonb]`}},
	{"money[]", []string{"ARRAY[1.5::numeric::money]"}},
	{"point[]", []string{"ARRAY['(1.1,2.2)'::point]"}},
	{"numrange[]", []string{"ARRAY['[1.5,2)'::numrange]"}},
	{"mood[]", []string{"'{glad}'"}},
	{"pair[]", []string{`ARRAY[ROW(1, 'a b', NULL)::pair]`}},
}

const encodingTypes = `CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
	CREATE TABLE ordinary (id int PRIMARY KEY);
	CREATE TYPE mood AS ENUM ('glad', 'very ''sad''');
	CREATE TYPE pair AS (a int, b text, "C d" text);
	-- A type of a modifier of its own, as vector and geometry are.
	CREATE TYPE vec;
	CREATE FUNCTION vec_in(cstring, oid, int4) RETURNS vec LANGUAGE internal IMMUTABLE STRICT AS 'varcharin';
	CREATE FUNCTION vec_out(vec) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'varcharout';
	CREATE FUNCTION vec_mod_in(cstring[]) RETURNS int4 LANGUAGE internal IMMUTABLE STRICT AS 'varchartypmodin';
	CREATE FUNCTION vec_mod_out(int4) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'varchartypmodout';
	CREATE TYPE vec (INPUT = vec_in, OUTPUT = vec_out, TYPMOD_IN = vec_mod_in, TYPMOD_OUT = vec_mod_out, LIKE = text);
	CREATE DOMAIN padded AS char(4); CREATE DOMAIN flag AS bool; CREATE DOMAIN words AS text[];`

// the settings under which values are shown (shape-semantics §8.1)
const shown = `SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; SET extra_float_digits = 1;
	SET IntervalStyle = 'iso_8601'; SET lc_monetary = 'C'; SET search_path = 'pg_catalog'; SET client_encoding = 'UTF8';`

// One value has one text: in the first rows, in the log, in what its type's output
// function says; whatever a database and a role have set for their sessions (cases
// 239 to 249). As a key too, where the type can be one (176).
func TestEncoding(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(encodingTypes)
	var columns, names []string
	rows := 1
	for i, v := range values {
		names = append(names, fmt.Sprintf("c%d", i))
		columns = append(columns, fmt.Sprintf("c%d %s", i, v.typ))
		rows = max(rows, len(v.values))
	}
	db.Exec("CREATE TABLE everything (id int PRIMARY KEY, " + strings.Join(columns, ", ") + ")")
	insert := func(first int) {
		for r := range rows {
			list := []string{fmt.Sprint(first + r)}
			for _, v := range values {
				value := "NULL"
				if r < len(v.values) {
					value = v.values[r]
				}
				if v.typ == "money" {
					value = "(" + value + ")::numeric"
				}
				if value != "NULL" && !strings.HasSuffix(v.typ, "[]") {
					value = "(" + value + ")::" + v.typ
				}
				list = append(list, value)
			}
			db.Exec("INSERT INTO everything VALUES (" + strings.Join(list, ", ") + ")")
		}
	}
	keyed := []string{"bool", "inet", "char(5)", "timestamptz", "float8", "bytea", "numeric", "uuid", "interval", "text", "padded", "money", "citext", "int4range", "date"}
	key := func(id int) {
		for n, typ := range keyed {
			for _, v := range values {
				if v.typ == typ {
					cast := "(" + v.values[0] + ")::" + typ
					if typ == "money" {
						cast = "(" + v.values[0] + ")::numeric::money"
					}
					db.Exec(fmt.Sprintf("INSERT INTO k%d VALUES (%s, %d)", n, cast, id))
				}
			}
		}
	}
	for n, typ := range keyed {
		db.Exec(fmt.Sprintf("CREATE TABLE k%d (v %s, id int, PRIMARY KEY (v, id))", n, typ))
	}
	insert(0)
	key(1)
	for _, set := range []string{"DateStyle = 'SQL, MDY'", "TimeZone = 'CET'", "extra_float_digits = -10", "bytea_output = 'escape'",
		"IntervalStyle = 'postgres'", "xmloption = 'document'", "search_path = 'public'"} {
		db.Exec("ALTER DATABASE " + db.Name + " SET " + set)
	}
	// What a role has in a database goes before what either has.
	for _, set := range []string{"DateStyle = 'German'", "TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15", "bytea_output = 'escape'",
		"IntervalStyle = 'sql_standard'", "search_path = 'public'", "client_encoding = 'LATIN1'"} {
		db.Exec("ALTER ROLE postgres IN DATABASE " + db.Name + " SET " + set)
	}
	s := newService(t, db.URL)
	f := newFollower(s.url, "table", "everything")
	f.until(t, 60*time.Second, "first rows", func() error { return nil })
	keys := make([]*follower, len(keyed))
	for n := range keyed {
		keys[n] = newFollower(s.url, "table", fmt.Sprintf("k%d", n))
		keys[n].until(t, 60*time.Second, "first rows", func() error { return nil })
	}
	resp, err := http.Head(s.url + "?offset=-1&table=everything")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if header := resp.Header.Get("electric-schema"); !strings.Contains(header, `{"type":"vec","type_mod":7}`) {
		t.Errorf("a type with a modifier of its own: %s", header)
	}
	insert(rows)
	key(2)
	f.until(t, 60*time.Second, "the log", func() error {
		if len(f.rows) != 2*rows {
			return fmt.Errorf("%d rows, want %d", len(f.rows), 2*rows)
		}
		return nil
	})
	for i, v := range values {
		for r := range v.values {
			want := output(t, db, fmt.Sprintf("SELECT %s FROM public.everything WHERE id = %d", names[i], r))
			for path, id := range map[string]int{"first rows": r, "log": rows + r} {
				got := f.rows[fmt.Sprintf(`"public"."everything"/"%d"`, id)][names[i]]
				if got == nil || *got != want {
					t.Errorf("%s %s, %s: got %q, want %q", v.typ, v.values[r], path, show(got), want)
				}
			}
		}
	}
	for n, f := range keys {
		f.until(t, 60*time.Second, "the log of keys", func() error {
			if len(f.rows) != 2 {
				return fmt.Errorf("%d rows, want 2", len(f.rows))
			}
			return nil
		})
		want := strings.ReplaceAll(output(t, db, fmt.Sprintf("SELECT v FROM public.k%d LIMIT 1", n)), "/", "//")
		for id := 1; id <= 2; id++ {
			if k := fmt.Sprintf(`"public"."k%d"/"%s"/"%d"`, n, want, id); f.rows[k] == nil {
				t.Errorf("%s: no key %s", keyed[n], k)
			}
		}
	}
}

func show(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

// output is what the output function says of a single value.
func output(t *testing.T, db *pgtest.DB, query string) string {
	t.Helper()
	res, err := db.Conn().PgConn().Exec(t.Context(), shown+query).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return string(res[len(res)-1].Rows[0][0])
}

// In a database without an encoding a text may have any bytes. Those that are no UTF-8
// are written as octal numbers; none of them ends the stream.
func TestBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	name := "ascii_" + db.Name
	db.Exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	address := strings.Replace(db.URL, "/"+db.Name, "/"+name, 1)
	t.Cleanup(func() {
		eventually(t, 30*time.Second, "the slot to be dropped", func() error {
			return db.Try("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '" + name + "'")
		})
		db.Exec("DROP DATABASE " + name + " WITH (FORCE)")
	})
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE notes (t text PRIMARY KEY)`)
	exec(`INSERT INTO notes VALUES (E'a\xff'), ('naïve')`)
	s := newService(t, address)
	f := newFollower(s.url, "table", "notes")
	f.until(t, 30*time.Second, "first rows", func() error { return nil })
	exec(`INSERT INTO notes VALUES (E'\xc3(')`)
	f.until(t, 30*time.Second, "the log", func() error {
		if len(f.rows) != 3 {
			return fmt.Errorf("%d rows", len(f.rows))
		}
		return nil
	})
	for _, want := range []string{`a\377`, "naïve", `\303(`} {
		if row := f.rows[`"public"."notes"/"`+want+`"`]; row == nil || *row["t"] != want {
			t.Errorf("%s is missing in %v", want, f.rows)
		}
	}
}
