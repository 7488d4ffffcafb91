package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	faultRate  = 200 // commits a second, of five rows each
	measured   = 8   // shapes with a live client, besides the victim
	faultGrace = 5 * time.Second
	turns      = 5 // of a phase without the fault and one with it
)

// faults measures what one stuck consumer costs the others: F1, F2 and F16 of
// docs/chaos.md. The yardstick is the same load just before the fault.
func (r *run) faults(ctx context.Context) error {
	if err := r.restart(ctx, "faults", "SPILLWAY_CHAOS=true", "SPILLWAY_STALL_GRACE="+faultGrace.String()); err != nil {
		return err
	}
	for i, c := range []struct {
		what, fault string
		shapes      int
	}{
		{"one of 20 consumers waits for ever (F1)", "block", 20},
		{"one of 20 consumers loops for ever (F2)", "spin", 20},
		{fmt.Sprintf("one of %d consumers waits for ever (F16)", r.shapes), "block", r.shapes},
	} {
		f := &faulty{run: r, table: fmt.Sprintf("crowd%d", i), shapes: c.shapes}
		if err := f.measure(ctx, c.what, c.fault); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	return nil
}

// faulty is one of these runs.
type faulty struct {
	*run
	table  string
	shapes int
	victim *walker
	next   int // id of the next row
}

func (f *faulty) measure(ctx context.Context, what, fault string) error {
	if err := f.exec(ctx, fmt.Sprintf(`CREATE TABLE %s (id int PRIMARY KEY, owner int, mark text); CREATE INDEX ON %[1]s (owner)`, f.table)); err != nil {
		return err
	}
	began := time.Now()
	if err := each(f.shapes, func(k int) error {
		_, err := f.walkOwner(k).step(ctx, nil)
		return err
	}); err != nil {
		return err
	}
	if f.shapes > 1000 {
		row(fmt.Sprintf("creating %d shapes, 16 at a time", f.shapes), fmt.Sprintf("%.0f shapes/s", float64(f.shapes)/time.Since(began).Seconds()), "–", "–")
	}
	f.victim = f.walkOwner(measured)
	if err := f.victim.all(ctx); err != nil {
		return err
	}
	// Both in turns, so that what else goes on meets both.
	var calm, hit outcome
	for range turns {
		if err := f.phase(ctx, "", &calm); err != nil {
			return err
		}
		if err := f.phase(ctx, fault, &hit); err != nil {
			return err
		}
	}
	calm.p50, calm.p99 = quantiles(calm.each)
	hit.p50, hit.p99 = quantiles(hit.each)
	row(what+": commit → clients of the others, p50 / p99", ms(hit.p50)+" / "+ms(hit.p99)+" ms",
		"without the fault: "+ms(calm.p50)+" / "+ms(calm.p99)+" ms", fmt.Sprintf("%.2f / %.2f", ratio(hit.p50, calm.p50), ratio(hit.p99, calm.p99)))
	row("– confirmed_flush_lsn stood still, at the most", ms(hit.held)+" ms", "without the fault: "+ms(calm.held)+" ms", "–")
	row(fmt.Sprintf("– found and replaced / its client has all again (grace %s)", faultGrace), fmt.Sprintf("after %.2f / %.2f s", hit.found.Seconds(), hit.recovered.Seconds()), "–", "–")
	return nil
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func (f *faulty) walkOwner(k int) *walker {
	return walk("table", f.table, "where", fmt.Sprintf("owner = %d", k))
}

// outcome is what the phases of one kind measured: of held, found and recovered
// the worst.
type outcome struct {
	each                             []time.Duration
	p50, p99, held, found, recovered time.Duration
}

// phase writes for some seconds, with a fault of the victim's or without.
func (f *faulty) phase(ctx context.Context, fault string, o *outcome) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := f.seconds * faultRate / turns
	others, victim := newSeen(n), newSeen(n)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for k := range measured {
		w := f.walkOwner(k)
		if err := w.all(ctx); err != nil {
			return err
		}
		all.Go(func() { follow(ctx, w, others) })
	}
	all.Go(func() { follow(ctx, f.victim, victim) })
	if fault != "" {
		lift, err := makeFault(ctx, fmt.Sprintf(`{"fault":%q,"shape":%q,"times":1}`, fault, f.victim.handle))
		if err != nil {
			return err
		}
		defer func() { err = join(err, lift()) }()
	}
	var found atomic.Int64
	if fault != "" {
		before, err := stalls(ctx)
		if err != nil {
			return err
		}
		all.Go(func() { found.Store(awaitStall(ctx, before)) })
	}
	var held atomic.Int64
	all.Go(func() { held.Store(int64(f.standstill(ctx))) })
	committed, err := f.write(ctx, n)
	if err != nil {
		return err
	}
	for limit := time.Now().Add(60 * time.Second); !others.full() || !victim.full(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("of %d rows %d came to the others' clients and %d to the victim's", n, others.count(), victim.count())
		}
	}
	o.each = append(o.each, others.after(committed)...)
	cancel()
	all.Wait()
	o.held = max(o.held, time.Duration(held.Load()))
	if at := found.Load(); at != 0 {
		o.found = max(o.found, time.Unix(0, at).Sub(committed[0]))
	}
	o.recovered = max(o.recovered, victim.at[0].Sub(committed[0]))
	return nil
}

// write commits n transactions at a steady rate: a marked row of a measured shape,
// one of the victim's, and three of others.
func (f *faulty) write(ctx context.Context, n int) ([]time.Time, error) {
	conn, err := pgx.Connect(ctx, f.pg.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET synchronous_commit = on"); err != nil {
		return nil, err
	}
	committed := make([]time.Time, n)
	tick := time.NewTicker(time.Second / faultRate)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		var values strings.Builder
		fmt.Fprintf(&values, "(%d, %d, '<%d>'), (%d, %d, '<%d>')", f.next, i%measured, i, f.next+1, measured, i)
		f.next += 2
		for range 3 {
			fmt.Fprintf(&values, ", (%d, %d, '')", f.next, measured+1+rand.IntN(f.shapes-measured-1))
			f.next++
		}
		if _, err := conn.Exec(ctx, "INSERT INTO "+f.table+" VALUES "+values.String()); err != nil {
			return nil, err
		}
		committed[i] = time.Now()
	}
	return committed, nil
}

// follow reads a shape live until ctx ends.
func follow(ctx context.Context, w *walker, s *seen) {
	for ctx.Err() == nil {
		var body []byte
		if _, err := w.step(ctx, func(p []byte) { body = append(body, p...) }); err != nil {
			return
		}
		s.body(body)
	}
}

// standstill is the longest time that confirmed_flush_lsn did not move.
func (f *faulty) standstill(ctx context.Context) (longest time.Duration) {
	conn, err := pgx.Connect(ctx, f.pg.URL("postgres"))
	if err != nil {
		return 0
	}
	defer conn.Close(context.WithoutCancel(ctx))
	last, since := "", time.Now()
	for ctx.Err() == nil {
		var at string
		if err := conn.QueryRow(ctx, `SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'spillway_slot_faults'`).Scan(&at); err != nil {
			return longest
		}
		if at != last {
			last, since = at, time.Now()
		}
		longest = max(longest, time.Since(since))
		time.Sleep(5 * time.Millisecond)
	}
	return longest
}

// awaitStall returns when, in ns since 1970, the status showed one more stall.
func awaitStall(ctx context.Context, before int) int64 {
	for ctx.Err() == nil {
		if n, err := stalls(ctx); err == nil && n > before {
			return time.Now().UnixNano()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 0
}

func stalls(ctx context.Context) (int, error) {
	st, err := fetchStatus(ctx)
	return st.Stalls, err
}

// makeFault makes a fault and returns how to end it.
func makeFault(ctx context.Context, fault string) (lift func() error, err error) {
	var made struct{ ID string }
	if err := chaos(ctx, http.MethodPost, "", fault, &made); err != nil {
		return nil, err
	}
	return func() error { return chaos(context.WithoutCancel(ctx), http.MethodDelete, "/"+made.ID, "", &made) }, nil
}

func chaos(ctx context.Context, method, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d/chaos%s", admin, path), strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("%s /chaos%s: %s: %s", method, path, resp.Status, b)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
