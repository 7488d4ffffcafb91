package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// settings are those that the text of values follows from (shape-semantics §8.1), and
// some that a role may have and that would end a long read. A role that policies hide
// rows from is told so by an error.
const settings = `SET LOCAL bytea_output = 'hex'; SET LOCAL DateStyle = 'ISO, DMY'; SET LOCAL TimeZone = 'UTC';
SET LOCAL extra_float_digits = 1; SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL client_encoding = 'UTF8';
SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = 'content'; SET LOCAL search_path = ''; SET LOCAL standard_conforming_strings = on;
SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL timezone_abbreviations = 'Default';
SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';
`

const columnsQuery = `SELECT a.attname FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %[1]s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
`

const keyQuery = `SELECT a.attname FROM pg_catalog.pg_index i, unnest(i.indkey) WITH ORDINALITY k(num, place), pg_catalog.pg_attribute a
WHERE i.indrelid = %[1]s::regclass AND i.indisprimary AND k.place <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.num ORDER BY k.place;
`

// canary makes the write-ahead log longer, so that there is something behind the
// snapshot also when nobody writes. It belongs to no transaction, and a read-only one
// may write it.
const canary = `SELECT pg_catalog.pg_logical_emit_message(false, 'spillway', '')`

func quote(name string) string   { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

// selectRows reads the rows that SELECT returns into the store.
func (c *check) selectRows(ctx context.Context) (err error) {
	config := c.DB.Copy()
	config.RuntimeParams["client_encoding"] = "UTF8" // names are sent before a SET would count
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer func() {
		// Whatever ctx says, and not for ever.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, conn.Close(ctx))
	}()
	pg := conn.PgConn()
	keys, err := c.begin(ctx, pg)
	if err != nil {
		return fmt.Errorf("look at the table: %w", err)
	}
	if err := c.rows(ctx, pg, keys); err != nil {
		return fmt.Errorf("read its rows: %w", err)
	}
	// In the transaction, for its settings.
	if _, err := pg.Exec(ctx, canary+"; COMMIT").ReadAll(); err != nil {
		return fmt.Errorf("write a canary message: %w", err)
	}
	return nil
}

// begin opens a transaction, and learns what it sees and what the shape's columns and
// key are. The key is given as places in the list of columns.
func (c *check) begin(ctx context.Context, pg *pgconn.PgConn) (keys []int, err error) {
	table := quote(c.of.Schema) + "." + quote(c.of.Table)
	before, err := texts(pg.Exec(ctx, "SELECT pg_catalog.pg_current_wal_insert_lsn()").ReadAll())
	if err != nil {
		return nil, err
	}
	// The table and its partitions are locked, as by any reader, so that they stay as the
	// catalogue has them, and TRUNCATE takes nothing away that the snapshot sees.
	answers, err := pg.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"+settings+
		"LOCK TABLE "+table+" IN ACCESS SHARE MODE;\nSELECT pg_catalog.pg_current_snapshot();\nSELECT pg_catalog.pg_current_wal_insert_lsn();\n"+
		fmt.Sprintf(columnsQuery+keyQuery, literal(table))).ReadAll()
	if err != nil {
		return nil, err
	}
	var answer [4][]string
	for i := range answer {
		if answer[i], err = texts(answers[len(answers)-len(answer)+i:][:1], nil); err != nil {
			return nil, err
		}
	}
	if c.sees, err = parseSight(answer[0][0]); err != nil {
		return nil, err
	}
	var err2 error
	c.sees.before, err = parseLSN(before[0])
	c.sees.until, err2 = parseLSN(answer[1][0])
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	return c.columns(answer[2], answer[3])
}

// columns notes which columns the shape has, of those of the table.
func (c *check) columns(all, key []string) (keys []int, err error) {
	c.index = make(map[string]int)
	for _, name := range all {
		if len(c.of.Columns) == 0 || slices.Contains(c.of.Columns, name) {
			c.index[name] = len(c.names)
			c.names = append(c.names, name)
		}
	}
	if c.keyed = len(key) > 0; !c.keyed {
		key = all
	}
	for _, name := range key {
		i, ok := c.index[name]
		if !ok {
			return nil, fmt.Errorf("the shape lacks column %q, which is of the table's key", name)
		}
		keys = append(keys, i)
	}
	return keys, nil
}

// texts gives the first column of one result.
func texts(results []*pgconn.Result, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	var list []string
	for _, row := range results[0].Rows {
		list = append(list, string(row[0]))
	}
	return list, results[0].Err
}

func (c *check) rows(ctx context.Context, pg *pgconn.PgConn, keys []int) error {
	var list []string
	for _, name := range c.names {
		list = append(list, quote(name))
	}
	query := "SELECT " + strings.Join(list, ", ") + " FROM " + quote(c.of.Schema) + "." + quote(c.of.Table)
	if c.of.Where != "" {
		query += " WHERE " + c.of.Where
	}
	results := pg.Exec(ctx, query)
	key := make([][]byte, len(keys))
	for results.NextResult() {
		for rr := results.ResultReader(); rr.NextRow(); {
			row := rr.Values()
			for i, at := range keys {
				key[i] = row[at]
			}
			e := entry{kind: selected, key: keyOf(c.of.Schema, c.of.Table, key)}
			for i, v := range row {
				e.set(i, v, v != nil)
			}
			if err := c.store.add(&e); err != nil {
				return errors.Join(err, results.Close())
			}
			c.at.Rows++
			c.progress()
		}
	}
	return results.Close()
}

// keyOf makes a row's key (http-protocol §13.6): relation and values between slashes,
// a slash within one is doubled, NULL is the only one without quotes.
func keyOf(schema, table string, values [][]byte) string {
	inner := func(s string) string { return strings.ReplaceAll(s, "/", "//") }
	key := inner(quote(schema)) + "." + inner(quote(table))
	for _, v := range values {
		if v == nil {
			key += "/_"
		} else {
			key += `/"` + inner(string(v)) + `"`
		}
	}
	return key
}
