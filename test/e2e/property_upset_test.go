package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// happened counts what came about in all runs of the property test.
type happened struct {
	mu    sync.Mutex
	times map[string]int
}

func (h *happened) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times[what]++
}

// many is how many runs it takes for everything to come about.
const many = 100

// told tells it, and finds out what never did.
func (h *happened) told(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(h.times)) {
		t.Logf("%6d %s", h.times[what], what)
	}
	if *propertySeed != 0 || *propertyFor != 0 || *propertyRuns < many || t.Failed() {
		return
	}
	for _, what := range []string{
		"commit", "commit within a transaction", "rollback", "savepoint", "rollback to a savepoint", "large transaction",
		"SET id = id +", "SET part =", "SET id = id ", "DELETE", "TRUNCATE", "TRUNCATE of a partition", "ADD COLUMN", "DROP COLUMN",
		"exchange", "new partition", "crash", "block", "panic", "spin", "up-to-date",
	} {
		if h.times[what] == 0 {
			t.Errorf("there was no %s", what)
		}
	}
}

// upset does what rotates shapes of a table.
func (p *property) upset(look, conn *pgx.Conn) {
	t := p.tables[max(0, p.rng.IntN(len(p.tables)+1)-1)] // the partitioned one twice as often
	leaf := -1
	if t.leaves != nil {
		leaf = p.rng.IntN(len(t.leaves))
	}
	switch n := p.rng.IntN(6); {
	case n < 2 && leaf >= 0:
		p.exchange(look, conn, t, leaf)
		return
	case n == 2 && leaf >= 0:
		p.count("new partition")
		n := len(t.leaves)
		p.breaks(t.name) // by an update that comes before its replica identity is set
		name, identity := t.leaf(), ""
		if t.key == nil { // until it is set Postgres refuses updates
			identity = "; ALTER TABLE " + name + " REPLICA IDENTITY FULL"
		}
		p.must(conn, "BEGIN; CREATE TABLE "+name+" PARTITION OF "+t.name+t.of(n)+identity+"; "+t.insertInto(p.rng, 2, t.name, n)+"; "+t.insertInto(p.rng, 2, name, n)+"; COMMIT")
	case n == 3 && leaf >= 0:
		p.count("TRUNCATE of a partition")
		p.breaks(t.name, t.leaves[leaf])
		p.must(conn, "BEGIN; "+t.statement(p.rng)+"; TRUNCATE "+t.leaves[leaf]+"; "+t.insert(p.rng, 5)+"; COMMIT")
	case n < 4:
		p.count("TRUNCATE")
		p.breaks(append(t.leaves, t.name)...)
		p.must(conn, "BEGIN; "+t.statement(p.rng)+"; TRUNCATE "+t.name+"; "+t.insert(p.rng, 5)+"; COMMIT")
	case t.added > 0 && p.rng.IntN(3) > 0:
		p.count("DROP COLUMN")
		p.breaks(append(t.leaves, t.name)...)
		// The table is what it was before the column was added. A client may be led back
		// to a shape of then, if the stream is not there yet, and that one rotates.
		p.breaks(append(t.leaves, t.name)...)
		last := len(t.columns) - 1
		p.must(conn, "ALTER TABLE "+t.name+" DROP COLUMN "+t.columns[last].name)
		t.columns, t.added = t.columns[:last], t.added-1
	default:
		p.count("ADD COLUMN")
		t.added++
		p.breaks(append(t.leaves, t.name)...)
		c := column{quoted(fmt.Sprintf("added%d", len(t.columns))), kinds[p.rng.IntN(len(kinds))]}
		p.must(conn, "ALTER TABLE "+t.name+" ADD COLUMN "+c.name+" "+c.kind.name)
		t.columns = append(t.columns, c)
	}
	p.note(look)
}

// exchange detaches a partition, changes it, and attaches it again. The stream tells
// nothing of it: what the service is to notice is waited for, since until then its
// clients hold what no SELECT returns.
func (p *property) exchange(look, conn *pgx.Conn, t *table, leaf int) {
	name := t.leaves[leaf]
	p.count("exchange")
	p.breaks(t.name, name) // by an update that comes before its replica identity is set
	identity := ""
	if t.key == nil { // until it is set Postgres refuses updates: it may not have been published yet
		identity = "ALTER TABLE " + name + " REPLICA IDENTITY FULL; "
	}
	for _, sql := range []string{
		"ALTER TABLE " + t.name + " DETACH PARTITION " + name,
		t.insertInto(p.rng, 3, name, leaf),
		identity + "ALTER TABLE " + t.name + " ATTACH PARTITION " + name + t.of(leaf),
	} {
		if !strings.HasPrefix(sql, "ALTER") {
			p.must(conn, sql)
			p.note(look)
			continue
		}
		p.breaks(t.name, name)
		old := p.lock(conn, t.name)
		if strings.Contains(sql, "DETACH") {
			// It may have been published in the root's name: the stream tells its shapes
			// nothing of what comes now.
			old = append(old, p.list(name)...)
		}
		p.must(conn, sql+"; COMMIT")
		p.note(look)
		eventually(p.t, 30*time.Second, "shapes to go after "+sql, func() error {
			for _, s := range append(p.list(t.name), p.list(name)...) {
				if slices.ContainsFunc(old, func(o listing) bool { return o.Handle == s.Handle }) {
					return fmt.Errorf("%s is there", s.Handle)
				}
			}
			return nil
		})
	}
}

// lock begins a transaction that keeps others from a table and its partitions, and
// returns all shapes of it, when no shape's first rows are under way: who comes later
// reads them after it.
func (p *property) lock(conn *pgx.Conn, name string) (old []listing) {
	eventually(p.t, 30*time.Second, "no shape to be between", func() error {
		p.must(conn, "BEGIN; LOCK TABLE "+name+" IN ACCESS EXCLUSIVE MODE")
		old = p.list(name)
		for _, s := range p.list("") {
			if s.State == "snapshotting" {
				p.must(conn, "ROLLBACK")
				return fmt.Errorf("%s is snapshotting", s.Handle)
			}
		}
		return nil
	})
	return old
}

// breaks notes that shapes of some tables may rotate.
func (p *property) breaks(sources ...string) {
	for _, w := range p.shapes {
		if slices.Contains(sources, w.source) {
			w.mu.Lock()
			w.breaks++
			w.mu.Unlock()
		}
	}
}

// listing is what the service says of a shape.
type listing struct{ Handle, Table, State string }

// list lists the shapes of a table, or all.
func (p *property) list(source string) (all []listing) {
	var page struct{ Shapes []listing }
	if code, body := get(p.t, p.service.admin+"/shapes"); code != http.StatusOK || json.Unmarshal([]byte(body), &page) != nil {
		p.t.Fatalf("/shapes: %d %s", code, body)
	}
	for _, s := range page.Shapes {
		if source == "" || quoted(s.Table) == source {
			all = append(all, s)
		}
	}
	return all
}
