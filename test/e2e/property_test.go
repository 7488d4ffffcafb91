package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
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
	all := &happened{times: make(map[string]int)}
	t.Cleanup(func() { all.told(t) })
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			if *propertyFor == 0 {
				t.Parallel()
			}
			newProperty(t, seed, all).run()
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
	harm    harm
	*happened
}

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

func newProperty(t *testing.T, seed uint64, all *happened) *property {
	p := &property{t: t, happened: all, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, db: pgtest.New(t), done: make(chan struct{})}
	// What the service says must not depend on it.
	p.db.Exec(fmt.Sprintf("ALTER DATABASE %s SET TimeZone = 'Asia/Kolkata'; ALTER DATABASE %[1]s SET DateStyle = 'SQL, MDY'; ALTER DATABASE %[1]s SET extra_float_digits = 0", p.db.Value("SELECT quote_ident(current_database())")))
	p.db.Exec(moodType)
	for n := range 3 {
		table := randomTable(p.rng, n, n == 0)
		p.db.Exec(table.create(p.rng))
		p.db.Exec(table.insert(p.rng, 30))
		p.tables = append(p.tables, table)
	}
	p.service = newFaulty(t, p.db.URL, "SPILLWAY_AUDIT_EVERY=100ms", "SPILLWAY_SSE_TIMEOUT=1s")
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
	for range 40 {
		p.round(look, one, two)
		switch p.rng.IntN(12) {
		case 0:
			p.crash()
		case 1:
			p.fault()
		case 2:
			p.join(p.shapes[p.rng.IntN(len(p.shapes))])
		case 3:
			if p.rng.IntN(2) == 0 {
				p.fault() // a worker is replaced while shapes go
			}
			p.upset(look, one)
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
			p.count("commit within a transaction")
		} else {
			p.must(two, "ROLLBACK")
			p.count("lock not granted")
		}
		if p.rng.IntN(2) == 0 {
			// What comes now may want a row that the other has changed: it waits for nobody.
			p.must(one, p.tables[0].insert(p.rng, 2))
		}
	}
	if p.rng.IntN(5) == 0 {
		p.must(one, "ROLLBACK")
		p.count("rollback")
		return
	}
	p.must(one, "COMMIT")
	p.count("commit")
	p.note(look)
}

func (p *property) statements(n int) string {
	var all []string
	for range n {
		t := p.tables[p.rng.IntN(len(p.tables))]
		s := t.statement(p.rng)
		if p.rng.IntN(20) == 0 {
			s = t.much(p.rng)
			p.count("large transaction")
			if t.key == nil { // docs/shapes.md: what comes and goes in one cannot be told
				p.breaks(append(t.leaves, t.name)...)
			}
		}
		switch p.rng.IntN(8) {
		case 0:
			s = "SAVEPOINT a; " + s + "; ROLLBACK TO a"
			p.count("rollback to a savepoint")
		case 1:
			s = "SAVEPOINT a; " + s + "; RELEASE a"
			p.count("savepoint")
		}
		for _, w := range []string{"SET id = id +", "SET part =", "SET id = id ", "DELETE"} {
			if strings.Contains(s, w) {
				p.count(w)
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// join lets another client follow a shape from now on.
func (p *property) join(w *watched) {
	p.came++
	c := &propertyClient{w: w, f: newFollower(p.service.url, w.params...), rng: rand.New(rand.NewPCG(p.seed, 1+p.came)), done: p.done, harm: &p.harm, compared: func() { p.count("up-to-date") }}
	c.f.take = c.take
	c.f.events = c.rng.IntN(3) == 0
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

	harm     *harm
	compared func()
	before   int64 // crashes that were over when the client began with this log
	excused  int
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
				c.f.leave() // a stream says nothing while nothing happens
				c.f.events = false
			}
		default:
		}
		rotations, handle := c.f.rotations, c.f.handle
		upToDate, err := c.f.step(ctx)
		if c.f.rotations > rotations {
			if c.harm.excuses(handle, c.before) {
				c.excused++
			}
			c.before = c.harm.over.Load()
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
			return fmt.Errorf("%d rotations, %d had a reason; the last was of %s", n, may, handle)
		}
		if c.away || upToDate && c.rng.IntN(10) == 0 {
			c.goAway(ctx)
		}
		if !upToDate {
			continue
		}
		holds := whatHolds(c.f, c.w.table.key)
		c.compared()
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
