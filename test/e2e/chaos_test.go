package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// grace is how long consumers of services with faults may make no progress.
const grace = time.Second

// newFaulty starts a service in which faults can be made.
func newFaulty(t *testing.T, dbURL string, settings ...string) *service {
	t.Helper()
	return newService(t, dbURL, append([]string{"SPILLWAY_CHAOS=true", "SPILLWAY_STALL_GRACE=" + grace.String()}, settings...)...)
}

// chaos makes a request to /chaos and reads the answer into to.
func (s *service) chaos(method, path, body string, to any) int {
	s.t.Helper()
	req, err := http.NewRequest(method, s.admin+"/chaos"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil && to != nil {
		s.t.Fatalf("%s /chaos%s: %s: %.300s", method, path, resp.Status, b)
	}
	return resp.StatusCode
}

// fault begins a fault, given as JSON, and returns what lifts it.
func (s *service) fault(format string, args ...any) (lift func()) {
	s.t.Helper()
	body := fmt.Sprintf(format, args...)
	var f struct{ ID, Error string }
	if code := s.chaos(http.MethodPost, "", body, &f); code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", body, code, f.Error)
	}
	return func() {
		s.t.Helper()
		var gone struct{ Error string }
		if code := s.chaos(http.MethodDelete, "/"+f.ID, "", &gone); code != http.StatusOK {
			s.t.Errorf("lift %s: %d %s", body, code, gone.Error)
		}
	}
}

// stand is the status page, as far as these tests look at it.
type stand struct {
	Health, Reason string
	Positions      map[string]string
	Journal        struct {
		HeldBy *struct{ Handle string } `json:"held_by"`
	}
	Postgres struct {
		RetainedBytes *int64 `json:"retained_bytes"`
		Audit         string
		CanarySeconds *float64 `json:"canary_seconds"`
		HeldBy        string   `json:"restart_lsn_held_by"`
	}
	Shapes  struct{ Live, Snapshotting, Quarantined, Parked int }
	Ladder  struct{ Suspects, Restarts, Quarantines, Rebuilds, Parkings, Alarms int }
	Alarm   string
	Removed map[string]int
	Stalled []struct {
		Handle, Cause, Stack string
		Strikes              int
	}
	Ghosts      []struct{ Handle string }
	Storage     struct{ State string }
	StallsTotal int `json:"stalls_total"`
}

func (s *service) stand() stand {
	s.t.Helper()
	resp, err := http.Get(s.admin + "/status")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var st stand
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// nobodySuffered checks that no shape was found stalled or given up.
func (s *service) nobodySuffered() {
	s.t.Helper()
	if st := s.stand(); st.StallsTotal != 0 || len(st.Removed) != 0 || len(st.Ghosts) != 0 {
		s.t.Errorf("%d stalls, removed %v, ghosts %v", st.StallsTotal, st.Removed, st.Ghosts)
	}
}

// freeze stops the process while f runs.
func (s *service) freeze(f func()) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			s.t.Error(err)
		}
	}()
	f()
}

// ghosts waits for a number of ghosts.
func (s *service) ghosts(n int) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, fmt.Sprintf("%d ghosts", n), func() error {
		if g := s.stand().Ghosts; len(g) != n {
			return fmt.Errorf("there are %d", len(g))
		}
		return nil
	})
}

// acks writes all the time, and measures how long Postgres waits to be told that
// what it committed is flushed.
type acks struct {
	t    *testing.T
	slot string
	stop func() time.Duration // the longest that confirmed_flush_lsn stood still

	mu sync.Mutex // held while it writes, and by who wants the tables to be quiet
}

// watchAcks runs one statement after the other, each its own transaction.
func watchAcks(t *testing.T, db *pgtest.DB, sql string) *acks {
	t.Helper()
	a := &acks{t: t, slot: "spillway_slot_" + streamID(t)}
	conn := db.Conn()
	end, ended := make(chan struct{}), make(chan struct{})
	var longest time.Duration
	n := 0
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			took, err := a.once(conn, sql)
			if err != nil {
				if t.Context().Err() != nil {
					return // the test has ended by itself
				}
				t.Errorf("watch confirmed_flush_lsn: %v", err)
				return
			}
			n++
			longest = max(longest, took)
		}
	}()
	halt := sync.OnceFunc(func() { close(end); <-ended })
	t.Cleanup(halt)
	a.stop = func() time.Duration {
		t.Helper()
		halt()
		t.Logf("confirmed_flush_lsn stood still for %s at the most, %d commits", longest.Round(time.Millisecond), n)
		return longest
	}
	return a
}

// once makes one commit and waits until it is confirmed.
func (a *acks) once(conn *pgx.Conn, sql string) (time.Duration, error) {
	ctx := a.t.Context()
	a.mu.Lock()
	var before string
	err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&before)
	if err == nil {
		_, err = conn.Exec(ctx, sql)
	}
	a.mu.Unlock()
	if err != nil {
		return 0, err
	}
	for start := time.Now(); ; {
		var confirmed bool
		err := conn.QueryRow(ctx, "SELECT confirmed_flush_lsn > $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", before, a.slot).Scan(&confirmed)
		took := time.Since(start)
		if err != nil || confirmed {
			return took, err
		}
		if took > 20*time.Second {
			return took, fmt.Errorf("a commit behind %s is not confirmed after %s", before, took)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// promise ends the watch: confirmed_flush_lsn never stood still for more than a
// second (flush-tracking §2, "held").
func (a *acks) promise() {
	a.t.Helper()
	if held := a.stop(); held > time.Second {
		a.t.Errorf("confirmed_flush_lsn stood still for %s", held)
	}
}

// quiet runs f while nothing is written.
func (a *acks) quiet(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// Without --chaos there are no routes for it; with it, a request that cannot be
// met says how to mend it.
func TestChaosRoutes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 10))
	env := base(t, db.URL)
	p := command(t, []string{"serve"}, env...).start()
	operators := p.said(operatorsLine)
	for _, r := range [][2]string{{"POST", "/chaos"}, {"GET", "/chaos"}, {"DELETE", "/chaos/c1"}} {
		req, err := http.NewRequest(r[0], operators+r[1], strings.NewReader(`{"fault":"journal-full"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("without --chaos: %s %s: %s", r[0], r[1], resp.Status)
		}
	}
	p.signal(stopSignal)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if strings.Contains(p.err.String(), "chaos is on") {
		t.Error("the log speaks of chaos, which is off")
	}

	p = command(t, []string{"serve", "--chaos"}, env...).start()
	clients, operators := p.said(clientsLine), p.said(operatorsLine)
	contains(t, p.err.String(), "chaos is on")
	p.awaitActive(clients)
	f := newFollower(clients+"/v1/shape", "table", "items")
	f.until(t, 30*time.Second, "the first sync", func() error { return nil })
	s := &service{t: t, admin: operators}
	for body, want := range map[string]string{
		``:                                "send one JSON object",
		`{"fault":"block"`:                "send one JSON object",
		`{"fault":1}`:                     "send one JSON object",
		`{"fault":"block"}x`:              "something follows",
		`{"shpae":"x"}`:                   `unknown field "shpae"`,
		`{"fault":"fire"}`:                "use one of block, spin, flood, panic, panic-row, drip, snapshot-hang, journal-full, fsync-hang, fsync-error",
		`{"fault":"block"}`:               "give its handle",
		`{"fault":"block","shape":"1-2"}`: "electric-handle",
		`{"fault":"panic-row","shape":"` + f.handle + `"}`:             `beginning with "public"."items"/`,
		`{"fault":"block","shape":"` + f.handle + `","for":"a while"}`: "such as 90s",
		`{"fault":"fsync-hang","shape":"` + f.handle + `"}`:            "leave it out",
	} {
		var answer struct{ Error string }
		if code := s.chaos(http.MethodPost, "", body, &answer); code != http.StatusBadRequest || !strings.Contains(answer.Error, want) {
			t.Errorf("%s: %d %s, want something with %s", body, code, answer.Error, want)
		}
	}
	var on struct {
		ID, Fault string
		Until     time.Time
	}
	if code := s.chaos(http.MethodPost, "", `{"fault":"block","shape":"`+f.handle+`","for":"90s"}`, &on); code != http.StatusOK ||
		on.ID != "c1" || on.Fault != "block" || time.Until(on.Until) < time.Minute {
		t.Errorf("%d %+v", code, on)
	}
	var all []struct{ ID, Shape string }
	if s.chaos(http.MethodGet, "", "", &all); len(all) != 1 || all[0].ID != "c1" || all[0].Shape != f.handle {
		t.Errorf("on: %v", all)
	}
	for _, want := range []int{http.StatusOK, http.StatusNotFound} {
		if code := s.chaos(http.MethodDelete, "/c1", "", &json.RawMessage{}); code != want {
			t.Errorf("lift: %d, want %d", code, want)
		}
	}
	if s.chaos(http.MethodGet, "", "", &all); len(all) != 0 {
		t.Errorf("still on: %v", all)
	}
}
