package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spillway-sync/spillway/internal/wal"
)

// clause is one line of the command where.
type clause struct {
	params url.Values
	shape  *caseShape
	// wrong says what differs from SELECT, and refused what was answered instead of
	// rows.
	wrong, refused string
}

// where shows for each clause which rows of the table it takes. Then all rows go and
// come again, and are changed into their neighbours and back, so that the stream
// tells them too: what it tells must be what SELECT says each time.
func (c *caseFile) where(table, input string) string {
	c.t.Helper()
	table = c.schema + "." + table
	var all []*clause
	for line := range strings.Lines(input) {
		k := &clause{params: c.params(strings.ReplaceAll("where="+strings.TrimSuffix(line, "\n"), " ;; ", "\n"))}
		k.params.Set("table", table)
		k.shape = c.ask(k.params)
		for _, p := range c.read(k.shape) {
			k.refused += p.note
		}
		all = append(all, k)
	}
	var b strings.Builder
	rows := make([]string, len(all))
	for i, k := range all {
		var all map[string]map[string]*string
		rows[i], all = c.selected(table, k.params)
		k.compare("first rows", rows[i], all, "")
	}
	passes := []struct{ name, sql string }{{"again", "BEGIN; CREATE TEMP TABLE again ON COMMIT DROP AS TABLE " + table + "; DELETE FROM " + table +
		"; INSERT INTO " + table + " SELECT * FROM again; COMMIT"}}
	if columns := c.others(table); columns != "" {
		passes = append(passes, struct{ name, sql string }{"changed", neighbours(table, columns, "lead(id) OVER w, min(id) OVER ()")},
			struct{ name, sql string }{"changed back", neighbours(table, columns, "lag(id) OVER w, max(id) OVER ()")})
	}
	for _, pass := range passes {
		if out := c.sql("where", pass.sql); out != "" {
			c.t.Fatal(out)
		}
		target := c.target()
		for _, k := range all {
			c.follow(k, table, pass.name, target)
		}
	}
	for i, k := range all {
		fmt.Fprintf(&b, "%s → ", k.params.Get("where"))
		switch {
		case k.refused == "":
			b.WriteString(rows[i] + k.wrong + "\n")
		case strings.HasPrefix(k.refused, "4") || strings.HasPrefix(rows[i], "ERROR"):
			b.WriteString(k.refused) // by Postgres as well, unless it is no clause for us
		default:
			fmt.Fprintf(&b, "%s, SELECT: %s\n", strings.TrimSpace(k.refused), rows[i])
		}
	}
	return b.String()
}

// follow reads a clause's shape on, and compares.
func (c *caseFile) follow(k *clause, table, pass string, target wal.LSN) {
	c.t.Helper()
	if k.refused != "" {
		return
	}
	faults := ""
	for _, p := range c.readTo(k.shape, target) {
		faults += strings.ReplaceAll(p.note, "\n", "; ")
	}
	want, rows := c.selected(table, k.params)
	k.compare(pass, want, rows, faults)
}

// compare notes what is wrong. If Postgres has an error for some row, the shape has
// begun again and was refused with it.
func (k *clause) compare(pass, want string, rows map[string]map[string]*string, faults string) {
	if k.refused != "" || strings.HasPrefix(want, "ERROR") && strings.Contains(faults, "409: ") && strings.Contains(faults, "503 ") {
		return
	}
	if got := idsOf(k.shape.f.rows); got != want || faults != "" {
		k.wrong += fmt.Sprintf(", %s: %s, SELECT: %s %s", pass, got, want, faults)
	} else if !sameTexts(k.shape.f.rows, rows) {
		k.wrong += fmt.Sprintf(", %s: other values than SELECT's", pass)
	}
}

// others lists the assignments of all columns but id.
func (c *caseFile) others(table string) string {
	c.t.Helper()
	return strings.TrimSpace(c.sql("where", "SELECT string_agg(format('%1$I = r.%1$I', attname), ', ') FROM pg_attribute WHERE attrelid = '"+table+
		"'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'id' HAVING count(*) > 0"))
}

// neighbours gives each row the values of the next one.
func neighbours(table, columns, next string) string {
	return fmt.Sprintf("UPDATE %[1]s t SET %[2]s FROM (SELECT id, coalesce(%[3]s) AS n FROM %[1]s WINDOW w AS (ORDER BY id)) k JOIN %[1]s r ON r.id = k.n WHERE t.id = k.id",
		table, columns, next)
}

// selected is what Postgres takes: ids, or its error, and all rows.
func (c *caseFile) selected(table string, params url.Values) (ids string, rows map[string]map[string]*string) {
	c.t.Helper()
	var args [][]byte
	for i := 1; strings.Contains(params.Get("where"), fmt.Sprintf("$%d", i)); i++ {
		args = append(args, []byte(params.Get(fmt.Sprintf("params[%d]", i))))
	}
	r := c.conn("where").PgConn().ExecParams(c.t.Context(), "SELECT * FROM "+table+" WHERE "+params.Get("where"), args, nil, nil, nil).Read()
	if r.Err != nil {
		return r.Err.Error(), nil
	}
	rows = map[string]map[string]*string{}
	for i, cells := range r.Rows {
		row := map[string]*string{}
		for n, cell := range cells {
			if row[r.FieldDescriptions[n].Name] = nil; cell != nil {
				text := string(cell)
				row[r.FieldDescriptions[n].Name] = &text
			}
		}
		rows[fmt.Sprint(i)] = row
	}
	return idsOf(rows), rows
}

// sameTexts compares two sets of rows, whatever their keys.
func sameTexts(a, b map[string]map[string]*string) bool {
	texts := func(rows map[string]map[string]*string) (all []string) {
		for _, row := range rows {
			text, err := json.Marshal(row)
			if err != nil {
				return nil
			}
			all = append(all, string(text))
		}
		slices.Sort(all)
		return all
	}
	return slices.Equal(texts(a), texts(b))
}
