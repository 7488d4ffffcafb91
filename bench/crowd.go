package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// crowdLess is how many shapes there are of the kinds that are not equality.
const crowdLess = 10_000

// crowdAsked is how many shapes of a kind clients ask for; the rest is written into
// the data directory (seed).
const crowdAsked = 20_000

// pace is what an application with many users writes: single-row transactions a second.
// It is measured for so long that everything that comes from time to time has its share
// of what a change costs: garbage collections, which come every two minutes at the latest,
// looks at all tables, and compactions, one of which comes with twelve flushes of 30 s.
const (
	pace         = 1_000
	pacedChanges = 6 * 60 * pace
)

// idleFor has one of the garbage collections that come when nothing else calls for one.
const idleFor = 2 * time.Minute

// crowd measures what a change costs when there are many shapes on its table. The
// yardstick is a table with one shape.
func (r *run) crowd(ctx context.Context) error {
	if err := r.restart(ctx, "crowd"); err != nil {
		return err
	}
	alone := &kind{name: "alone", where: "owner = %d", shapes: 1}
	if err := r.make(ctx, alone); err != nil {
		return err
	}
	var first costs
	for range rounds {
		if err := r.measureOne(ctx, &first, alone, "0"); err != nil {
			return err
		}
	}
	alonePaced, err := r.pacedOne(ctx, alone, "0")
	if err != nil {
		return err
	}
	aloneIdle, err := r.idle(ctx)
	if err != nil {
		return err
	}
	for _, k := range []*kind{
		{name: "equal", where: "owner = %d", shapes: r.shapes},
		{name: "list", where: "owner IN (%[1]d, %[1]d + 1000000)", shapes: crowdLess},
		{name: "span", where: "owner BETWEEN %[1]d AND %[1]d", shapes: crowdLess},
		{name: "element", where: "tags @> '{t%d}'", shapes: crowdLess},
		{name: "pattern", where: "note ILIKE '%%<%d>%%'", shapes: crowdLess},
	} {
		if err := r.make(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if err := r.measure(ctx, k, alone); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		what := fmt.Sprintf("%d shapes `%s`: a change, its row ", k.shapes, fmt.Sprintf(k.where, 7))
		theirs := first.median()
		for _, m := range []struct {
			whose string
			cost  cost
		}{{"always of the same", k.same}, {"of any", k.any}, {"of the only shape of another table", k.alone}} {
			row(what+m.whose, m.cost.String()+" of CPU", theirs.String()+" with one shape in all", m.cost.against(theirs))
		}
		row("– creating them, 16 at a time; memory of the process", fmt.Sprintf("%.0f shapes/s; %d MiB", k.rate, k.memory>>20), "–", "–")
		if k.name == "equal" {
			if err := r.paced(ctx, k, alonePaced, aloneIdle); err != nil {
				return err
			}
		}
	}
	if err := r.firstGet(ctx); err != nil {
		return err
	}
	return r.comeBack(ctx)
}

// kind is one kind of clause and what was measured with many of it.
type kind struct {
	name, where string
	shapes      int

	rate             float64 // creations a second
	alone, same, any cost
	memory           int64
}

// cost is the CPU time of the service for one single-row transaction. garbage is its
// part of the next garbage collection, by what it allocates: with many shapes these are
// so long and so rare that it is chance which change meets one.
type cost struct{ time, garbage time.Duration }

func (c cost) String() string {
	return fmt.Sprintf("%.1f + %.1f µs", float64(c.time)/1e3, float64(c.garbage)/1e3)
}

func (c cost) against(other cost) string {
	return fmt.Sprintf("%.2f", ratio(c.time+c.garbage, other.time+other.garbage))
}

func (k *kind) table() string { return "crowd_" + k.name }

func (k *kind) walk(n int) *walker {
	return walk("table", k.table(), "where", fmt.Sprintf(k.where, n))
}

// make makes the table and the shapes of a kind.
func (r *run) make(ctx context.Context, k *kind) error {
	if err := r.exec(ctx, fmt.Sprintf(`CREATE TABLE %s (id bigserial PRIMARY KEY, owner int, tags text[], note text); CREATE INDEX ON %[1]s (owner)`, k.table())); err != nil {
		return err
	}
	asked := min(k.shapes, crowdAsked)
	began := time.Now()
	if err := each(asked, func(n int) error {
		_, err := k.walk(n).step(ctx, nil)
		return err
	}); err != nil {
		return err
	}
	k.rate = float64(asked) / time.Since(began).Seconds()
	if asked < k.shapes {
		if err := r.svc.stop(); err != nil {
			return err
		}
		if err := r.seed("crowd", k, asked); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
		var err error
		if r.svc, err = r.start(ctx, "crowd"); err != nil {
			return err
		}
	}
	var err error
	k.memory, err = r.svc.memory()
	return err
}

// measure takes the kind and the table with one shape in turns, as the machine
// is not the same for the hour that a million creations take.
func (r *run) measure(ctx context.Context, k, alone *kind) error {
	var beside, same, any costs
	for range rounds {
		for _, m := range []struct {
			costs *costs
			of    *kind
			owner string
		}{
			{&beside, alone, "0"},
			{&same, k, "0"},
			{&any, k, fmt.Sprintf("(random() * %d)::int", k.shapes-1)},
		} {
			if err := r.measureOne(ctx, m.costs, m.of, m.owner); err != nil {
				return err
			}
		}
	}
	k.alone, k.same, k.any = beside.median(), same.median(), any.median()
	return nil
}

// costs are the rounds of one measure.
type costs struct{ times, garbage []time.Duration }

func (c *costs) median() cost { return cost{median(c.times), median(c.garbage)} }

func (r *run) measureOne(ctx context.Context, to *costs, k *kind, owner string) error {
	return r.collected(ctx, to, func() (taken, error) { return r.perChange(ctx, k, owner) })
}

// collected begins with an empty heap, so that no collection falls into the round, and
// adds what the one before it took, in proportion.
func (r *run) collected(ctx context.Context, to *costs, measure func() (taken, error)) error {
	before := r.svc.cpu()
	room, err := r.svc.collect(ctx)
	if err != nil {
		return err
	}
	collection := r.svc.cpu() - before
	c, err := measure()
	if err != nil {
		return err
	}
	to.times = append(to.times, c.time)
	to.garbage = append(to.garbage, time.Duration(float64(collection)*c.allocated/room))
	return nil
}

// taken is one round of one measure, for one change.
type taken struct {
	time      time.Duration
	allocated float64 // bytes
}

// perChange is the cost of a change when the service has more of them waiting than it
// can take.
func (r *run) perChange(ctx context.Context, k *kind, owner string) (taken, error) {
	return r.perChangeOf(ctx, k, owner, r.txns/10, func(n int, insert string) error {
		return r.exec(ctx, fmt.Sprintf(`DO $$ BEGIN FOR n IN 1..%d LOOP %s; COMMIT; END LOOP; END $$`, n, insert))
	})
}

// perChangeOf has single-row transactions written.
func (r *run) perChangeOf(ctx context.Context, k *kind, owner string, changes int, write func(n int, insert string) error) (taken, error) {
	insert := fmt.Sprintf(`INSERT INTO %s (owner, tags, note) SELECT o, ARRAY['t' || o], 'a note <' || o || '> of some length' FROM (SELECT %%s AS o) x`, k.table())
	// The client goes before the measure begins: what it costs is not this bench's question.
	if err := k.walk(0).all(ctx); err != nil {
		return taken{}, err
	}
	allocated, err := metric(ctx, "go_memstats_alloc_bytes_total")
	if err != nil {
		return taken{}, err
	}
	before := r.svc.cpu()
	if err := write(changes-1, fmt.Sprintf(insert, owner)); err != nil {
		return taken{}, err
	}
	var end string
	if err := r.db.QueryRow(ctx, fmt.Sprintf(insert, "0")+` RETURNING pg_current_wal_insert_lsn()::text`).Scan(&end); err != nil {
		return taken{}, err
	}
	if err := r.applied(ctx, end); err != nil {
		return taken{}, err
	}
	took := r.svc.cpu() - before
	after, err := metric(ctx, "go_memstats_alloc_bytes_total")
	return taken{took / time.Duration(changes), (after - allocated) / float64(changes)}, err
}

// paced is the cost of a change when they come one by one: each is taken, written and
// made readable alone, as it is with one shape. theirs and idle are with one shape in all.
func (r *run) paced(ctx context.Context, many *kind, theirs, idle time.Duration) error {
	ours := make([]time.Duration, 2)
	for i, owner := range []string{"0", fmt.Sprintf("(random() * %d)::int", many.shapes-1)} {
		var err error
		if ours[i], err = r.pacedOne(ctx, many, owner); err != nil {
			return err
		}
	}
	rest, err := r.idle(ctx)
	if err != nil {
		return err
	}
	us := func(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }
	row(fmt.Sprintf("%d shapes: CPU of a millisecond without changes", many.shapes), us(rest), us(idle)+" with one shape in all", fmt.Sprintf("%.2f", ratio(rest, idle)))
	for i, whose := range []string{"always of the same", "of any"} {
		row(fmt.Sprintf("%d shapes, %d changes a second: CPU of a change, its row %s; and above that without changes", many.shapes, pace, whose),
			us(ours[i])+"; "+us(ours[i]-rest), us(theirs)+"; "+us(theirs-idle)+" with one shape in all",
			fmt.Sprintf("%.2f; %.2f", ratio(ours[i], theirs), ratio(ours[i]-rest, theirs-idle)))
	}
	return nil
}

// pacedOne has all collections in it.
func (r *run) pacedOne(ctx context.Context, k *kind, owner string) (time.Duration, error) {
	t, err := r.perChangeOf(ctx, k, owner, pacedChanges, func(n int, insert string) error { return r.atPace(ctx, n, insert) })
	return t.time, err
}

// idle is the CPU time of the service in 1/pace of a second, when there is nothing to do.
func (r *run) idle(ctx context.Context) (time.Duration, error) {
	before := r.svc.cpu()
	select {
	case <-time.After(idleFor):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return (r.svc.cpu() - before) / (idleFor / (time.Second / pace)), nil
}

func (r *run) atPace(ctx context.Context, n int, statement string) error {
	began := time.Now()
	for k := range n {
		if err := r.exec(ctx, statement); err != nil {
			return err
		}
		time.Sleep(time.Until(began.Add(time.Duration(k) * time.Second / pace)))
	}
	return nil
}

// applied waits until the service has applied what lies before an LSN.
func (r *run) applied(ctx context.Context, lsn string) error {
	for limit := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		st, err := fetchStatus(ctx)
		if err != nil {
			return err
		}
		at, err := wal.ParseLSN(st.Positions.Applied)
		if err != nil {
			return err
		}
		end, err := wal.ParseLSN(lsn)
		if err != nil || at >= end {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("applied up to %s in five minutes; %s is the end", at, lsn)
		}
	}
}

// each runs do for 0 to n-1, 16 at a time.
func each(n int, do func(int) error) error {
	var next atomic.Int64
	ended := make(chan error, 16)
	for range cap(ended) {
		go func() {
			var err error
			for k := next.Add(1) - 1; int(k) < n && err == nil; k = next.Add(1) - 1 {
				err = do(int(k))
			}
			ended <- err
		}()
	}
	var err error
	for range cap(ended) {
		err = join(err, <-ended)
	}
	return err
}

// firstGet is the time of the first request for a shape, against that of its
// query.
func (r *run) firstGet(ctx context.Context) error {
	const fresh, rows = 300, 100
	if err := r.exec(ctx, fmt.Sprintf(`CREATE TABLE fresh (id bigserial PRIMARY KEY, owner int, note text); CREATE INDEX ON fresh (owner);
		INSERT INTO fresh (owner, note) SELECT i / %d, 'a note of some length' FROM generate_series(0, %d) i; ANALYZE fresh`, rows, rows*fresh-1)); err != nil {
		return err
	}
	var ours, theirs []time.Duration
	for n := range fresh {
		began := time.Now()
		if _, err := r.db.Exec(ctx, fmt.Sprintf("SELECT * FROM fresh WHERE owner = %d", n)); err != nil {
			return err
		}
		theirs = append(theirs, time.Since(began))
		w := walk("table", "fresh", "where", fmt.Sprintf("owner = %d", n))
		began = time.Now()
		if _, err := w.step(ctx, nil); err != nil {
			return err
		}
		if ours = append(ours, time.Since(began)); w.messages != rows {
			return fmt.Errorf("a first answer has %d rows", w.messages)
		}
	}
	row(fmt.Sprintf("the first GET of a new shape of %d rows, p50", rows), ms(median(ours))+" ms", "its SELECT alone: "+ms(median(theirs))+" ms", fmt.Sprintf("%.1f", ratio(median(ours), median(theirs))))
	return nil
}

// comeBack is the time from the start of the process to its readiness, with all
// these shapes; the yardstick is a start with none.
func (r *run) comeBack(ctx context.Context) error {
	if err := r.svc.stop(); err != nil {
		return err
	}
	began := time.Now()
	var err error
	if r.svc, err = r.start(ctx, "crowd"); err != nil {
		return err
	}
	took := time.Since(began)
	if err := r.restart(ctx, "empty"); err != nil {
		return err
	}
	if err := r.svc.stop(); err != nil {
		return err
	}
	began = time.Now()
	if r.svc, err = r.start(ctx, "empty"); err != nil {
		return err
	}
	empty := time.Since(began)
	row(fmt.Sprintf("start with %d shapes until active", r.shapes+4*crowdLess+301), fmt.Sprintf("%.2f s", took.Seconds()), fmt.Sprintf("with none: %.2f s", empty.Seconds()), "–")
	return nil
}
