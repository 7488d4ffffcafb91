package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// perSecond is the rate of writes in the latency run.
const perSecond = 100

// latency measures from a commit's return to the row's arrival at a live
// client, and beside it at pg_recvlogical's output.
func (r *run) latency(ctx context.Context) error {
	for _, sql := range []string{
		`CREATE TABLE pings (id int PRIMARY KEY, mark text)`,
		`SELECT pg_create_logical_replication_slot('yardstick', 'pgoutput')`,
	} {
		if err := r.exec(ctx, sql); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := r.seconds * perSecond
	ours, theirs := newSeen(n), newSeen(n)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()

	w := walk("table", "pings")
	if err := w.all(ctx); err != nil {
		return err
	}
	all.Go(func() {
		for ctx.Err() == nil {
			if _, err := w.step(ctx, ours.look); err != nil {
				return
			}
		}
	})
	y := r.tool("pg_recvlogical", "-d", r.pg.URL("postgres"), "-S", "yardstick", "--start", "--no-loop",
		"-o", "proto_version=1", "-o", "publication_names=spillway_publication_default", "-f", "-")
	out, err := y.StdoutPipe()
	if err != nil {
		return err
	}
	if err := y.Start(); err != nil {
		return err
	}
	all.Go(func() { _, _ = io.Copy(theirs, out) })
	defer func() {
		_ = y.Process.Kill()
		_ = y.Wait()
	}()

	conn, err := pgx.Connect(ctx, r.pg.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	// An asynchronous commit reaches the stream when the WAL writer gets to it.
	if _, err := conn.Exec(ctx, "SET synchronous_commit = on"); err != nil {
		return err
	}
	committed := make([]time.Time, n)
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		if _, err := conn.Exec(ctx, "INSERT INTO pings VALUES ($1, $2)", i, fmt.Sprintf("<%d>", i)); err != nil {
			return err
		}
		committed[i] = time.Now()
	}
	for limit := time.Now().Add(10 * time.Second); !(ours.full() && theirs.full()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("of %d rows %d came to the client and %d to pg_recvlogical", n, ours.count(), theirs.count())
		}
	}
	o50, o99 := quantiles(ours.after(committed))
	t50, t99 := quantiles(theirs.after(committed))
	row(fmt.Sprintf("commit → live client at %d writes/s, p50 / p99", perSecond), ms(o50)+" / "+ms(o99)+" ms",
		"pg_recvlogical: "+ms(t50)+" / "+ms(t99)+" ms", "+"+ms(o50-t50)+" / +"+ms(o99-t99)+" ms")
	return nil
}

// ms prints a duration in milliseconds.
func ms(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 2, 64) }

// seen notes when each mark "<n>" first appeared in a stream of bytes.
type seen struct {
	bodies sync.Mutex // see body

	mu   sync.Mutex
	at   []time.Time
	left int
	tail []byte
}

func newSeen(n int) *seen { return &seen{at: make([]time.Time, n), left: n} }

func (s *seen) Write(p []byte) (int, error) { s.look(p); return len(p), nil }

func (s *seen) look(p []byte) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	b := append(s.tail, p...)
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			s.tail = nil
			return
		}
		// What is binary may hold a '<' that begins no mark.
		j := bytes.IndexByte(b[i:min(i+12, len(b))], '>')
		if j < 0 {
			if len(b)-i < 12 {
				s.tail = slices.Clone(b[i:])
				return
			}
			b = b[i+1:]
			continue
		}
		if n, err := strconv.Atoi(string(b[i+1 : i+j])); err == nil && n < len(s.at) && s.at[n].IsZero() {
			s.at[n] = now
			s.left--
		}
		b = b[i+1:]
	}
}

// body looks at one whole answer of several streams that share this.
func (s *seen) body(b []byte) {
	s.bodies.Lock()
	defer s.bodies.Unlock()
	s.look(b)
	s.tail = nil // under bodies: nobody else looks
}

func (s *seen) full() bool { return s.count() == len(s.at) }

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at) - s.left
}

func quantiles(d []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(d)
	return d[len(d)/2], d[len(d)*99/100]
}

// after is how long after its commit each was seen.
func (s *seen) after(committed []time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d []time.Duration
	for i, t := range s.at {
		d = append(d, t.Sub(committed[i]))
	}
	return d
}
