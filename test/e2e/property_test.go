package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

var (
	propertySeed = flag.Uint64("property-seed", 0, "the property test's only seed; 0: a fixed set")
	propertyRuns = flag.Int("property-runs", 3, "how many seeds from the first on")
)

// TestProperty is the overriding invariant of shapes (shape-semantics §0): random
// tables, shapes, transactions, clients that come at any time, crashes and faults;
// what a client holds at each up-to-date is what SELECT returned at one commit
// boundary, later ones never before earlier ones, and at the end at the last.
//
//	go test ./test/e2e -run TestProperty -property-seed=7
func TestProperty(t *testing.T) {
	t.Parallel()
	first, runs := uint64(1), *propertyRuns
	if *propertySeed != 0 {
		first, runs = *propertySeed, 1
	}
	for n := range uint64(runs) {
		t.Run(fmt.Sprintf("seed=%d", first+n), func(t *testing.T) {
			t.Parallel()
			newProperty(t, first+n).run()
		})
	}
}

// property is one run.
type property struct {
	t       *testing.T
	rng     *rand.Rand
	db      *pgtest.DB
	service *service
	tables  []*table
	shapes  []*watched
	done    chan struct{} // closed after the last commit
	clients sync.WaitGroup
}

// watched is a shape with the states that it went through.
type watched struct {
	table   *table
	params  []string
	columns []string // quoted; none: all
	where   string
	breaks  int // what may have rotated it

	mu     sync.Mutex
	states []string
}

func newProperty(t *testing.T, seed uint64) *property {
	p := &property{t: t, rng: rand.New(rand.NewPCG(seed, 1)), db: pgtest.New(t), done: make(chan struct{})}
	// What the service says must not depend on it.
	p.db.Exec(fmt.Sprintf("ALTER DATABASE %s SET TimeZone = 'Asia/Kolkata'; ALTER DATABASE %[1]s SET DateStyle = 'SQL, MDY'; ALTER DATABASE %[1]s SET extra_float_digits = 0", p.db.Value("SELECT quote_ident(current_database())")))
	for n := range 2 {
		table := randomTable(p.rng, n)
		p.db.Exec(table.create())
		p.db.Exec(table.insert(p.rng, 30))
		p.tables = append(p.tables, table)
	}
	p.service = newFaulty(t, p.db.URL)
	for range 6 {
		table := p.tables[p.rng.IntN(len(p.tables))]
		w := &watched{table: table}
		w.params, w.columns = table.randomShape(p.rng)
		if i := slices.Index(w.params, "where"); i >= 0 {
			w.where = " WHERE " + w.params[i+1]
		}
		p.shapes = append(p.shapes, w)
	}
	return p
}

// read is what SELECT returns now, in the form of stateOf.
func (w *watched) read(ctx context.Context, conn *pgx.Conn) (string, error) {
	names := w.columns
	if names == nil {
		names = w.table.names()
	}
	results, err := conn.PgConn().Exec(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+w.table.name+w.where).ReadAll()
	if err != nil {
		return "", fmt.Errorf("read %v: %w", w.params, err)
	}
	rows := make(map[string]map[string]*string)
	for n, r := range results[0].Rows {
		row := make(map[string]*string)
		for i, v := range r {
			var text *string
			if v != nil {
				s := string(v)
				text = &s
			}
			row[string(results[0].FieldDescriptions[i].Name)] = text
		}
		rows[fmt.Sprint(n)] = row
	}
	return stateOf(rows), nil
}

// note records the states after a commit.
func (p *property) note(conn *pgx.Conn) {
	p.t.Helper()
	for _, w := range p.shapes {
		s, err := w.read(p.t.Context(), conn)
		if err != nil {
			p.t.Fatal(err)
		}
		w.mu.Lock()
		w.states = append(w.states, s)
		w.mu.Unlock()
	}
}

// session is a connection with the settings that a client's text follows from.
func (p *property) session() *pgx.Conn {
	conn := p.db.Conn()
	p.must(conn, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET extra_float_digits = 1")
	return conn
}

func (p *property) must(conn *pgx.Conn, sql string) {
	p.t.Helper()
	if err := p.try(conn, sql); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
}

func (p *property) try(conn *pgx.Conn, sql string) error {
	_, err := conn.PgConn().Exec(p.t.Context(), sql).ReadAll()
	return err
}

func (p *property) run() {
	look, one, two := p.session(), p.session(), p.session()
	p.must(two, "SET lock_timeout = '100ms'")
	p.note(look)
	for _, w := range p.shapes {
		p.join(w)
	}
	for n := range 40 {
		p.round(look, one, two)
		switch p.rng.IntN(12) {
		case 0:
			p.service.kill()
			p.service.start()
		case 1:
			p.fault()
		case 2:
			p.join(p.shapes[p.rng.IntN(len(p.shapes))])
		case 3:
			if n%2 == 0 {
				p.upset(look, one)
			}
		}
	}
	close(p.done)
	p.clients.Wait()
}

// round is one transaction, or two of which one goes on over the other's commit.
func (p *property) round(look, one, two *pgx.Conn) {
	p.must(one, "BEGIN; "+p.statements(1+p.rng.IntN(4)))
	if p.rng.IntN(3) == 0 {
		// It may wait for rows of the other's, and then it is given up.
		if p.try(two, "BEGIN; "+p.statements(1+p.rng.IntN(3))) == nil {
			p.must(two, "COMMIT")
			p.note(look)
		} else {
			p.must(two, "ROLLBACK")
		}
		if p.rng.IntN(2) == 0 {
			// What comes now may want a row that the other has changed: it waits for nobody.
			p.must(one, p.tables[0].insert(p.rng, 2))
		}
	}
	if p.rng.IntN(5) == 0 {
		p.must(one, "ROLLBACK")
		return
	}
	p.must(one, "COMMIT")
	p.note(look)
}

func (p *property) statements(n int) string {
	var all []string
	for range n {
		t := p.tables[p.rng.IntN(len(p.tables))]
		s := t.statement(p.rng)
		switch p.rng.IntN(8) {
		case 0:
			s = "SAVEPOINT a; " + s + "; ROLLBACK TO a"
		case 1:
			s = "SAVEPOINT a; " + s + "; RELEASE a"
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// upset does what rotates shapes of a table.
func (p *property) upset(look, conn *pgx.Conn) {
	t := p.tables[p.rng.IntN(len(p.tables))]
	for _, w := range p.shapes {
		if w.table == t {
			w.mu.Lock()
			w.breaks++
			w.mu.Unlock()
		}
	}
	if p.rng.IntN(2) == 0 {
		p.must(conn, "BEGIN; "+t.statement(p.rng)+"; TRUNCATE "+t.name+"; "+t.insert(p.rng, 5)+"; COMMIT")
	} else {
		c := column{quoted(fmt.Sprintf("added%d", len(t.columns))), kinds[p.rng.IntN(len(kinds))]}
		p.must(conn, "ALTER TABLE "+t.name+" ADD COLUMN "+c.name+" "+c.kind.name)
		t.columns = append(t.columns, c)
	}
	p.note(look)
}

// fault makes one consumer fail once.
func (p *property) fault() {
	var page struct {
		Shapes []struct{ Handle, State string }
	}
	if code, body := get(p.t, p.service.admin+"/shapes"); code != http.StatusOK || json.Unmarshal([]byte(body), &page) != nil {
		p.t.Fatalf("/shapes: %d %s", code, body)
	}
	for _, s := range page.Shapes {
		if s.State == "live" {
			p.service.fault(`{"fault":%q,"shape":%q,"times":1,"for":"2s"}`, []string{"block", "panic", "spin"}[p.rng.IntN(3)], s.Handle)
			return
		}
	}
}

// join lets another client follow a shape from now on.
func (p *property) join(w *watched) {
	f := newFollower(p.service.url, w.params...)
	p.clients.Go(func() {
		if err := p.follow(w, f); err != nil {
			p.t.Errorf("a client of %v: %v", w.params, err)
		}
	})
}

// follow reads until it holds the last state, and checks what it held on the way.
// Its first one may be older than the newest when it came: the stream takes a moment.
func (p *property) follow(w *watched, f *follower) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	var seen []string
	var ended time.Time
	for {
		select {
		case <-p.done:
			if ended.IsZero() {
				ended = time.Now()
			}
		default:
		}
		upToDate, err := f.step(ctx)
		if _, again := err.(*passing); again && ctx.Err() == nil {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			return err
		}
		states, may := w.history()
		if f.rotations > may { // what rotates a shape may come to it after the client
			return fmt.Errorf("%d rotations, %d had a reason", f.rotations, may)
		}
		if !upToDate {
			continue
		}
		if held := stateOf(f.rows); len(seen) == 0 || held != seen[len(seen)-1] {
			seen = append(seen, held)
		}
		last := states[len(states)-1]
		switch {
		case ended.IsZero():
		case seen[len(seen)-1] == last:
			return inOrder(states, seen)
		case time.Since(ended) > 40*time.Second:
			return fmt.Errorf("it holds\n%.2000s\nand SELECT returns\n%.2000s", seen[len(seen)-1], last)
		}
	}
}

func (w *watched) history() (states []string, breaks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states, w.breaks
}

// inOrder checks that what was seen are states in their order. Some may have been
// left out.
func inOrder(states, seen []string) error {
	at := 0
	for n, s := range seen {
		i := slices.Index(states[at:], s)
		if i < 0 {
			return fmt.Errorf("its state %d of %d is none that SELECT returned from state %d of %d on; %s", n, len(seen), at, len(states), nearest(states, s))
		}
		at += i
	}
	return nil
}

// nearest says how a state differs from the one that is most like it.
func nearest(states []string, s string) string {
	best := ""
	for n, x := range states {
		var diff []string
		has, had := strings.Split(s, "\n"), strings.Split(x, "\n")
		for _, line := range has {
			if !slices.Contains(had, line) {
				diff = append(diff, "+ "+line)
			}
		}
		for _, line := range had {
			if !slices.Contains(has, line) {
				diff = append(diff, "- "+line)
			}
		}
		if text := strings.Join(diff, "\n"); n == 0 || len(text) < len(best) {
			best = fmt.Sprintf("the nearest is %d:\n%s", n, text)
		}
	}
	return fmt.Sprintf("%.3000s", best)
}
