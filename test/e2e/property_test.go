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
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

var (
	propertySeed = flag.Uint64("property-seed", 0, "the property test's only seed; 0: a fixed set")
	propertyRuns = flag.Int("property-runs", 3, "how many seeds from the first on")
	propertyFor  = flag.Duration("property-for", 0, "random seeds for so long instead, at least one")
)

// TestProperty is the overriding invariant of shapes (shape-semantics §0): random
// tables, some partitioned, shapes, transactions, clients that come, go and come back
// at any time, crashes and faults; what a client holds at each up-to-date is what SELECT
// returned at one commit boundary, later ones never before earlier ones, and at the end
// at the last.
//
//	go test ./test/e2e -run TestProperty -property-seed=7
func TestProperty(t *testing.T) {
	t.Parallel()
	seeds := func(yield func(uint64) bool) {
		switch {
		case *propertySeed != 0:
			yield(*propertySeed)
		case *propertyFor != 0:
			for began := time.Now(); yield(rand.Uint64()) && time.Since(began) < *propertyFor && !t.Failed(); {
			}
		default:
			for n := range uint64(*propertyRuns) {
				yield(n + 1)
			}
		}
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			if *propertyFor == 0 {
				t.Parallel()
			}
			newProperty(t, seed).run()
		})
	}
}

// property is one run.
type property struct {
	t       *testing.T
	rng     *rand.Rand
	seed    uint64
	db      *pgtest.DB
	service *service
	tables  []*table
	shapes  []*watched
	done    chan struct{} // closed after the last commit
	clients sync.WaitGroup
	came    uint64 // clients so far
	crashes crashes
}

// crashes counts those that began, and those after which the service is back.
type crashes struct{ began, over atomic.Int64 }

// watched is a shape with the states that it went through.
type watched struct {
	table   *table
	source  string // the table or a partition of it, quoted
	params  []string
	columns []string // quoted; none: all
	where   string

	mu     sync.Mutex
	breaks int // what may have rotated it
	states []*state
	news   chan struct{} // closed when a state is added
}

func newProperty(t *testing.T, seed uint64) *property {
	p := &property{t: t, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, db: pgtest.New(t), done: make(chan struct{})}
	// What the service says must not depend on it.
	p.db.Exec(fmt.Sprintf("ALTER DATABASE %s SET TimeZone = 'Asia/Kolkata'; ALTER DATABASE %[1]s SET DateStyle = 'SQL, MDY'; ALTER DATABASE %[1]s SET extra_float_digits = 0", p.db.Value("SELECT quote_ident(current_database())")))
	p.db.Exec(moodType)
	for n := range 3 {
		table := randomTable(p.rng, n, n == 0)
		p.db.Exec(table.create(p.rng))
		p.db.Exec(table.insert(p.rng, 30))
		p.tables = append(p.tables, table)
	}
	p.service = newFaulty(t, p.db.URL, "SPILLWAY_AUDIT_EVERY=100ms")
	for n := range 8 {
		table := p.tables[n%len(p.tables)]
		w := &watched{table: table, news: make(chan struct{})}
		w.params, w.columns = table.randomShape(p.rng)
		w.source = w.params[1]
		if i := slices.Index(w.params, "where"); i >= 0 {
			w.where = " WHERE " + w.params[i+1]
		}
		p.shapes = append(p.shapes, w)
	}
	return p
}

// read is what SELECT returns now.
func (w *watched) read(ctx context.Context, conn *pgx.Conn) (*state, error) {
	names := w.columns
	if names == nil {
		names = w.table.names()
	}
	results, err := conn.PgConn().Exec(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+w.source+w.where).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %v: %w", w.params, err)
	}
	var rows []map[string]*string
	for _, r := range results[0].Rows {
		row := make(map[string]*string)
		for i, v := range r {
			var text *string
			if v != nil {
				s := string(v)
				text = &s
			}
			row[string(results[0].FieldDescriptions[i].Name)] = text
		}
		rows = append(rows, row)
	}
	return newState(rows, w.table.key), nil
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
		close(w.news)
		w.news = make(chan struct{})
		w.mu.Unlock()
	}
}

// session is a connection with the settings that a client's text follows from.
func (p *property) session() *pgx.Conn {
	conn := p.db.Conn()
	p.must(conn, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'")
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
			p.crashes.began.Add(1)
			p.service.kill()
			p.service.start()
			p.crashes.over.Add(1)
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
	leaf := -1
	if t.leaves != nil {
		leaf = p.rng.IntN(len(t.leaves))
	}
	switch n := p.rng.IntN(6); {
	case n < 2 && leaf >= 0:
		p.exchange(look, conn, t, leaf)
		return
	case n == 2 && leaf >= 0:
		n := len(t.leaves)
		p.breaks(t.name) // by an update that comes before its replica identity is set
		name, identity := t.leaf(), ""
		if t.key == nil { // until it is set Postgres refuses updates
			identity = "; ALTER TABLE " + name + " REPLICA IDENTITY FULL"
		}
		p.must(conn, "BEGIN; CREATE TABLE "+name+" PARTITION OF "+t.name+t.of(n)+identity+"; "+t.insertInto(p.rng, 2, t.name, n)+"; "+t.insertInto(p.rng, 2, name, n)+"; COMMIT")
	case n == 3 && leaf >= 0:
		p.breaks(t.name, t.leaves[leaf])
		p.must(conn, "BEGIN; "+t.statement(p.rng)+"; TRUNCATE "+t.leaves[leaf]+"; "+t.insert(p.rng, 5)+"; COMMIT")
	case n < 5:
		p.breaks(append(t.leaves, t.name)...)
		p.must(conn, "BEGIN; "+t.statement(p.rng)+"; TRUNCATE "+t.name+"; "+t.insert(p.rng, 5)+"; COMMIT")
	default:
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
	for _, sql := range []string{
		"ALTER TABLE " + t.name + " DETACH PARTITION " + name,
		t.insertInto(p.rng, 3, name, leaf),
		"ALTER TABLE " + t.name + " ATTACH PARTITION " + name + t.of(leaf),
	} {
		if !strings.HasPrefix(sql, "ALTER") {
			p.must(conn, sql)
			p.note(look)
			continue
		}
		p.breaks(t.name, name)
		old := p.lock(conn, t)
		p.must(conn, sql+"; COMMIT")
		p.note(look)
		eventually(p.t, 30*time.Second, "shapes to go after "+sql, func() error {
			for _, s := range p.list(t.name) {
				if slices.Contains(old, s) {
					return fmt.Errorf("%s is there", s.Handle)
				}
			}
			return nil
		})
	}
}

// lock begins a transaction that keeps others from the table, and returns all shapes
// that have read their first rows before: who comes later reads them after it.
func (p *property) lock(conn *pgx.Conn, t *table) (old []listing) {
	eventually(p.t, 30*time.Second, "no shape to be between", func() error {
		p.must(conn, "BEGIN; LOCK TABLE "+t.name+" IN ACCESS EXCLUSIVE MODE")
		old = p.list(t.name)
		for _, s := range old {
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

// fault makes one consumer fail once.
func (p *property) fault() {
	for _, s := range p.list("") {
		if s.State == "live" {
			// It may have been given up since.
			body := fmt.Sprintf(`{"fault":%q,"shape":%q,"times":1,"for":"2s"}`, []string{"block", "panic", "spin"}[p.rng.IntN(3)], s.Handle)
			if code := p.service.chaos(http.MethodPost, "", body, new(any)); code != http.StatusOK && code != http.StatusBadRequest {
				p.t.Fatalf("%s: %d", body, code)
			}
			return
		}
	}
}

// join lets another client follow a shape from now on.
func (p *property) join(w *watched) {
	p.came++
	c := &propertyClient{w: w, f: newFollower(p.service.url, w.params...), rng: rand.New(rand.NewPCG(p.seed, 1+p.came)), done: p.done, crashes: &p.crashes}
	c.f.take = c.take
	p.clients.Go(func() {
		if err := c.follow(p.t.Context()); err != nil && p.t.Context().Err() == nil {
			p.t.Errorf("a client of %v: %v", w.params, err)
		}
	})
}

// propertyClient is one that may go away at any place and come back there.
type propertyClient struct {
	w    *watched
	f    *follower
	rng  *rand.Rand
	done chan struct{}
	away bool // it has gone in the middle of an answer

	// A shape does not survive a crash before its first rows are complete, which is
	// durable a moment after the first up-to-date.
	crashes *crashes
	before  int64 // crashes that were over when the client began with this log
	whole   int   // how often the log has been up to date
	excused int
}

// take makes the client go after a change, now and then.
func (c *propertyClient) take(of []message) int {
	if len(of) == 0 || c.rng.IntN(4) > 0 {
		return len(of)
	}
	if n := 1 + c.rng.IntN(len(of)); of[n-1].Headers.LSN != "" {
		c.away = true
		return n
	}
	return len(of)
}

// goAway leaves the shape alone for some commits.
func (c *propertyClient) goAway(ctx context.Context) {
	c.away = false
	c.f.leave()
	for range c.rng.IntN(8) {
		c.w.mu.Lock()
		news := c.w.news
		c.w.mu.Unlock()
		select {
		case <-news:
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// follow reads until it holds the last state, and checks what it held on the way.
// Its first one may be older than the newest when it came: the stream takes a moment.
func (c *propertyClient) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var seen []view
	var ended time.Time
	for {
		select {
		case <-c.done:
			if ended.IsZero() {
				ended = time.Now()
			}
		default:
		}
		rotations := c.f.rotations
		upToDate, err := c.f.step(ctx)
		if c.f.rotations > rotations {
			if c.whole < 2 && c.crashes.began.Load() > c.before {
				c.excused++
			}
			c.before, c.whole = c.crashes.over.Load(), 0
		}
		if upToDate {
			c.whole++
		}
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
		states, may := c.w.history()
		if n := c.f.rotations - c.excused; n > may { // what rotates a shape may come to it after the client
			return fmt.Errorf("%d rotations, %d had a reason", n, may)
		}
		if c.away || upToDate && c.rng.IntN(10) == 0 {
			c.goAway(ctx)
		}
		if !upToDate {
			continue
		}
		holds := whatHolds(c.f, c.w.table.key)
		if len(seen) == 0 || holds.String() != seen[len(seen)-1].String() {
			seen = append(seen, holds)
		}
		last := states[len(states)-1]
		switch {
		case ended.IsZero():
		case holds.fits(last):
			return inOrder(states, seen)
		case time.Since(ended) > 40*time.Second:
			return fmt.Errorf("it holds\n%.2000s\nand SELECT returns\n%.2000s", holds, last.text)
		}
	}
}

func (w *watched) history() (states []*state, breaks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states, w.breaks
}

// inOrder checks that what was seen are states in their order. Some may have been
// left out.
func inOrder(states []*state, seen []view) error {
	at := 0
	for n, h := range seen {
		i := slices.IndexFunc(states[at:], h.fits)
		if i < 0 {
			return fmt.Errorf("its state %d of %d is none that SELECT returned from state %d of %d on; %s", n, len(seen), at, len(states), nearest(states, h))
		}
		at += i
	}
	return nil
}

// nearest says how a state differs from the one that is most like it.
func nearest(states []*state, h view) string {
	best := ""
	for n, x := range states {
		diff := h.against(x)
		slices.Sort(diff)
		if text := strings.Join(diff, "\n"); n == 0 || len(text) < len(best) {
			best = fmt.Sprintf("the nearest is %d:\n%s", n, text)
		}
	}
	return fmt.Sprintf("%.3000s", best)
}
