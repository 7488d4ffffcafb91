package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// long says that tests may take minutes: make test-long.
var long = os.Getenv("SPILLWAY_LONG") != ""

// F8: every consumer is stuck at once. That is nobody's own fault: one alarm is
// raised, nobody is given up, Postgres is not held back, and all go on by
// themselves when it is over.
func TestAllConsumersStuck(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	s := c.service
	w := watchAcks(t, c.db, tick)
	var lifts []func()
	for _, f := range append([]*follower{c.victim}, c.others...) {
		lifts = append(lifts, s.fault(`{"fault":"block","shape":%q}`, f.handle))
	}
	eventually(t, 60*time.Second, "the alarm", func() error {
		st := s.stand()
		if !strings.Contains(st.Alarm, "make no progress") || st.Health != "degraded" {
			return fmt.Errorf("%s, alarm %q", st.Health, st.Alarm)
		}
		return nil
	})
	stay := 10 * grace
	if long {
		stay = 3 * time.Minute
	}
	<-time.After(stay) // the fault is that it lasts
	st := s.stand()
	if st.Alarm == "" || st.Ladder.Alarms != 1 || len(st.Removed) != 0 || st.Shapes.Quarantined+st.Shapes.Parked != 0 {
		t.Errorf("alarm %q, ladder %+v, removed %v", st.Alarm, st.Ladder, st.Removed)
	}
	for _, lift := range lifts {
		lift()
	}
	w.quiet(func() {
		c.well("after everybody was stuck")
		c.recovers("after everybody was stuck", 0)
	})
	s.ghosts(0)
	eventually(t, 60*time.Second, "the alarm to be over", func() error {
		if st := s.stand(); st.Alarm != "" || st.Health != "active" {
			return fmt.Errorf("%s, alarm %q", st.Health, st.Alarm)
		}
		return nil
	})
	w.promise()
}

// F16: among very many shapes one is stuck, and a thousand changes a second go to
// the others. It is found and restarted, nobody else notices.
func TestManyShapes(t *testing.T) {
	t.Parallel()
	shapes := 2_000
	if long {
		shapes = 100_000
	}
	db := pgtest.New(t)
	db.Exec(fmt.Sprintf("CREATE TABLE many (id int PRIMARY KEY, owner int, n int DEFAULT 0); CREATE INDEX ON many (owner); INSERT INTO many SELECT i, i FROM generate_series(1, %d) i", shapes))
	s := newFaulty(t, db.URL)
	began := time.Now()
	if failed := createMany(s.url, shapes); failed != "" {
		t.Fatal(failed)
	}
	took := time.Since(began)
	t.Logf("%d shapes in %s, %.0f a second; at most %d MiB in memory", shapes, took.Round(time.Second), float64(shapes)/took.Seconds(), peak(t, s.cmd.Process.Pid)>>20)

	where := func(owner int) []string { return []string{"table", "many", "where", fmt.Sprintf("owner = %d", owner)} }
	rowOf := func(owner int) string { return db.Value(fmt.Sprintf("SELECT n FROM many WHERE owner = %d", owner)) }
	same := func(f *follower, owner int) func() error {
		return func() error {
			want := rowOf(owner)
			for _, r := range f.rows {
				if r["n"] != nil && *r["n"] == want {
					return nil
				}
			}
			return fmt.Errorf("the row of owner %d is not yet %s", owner, want)
		}
	}
	victim := newFollower(s.url, where(1)...)
	victim.until(t, 30*time.Second, "the first sync", func() error { return nil })
	var others []*follower
	for owner := 2; owner < 2+20; owner++ {
		f := newFollower(s.url, where(owner)...)
		f.until(t, 30*time.Second, "the first sync", func() error { return nil })
		others = append(others, f)
	}
	// A thousand changes a second: 20 ms a commit, 20 changes each.
	w := watchAcks(t, db, fmt.Sprintf("UPDATE many SET n = n + 1 WHERE id IN (SELECT 1 + (random() * %d)::int FROM generate_series(1, 20)) OR id = 1 OR id = 2", shapes-1))
	lift := s.fault(`{"fault":"block","shape":%q,"times":1}`, victim.handle)
	eventually(t, 20*time.Second, "the stall to be found", func() error {
		if st := s.stand(); st.StallsTotal != 1 || st.Stalled[0].Handle != victim.handle {
			return fmt.Errorf("%d stalls", st.StallsTotal)
		}
		return nil
	})
	w.quiet(func() {
		for i, f := range others {
			f.until(t, 30*time.Second, "another shape", same(f, i+2))
		}
		victim.until(t, 30*time.Second, "the stuck shape to recover", same(victim, 1))
	})
	lift()
	s.ghosts(0)
	for _, f := range append(others, victim) {
		if f.rotations != 0 {
			t.Error("a shape was rotated")
		}
	}
	if st := s.stand(); len(st.Removed) != 0 || st.Alarm != "" || st.Shapes.Live != shapes {
		t.Errorf("removed %v, alarm %q, %d live", st.Removed, st.Alarm, st.Shapes.Live)
	}
	w.promise()
}

// createMany makes shapes owner = 1, 2, … and says what failed.
func createMany(base string, n int) (failed string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	var next atomic.Int64
	var all sync.WaitGroup
	var first atomic.Pointer[string]
	for range 16 {
		all.Go(func() {
			for i := next.Add(1); int(i) <= n && first.Load() == nil; i = next.Add(1) {
				resp, err := client.Get(base + "?table=many&offset=-1&where=" + url.QueryEscape(fmt.Sprintf("owner = %d", i)))
				if err != nil {
					text := err.Error()
					first.Store(&text)
					return
				}
				body, err := io.ReadAll(resp.Body)
				if cerr := resp.Body.Close(); err != nil || cerr != nil || resp.StatusCode != http.StatusOK {
					text := fmt.Sprintf("%s %v %.200s", resp.Status, err, body)
					first.Store(&text)
					return
				}
			}
		})
	}
	all.Wait()
	client.CloseIdleConnections()
	if p := first.Load(); p != nil {
		return *p
	}
	return ""
}
